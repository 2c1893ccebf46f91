"""Why somebody got a follow-up, or did not: by what reached them before, not by today's places."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broadcaster.alerts import followup, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.fanout import stages
from broadcaster.fanout.why import Person
from broadcaster.fanout.why_words import NOT_SENT
from broadcaster.web.console.followups import Act
from tests.unit.broadcaster import site
from tests.unit.broadcaster.test_fanout_why import AREA, INSIDE, OTHER_NUMBER, Desk, desk, sms

__all__ = ["desk"]
FAR = (105.70, 21.00)
CIRCLE: dict[str, Any] = {"circles": [{"lon": FAR[0], "lat": FAR[1], "metres": 500}]}
KNOWN, OTHER = "0912 345 678", "0987 654 321"


async def _begun(desk: Desk) -> None:
    desk.site.later(minutes=5)

    async def nothing() -> None:
        return None

    await stages.start(desk.site.pool, desk.site.now, desk.site.selector, nothing)
    await stages.expand_open(desk.site.pool, desk.site.now, nothing)


async def _first(desk: Desk, *, state: str = "handed_off") -> Alert:
    words = wordings.with_prepared(parse(site.content(desk.site.now)), "alert").to_json()
    made = await site.approved(desk.site, desk.conn, area=AREA, prepared=words["prepared"])
    await _begun(desk)
    await desk.conn.execute("UPDATE batch SET state = 'done'")
    await desk.conn.execute(f"UPDATE delivery SET state = '{state}'")
    await desk.conn.execute(f"UPDATE progress SET {state} = pending, pending = 0")
    await desk.conn.execute("UPDATE alert SET state = 'sent', sent_at = $1", desk.site.now)
    return made


async def _updated(desk: Desk, first: Alert, area: dict[str, Any]) -> Alert:
    made = await site.approved(desk.site, desk.conn, kind="update", before=first, area=area)
    await _begun(desk)
    return made


def _said(person: Person, first: Alert) -> tuple[bool | None, str]:
    assert first.code in person.sentence[0]
    assert first.code in person.sentence[1]
    return person.in_audience, person.because


async def test_who_an_update_leaves_out_was_reached_by_the_earlier_alert(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    await desk.person(sms(OTHER_NUMBER), home=FAR)
    first = await _first(desk)
    made = await _updated(desk, first, CIRCLE)
    assert _said(await desk.one(made, KNOWN), first) == (True, "left")
    assert _said(await desk.one(made, OTHER), first) == (True, "kept")


async def test_who_is_new_gets_an_update_for_their_place(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    first = await _first(desk)
    await desk.person(sms(OTHER_NUMBER), home=INSIDE)
    made = await _updated(desk, first, AREA)
    new = await desk.one(made, OTHER)
    assert (new.in_audience, new.because) == (True, "place")


async def test_who_another_alert_covers_is_not_told_that_an_update_leaves_them_out(
    desk: Desk,
) -> None:
    await desk.person(sms(), home=INSIDE)
    await desk.person(sms(OTHER_NUMBER), home=FAR)
    first = await _first(desk)
    await desk.alert(AREA)
    made = await _updated(desk, first, CIRCLE)
    assert _said(await desk.one(made, KNOWN), first) == (False, "held_elsewhere")


@pytest.mark.parametrize("act", [followup.cancel, followup.correct])
async def test_what_takes_an_alert_back_goes_to_those_it_reached_wherever_they_are_now(
    desk: Desk, act: Act
) -> None:
    person = await desk.person(sms(), home=INSIDE)
    first = await _first(desk)
    await desk.person(sms(OTHER_NUMBER), home=INSIDE, at=desk.site.now)
    made = await act(desk.conn, desk.site.approver, desk.site.now, first.alert_id, "nhầm")
    assert _said(await desk.one(made, KNOWN), first) == (None, "would_be_told")
    assert _said(await desk.one(made, OTHER), first) == (None, "would_not_be_told")
    await desk.moved(person, (105.60, 21.20))
    await _begun(desk)
    assert _said(await desk.one(made, KNOWN), first) == (True, "reached_before")
    other = await desk.one(made, OTHER)
    assert _said(other, first) == (False, "not_reached")
    assert other.sent[0].why_not == NOT_SENT["not_in"]


async def test_an_all_clear_reaches_those_who_have_left_the_place_too(desk: Desk) -> None:
    person = await desk.person(sms(), home=INSIDE)
    first = await _first(desk)
    await desk.moved(person, (105.60, 21.20))
    desk.site.clock[0] += timedelta(minutes=1)
    made = await site.approved(
        desk.site, desk.conn, kind="all_clear", before=first, event="all_clear", area=AREA
    )
    await _begun(desk)
    assert _said(await desk.one(made, KNOWN), first) == (True, "reached_before")
