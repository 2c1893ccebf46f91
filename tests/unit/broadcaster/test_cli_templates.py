"""run.py templates: the list, the linter's exit status and lines, a copy out and back in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broadcaster import db
from broadcaster.cli.main import main
from broadcaster.people.officials import Role
from broadcaster.people.units import seed_units
from templates import document
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import BA_DINH, official, unit_id

Printed = pytest.CaptureFixture[str]


def test_the_list_names_every_event(capsys: Printed) -> None:
    assert main(["templates", "list", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"flood", "storm", "missing_person"} <= {one["code"] for one in told}
    assert all(len(one["digest"]) == 64 for one in told)


def test_what_ships_lints_clean(capsys: Printed) -> None:
    assert main(["templates", "lint", "storm", "flood"]) == 0
    assert capsys.readouterr().out == "storm: nothing to mend\nflood: nothing to mend\n"


def test_a_wrong_file_is_an_exit_status_and_a_line(tmp_path: Path, capsys: Printed) -> None:
    written = document.shipped("storm").as_json()
    written["words"]["vi"]["push.title"] = "Ở TRONG nhà từ {{ start }}"
    path = tmp_path / "storm.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    assert main(["templates", "lint", str(path)]) == 1
    line = capsys.readouterr().out
    assert line.startswith(f"{path}/vi/push.title:1:3: error reading.shouting: ")
    assert main(["templates", "lint", str(path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["piece"], told["column"]) == ("reading.shouting", "push.title", 3)


def test_an_operator_that_registers_wording_is_asked_for(capsys: Printed) -> None:
    assert main(["templates", "lint", "storm", "--operators", "Viettel"]) == 1
    assert "sms.approval" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"event": {}, "words": {}}'])
def test_what_is_no_template_is_said(text: str, tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    assert main(["templates", "lint", str(path)]) == 1
    assert str(path) in capsys.readouterr().err
    assert main(["templates", "lint", "no-such"]) == 1


def test_a_copy_goes_out_and_comes_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    asyncio.run(_city(database))
    path = tmp_path / "fog.json"
    assert main(["templates", "export", "fog", str(path), "--unit", BA_DINH]) == 0
    come = ["templates", "import", str(path), "--unit", BA_DINH, "--by", "binh"]
    assert main(come) == 0
    assert "fog: version 1 is a draft" in capsys.readouterr().out
    assert main(come) == 1
    assert "being written" in capsys.readouterr().err
    assert main(["templates", "export", "fog", str(path), "--unit", "99999"]) == 1


async def _city(database: str) -> None:
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        await seed_units(conn, datetime.now(UTC))
        await official(conn, "binh", Role("author", await unit_id(conn, BA_DINH)))
    await pool.close()
