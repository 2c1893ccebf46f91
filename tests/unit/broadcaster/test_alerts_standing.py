"""How an alert stands, after every kind of follow-up: the marks of all pages come from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from broadcaster.alerts import archive_search, standing
from broadcaster.alerts.archive_terms import Terms
from broadcaster.alerts.standing import Standing
from broadcaster.db import Conn
from broadcaster.people.officials import Actor, Role
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import NOW, alert, official, unit_id

Line = Callable[..., Awaitable[list[int]]]
S = Standing


@pytest.fixture
async def author(conn: Conn, units: UnitMap) -> Actor:
    return await official(conn, "lan", Role("author", await unit_id(conn, "00004")))


@pytest.fixture
async def line(conn: Conn, author: Actor) -> Line:
    """Write alerts that follow one another, each given as (kind, state); returns their ids."""
    ward = await unit_id(conn, "00004")
    approver = (await official(conn, "minh", Role("approver", ward))).official_id

    async def write(*messages: tuple[str, str]) -> list[int]:
        made: list[int] = []
        for kind, state in messages:
            begun = state in ("sending", "sent", "stopped", "expired")
            agreed = begun or state in ("approved", "scheduled")
            made.append(
                await alert(
                    conn, author, ward, code=f"HN-{len(made)}", kind=kind, state=state,
                    sequence=len(made) + 1, root_id=made[0] if made else None,
                    predecessor_id=made[-1] if made else None,
                    approved_by=approver if agreed else None, approved_at=NOW if agreed else None,
                    approved_version=1 if agreed else None, started_at=NOW if begun else None,
                )
            )  # fmt: skip
        return made

    return write


ENDS = [
    ("update", [S.REPLACED, S.IN_FORCE]),
    ("all_clear", [S.ALL_CLEAR, S.CLOSING]),
    ("cancel", [S.CANCELLED, S.CLOSING]),
    ("correction", [S.CORRECTED, S.CLOSING]),
]


@pytest.mark.parametrize(("kind", "expected"), ENDS)
async def test_what_follows_says_how_an_alert_stands(
    conn: Conn, line: Line, kind: str, expected: list[Standing]
) -> None:
    ids = await line(("alert", "sent"), (kind, "sending"))
    found = await standing.stands(conn, NOW, ids)
    assert [found[one].standing for one in ids] == expected
    newest = found[ids[0]].newer
    assert newest is not None
    assert newest.code == "HN-1"


async def test_what_is_not_out_yet_ends_nothing(conn: Conn, line: Line, author: Actor) -> None:
    ids = await line(("alert", "sent"), ("update", "submitted"))
    found = await standing.stands(conn, NOW, ids)
    assert {one: stands.standing for one, stands in found.items()} == {ids[0]: S.IN_FORCE}


async def test_a_correction_says_in_error_of_the_message_it_follows_only(
    conn: Conn, line: Line
) -> None:
    ids = await line(("alert", "stopped"), ("update", "sent"), ("correction", "sent"))
    found = await standing.stands(conn, NOW, ids)
    assert [found[one].standing for one in ids] == [S.REPLACED, S.CORRECTED, S.CLOSING]


async def test_an_all_clear_that_is_taken_back_leaves_no_alert_called_off(
    conn: Conn, line: Line
) -> None:
    ids = await line(("alert", "sent"), ("all_clear", "sent"), ("cancel", "sent"))
    found = await standing.stands(conn, NOW, ids)
    assert [found[one].standing for one in ids] == [S.REPLACED, S.CANCELLED, S.CLOSING]


@pytest.mark.parametrize(
    ("state", "hours", "expected"),
    [("sending", 0, S.IN_FORCE), ("sent", 7, S.EXPIRED), ("stopped", 0, S.STOPPED),
     ("expired", 0, S.EXPIRED)],
)  # fmt: skip
async def test_alone_an_alert_holds_until_its_end(
    conn: Conn, line: Line, state: str, hours: int, expected: Standing
) -> None:
    [one] = await line(("alert", state))
    found = await standing.stands(conn, NOW + timedelta(hours=hours), [one])
    assert found[one].standing == expected


LISTED = [
    ([("alert", "draft")], [], []),
    ([("alert", "scheduled")], ["HN-0"], []),
    ([("alert", "sent")], ["HN-0"], []),
    ([("alert", "stopped")], [], ["HN-0"]),
    ([("alert", "rejected")], [], ["HN-0"]),
    ([("alert", "sent"), ("update", "sent")], ["HN-1"], ["HN-0"]),
    ([("alert", "sent"), ("update", "draft")], ["HN-0"], []),
    ([("alert", "sent"), ("cancel", "sending")], ["HN-1"], ["HN-0"]),
    ([("alert", "sent"), ("correction", "sent")], [], ["HN-1", "HN-0"]),
    ([("alert", "sent"), ("all_clear", "sent")], [], ["HN-1", "HN-0"]),
]


@pytest.mark.parametrize(("messages", "live", "over"), LISTED)
async def test_lists_show_each_message_where_it_stands(
    conn: Conn, line: Line, author: Actor,
    messages: list[tuple[str, str]], live: list[str], over: list[str],
) -> None:  # fmt: skip
    await line(*messages)
    scope = await archive_search.scope_of(conn, author)
    for state, expected in (("live", live), ("over", over)):
        page = await archive_search.find(conn, scope, NOW, Terms(state=state))
        assert [one.code for one in page.alerts] == expected
    ends = NOW + timedelta(hours=7)
    assert not (await archive_search.find(conn, scope, ends, Terms(state="live"))).alerts
