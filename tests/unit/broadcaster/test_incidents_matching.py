"""Which alert an answer is about when nothing but its sender tells."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broadcaster.db import Conn
from broadcaster.incidents.matching import LAST_SENT, Match, match
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import NOW, alert, delivered, official
from tests.unit.broadcaster.sending import endpoints

HOUR = timedelta(hours=1)


@pytest.mark.usefixtures("units")
async def test_the_newest_alert_that_reached_the_sender_and_is_not_long_over(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    author = await official(conn, "author")
    mine, other = await endpoints(conn, keyring, "sms", 2)
    sent = {
        name: await alert(conn, author, 1, code=name, **times)
        for name, times in {
            "late": {"first_handoff_at": NOW, "started_at": NOW - 9 * HOUR},
            "earlier": {"first_handoff_at": NOW - HOUR, "started_at": NOW - HOUR},
            "over": {"first_handoff_at": NOW + HOUR, "expires": NOW - 80 * HOUR},
            "not_yet": {"first_handoff_at": NOW + HOUR},
            "others": {"first_handoff_at": NOW + HOUR},
            "never_begun": {},
        }.items()
    }
    for name in ("late", "earlier", "over"):
        await delivered(conn, sent[name], mine, state="confirmed")
    await delivered(conn, sent["not_yet"], mine, state="pending")
    await delivered(conn, sent["others"], other)
    assert await match(conn, NOW, [mine]) == Match(sent["late"], LAST_SENT)
    assert await match(conn, NOW, [mine, other]) == Match(sent["others"], LAST_SENT)
    assert await match(conn, NOW, []) == Match(None, "")
    await delivered(conn, sent["never_begun"], mine, state="unknown")
    assert await match(conn, NOW, [mine]) == Match(sent["late"], LAST_SENT), "no hand-off is last"
