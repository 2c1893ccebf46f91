"""run.py alerts: in the name of an official, with what it will do said before it is done."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broadcaster import db
from broadcaster.alerts import approval, checks, draft, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.cli.main import main
from broadcaster.people.officials import Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import seed_units
from broadcaster.states import AlertState
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import official, unit_id
from tests.unit.broadcaster.site import content as storm

Captured = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """Standard input of somebody who sits there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def code(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, which the settings of the command name, with an alert on its way."""
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    return asyncio.run(_sending(database))


async def _sending(database: str) -> str:
    now = datetime.now(UTC)
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        await seed_units(conn, now)
        ward, other = await unit_id(conn, "00004"), await unit_id(conn, "00008")
        author = await official(conn, "lan", Role("author", ward))
        approver = await official(conn, "minh", Role("approver", ward))
        await official(conn, "xa", Role("author", other))
        await conn.execute(
            "WITH made AS (INSERT INTO person (created_at) VALUES (now()) RETURNING person_id)"
            " INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
            " SELECT person_id, 0, $1, true FROM made",
            ward,
        )
        words = wordings.with_prepared(parse(storm(now)), "alert")
        made = await draft.create(conn, author, now, words, ward)
        await checks.run(conn, author, now, made.alert_id, Selector())
        await approval.submit(conn, author, now, made.alert_id, made.version)
        await approval.approve(conn, approver, now, made.alert_id, made.version)
        await lifecycle.move(conn, now, made.alert_id, AlertState.SENDING)
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off, confirmed, pending)"
            " VALUES ($1, 'sms', 1200, 34, 5)",
            made.alert_id,
        )
    await pool.close()
    return made.code


def run(capsys: Captured, *arguments: str, status: int = 0) -> tuple[str, str]:
    assert main(["alerts", *arguments]) == status
    said = capsys.readouterr()
    return said.out, said.err


def told(capsys: Captured, *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[0])


def test_what_is_in_force_is_listed_for_those_who_see_the_unit(code: str, capsys: Captured) -> None:
    [one] = told(capsys, "list", "--as", "lan")
    assert (one["code"], one["state"], one["kind"]) == (code, "sending", "alert")
    assert code in run(capsys, "list", "--as", "minh")[0]
    assert told(capsys, "list", "--all", "--as", "xa") == []
    assert "no such official" in run(capsys, "list", "--as", "nobody", status=1)[1]


def test_one_is_shown_with_its_figures_and_what_may_come_next(code: str, capsys: Captured) -> None:
    one = told(capsys, "show", code, "--as", "lan")
    assert one["channels"][0]["states"]["handed_off"] == 1200
    assert set(one["next"].values()) == {None}
    text, _ = run(capsys, "show", code, "--as", "lan")
    assert "1,200 handed_off" in text
    assert "cancel     possible" in text
    # An approver may call it off, and writes nothing.
    following = told(capsys, "show", code, "--as", "minh")["next"]
    assert following["cancel"] is None
    assert "needs the role author" in following["update"]
    assert run(capsys, "show", code, "--as", "xa", status=1)[0] == ""


def test_a_stop_says_what_stays_and_tells_nobody(code: str, capsys: Captured) -> None:
    stop = ["stop", code, "--as", "lan", "--reason", "wrong river"]
    _, said = run(capsys, *stop, "--yes")
    assert "5 messages stay unsent" in said
    assert "1,234" in said
    shown = told(capsys, "show", code, "--as", "lan")
    assert (shown["state"], shown["reason"], len(shown["line"])) == ("stopped", "wrong river", 1)
    assert "nothing to stop" in run(capsys, *stop, "--yes", status=1)[1]


@pytest.mark.parametrize(
    ("does", "kind", "said"),
    [("cancel", "cancel", "called off"), ("correct", "correction", "sent in error")],
)
def test_what_was_prepared_goes_out_in_the_words_that_are_shown_first(
    code: str, capsys: Captured, does: str, kind: str, said: str
) -> None:
    words = ["--as", "lan", "--reason", "no flood", "--yes", "--json"]
    out, err = run(capsys, does, code, *words)
    made = json.loads(out)
    assert (made["kind"], made["state"]) == (kind, "approved")
    assert said in err
    assert "1,234 messages" in err
    assert 0 < err.index("  vi: ") < err.index("  en: ")
    line = told(capsys, "show", code, "--as", "lan")["line"]
    assert [one["kind"] for one in line] == ["alert", kind]
    assert "on its way" in run(capsys, does, code, *words, status=1)[1]


def test_nothing_is_done_without_a_confirmation(
    code: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = ["cancel", code, "--as", "lan", "--reason", "no flood"]
    monkeypatch.setattr("sys.stdin", io.StringIO(code))
    assert "--yes" in run(capsys, *cancel, status=1)[1]
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert "Nothing was done" in run(capsys, *cancel, status=1)[1]
    assert told(capsys, "show", code, "--as", "lan")["state"] == "sending"
    monkeypatch.setattr("sys.stdin", Terminal(f"{code}\n"))
    assert "cancel" in run(capsys, *cancel)[0]


def test_an_update_is_a_draft_until_it_is_withdrawn(code: str, capsys: Captured) -> None:
    out, err = run(capsys, "update", code, "--as", "lan", "--json")
    made = json.loads(out)
    assert (made["kind"], made["state"]) == ("update", "draft")
    assert f"/console/alerts/{made['code']}/edit" in err
    assert "is at work on" in run(capsys, "all-clear", code, "--as", "lan", status=1)[1]
    run(capsys, "withdraw", made["code"], "--as", "lan", "--reason", "later", "--yes")
    clear = told(capsys, "all-clear", code, "--as", "lan")
    assert clear["kind"] == "all_clear"
    again = told(capsys, "all-clear", code, "--as", "lan", "--set-aside", clear["code"])
    assert again["sequence"] == clear["sequence"] + 1


def test_only_whose_roles_reach_the_unit(code: str, capsys: Captured) -> None:
    for does in ("stop", "cancel", "correct"):
        _, said = run(capsys, does, code, "--as", "xa", "--reason", "x", "--yes", status=1)
        assert code in said
        assert "there is no alert" in said.lower()
    assert told(capsys, "show", code, "--as", "lan")["state"] == "sending"
