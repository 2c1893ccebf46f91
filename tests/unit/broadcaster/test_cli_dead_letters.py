"""run.py dead-letters: what lies there, as a table, JSON and CSV; sent again by somebody named."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broadcaster import db
from broadcaster.cli.main import main
from broadcaster.fanout.moves import Move, move
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Role
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import official
from tests.unit.broadcaster.sending import author, sending


@pytest.fixture
def letters(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with two dead letters, which the settings of the command name."""
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    asyncio.run(_fill(database))
    return database


async def _fill(database: str) -> None:
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        made = await sending(
            conn, Keyring(SECRET_KEY), await author(conn), code="A", channel="sms", count=2
        )
        failed = [Move(e, "failed", "UNDELIV err:027") for e in made.endpoint_ids]
        await move(conn, datetime.now(UTC), made.alert_id, failed)
        city = await conn.fetchval("SELECT unit_id FROM unit WHERE parent_id IS NULL LIMIT 1")
        await official(conn, "operator", Role("admin", city))
    await pool.close()


async def _states(database: str) -> set[str]:
    pool = await db.connect(database)
    rows = await pool.fetch("SELECT state::text AS state FROM delivery")
    await pool.close()
    return {row["state"] for row in rows}


def test_listed_written_and_sent_again(
    letters: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead-letters", "--json"]) == 0
    [group] = json.loads(capsys.readouterr().out)
    assert (group["alert"], group["count"], group["usable"]) == ("A", 2, 2)
    assert main(["dead-letters", "--lang", "vi"]) == 0
    assert "máy tắt" in capsys.readouterr().out
    file = tmp_path / "letters.csv"
    assert main(["dead-letters", "--csv", str(file)]) == 0
    assert len(file.read_text("utf-8-sig").splitlines()) == 3
    assert main(["dead-letters", "--alert", "A", "--replay"]) == 2
    capsys.readouterr()
    again = ["dead-letters", "--alert", "A", "--replay", "--by", "operator", "--json"]
    for sent in (2, 0):
        assert main(again) == 0
        assert json.loads(capsys.readouterr().out) == {"again": sent, "left": 0}
    assert asyncio.run(_states(letters)) == {"pending"}
    assert main(["dead-letters", "--alert", "B"]) == 1
