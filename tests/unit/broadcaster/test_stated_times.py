"""Times in the words: no deadline that is past, and leaving before the crest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import approval, draft
from broadcaster.alerts.checks import run
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.problem import Problem
from broadcaster.alerts.stated_times import check_stated
from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.people.officials import Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from broadcaster.web.console import remedies
from templates import catalogue
from templates.render import render
from templates.values import HANOI
from tests.unit.broadcaster.city import NOW, official, unit_id
from tests.unit.broadcaster.site import content as storm

EVENING = datetime(2026, 11, 22, 19, 50, tzinfo=HANOI)
NEW_YEAR = datetime(2026, 12, 31, 23, 50, tzinfo=HANOI)


def written(event: str, now: datetime, **values: Any) -> Content:
    """An alert that ends twelve hours from now, its times given as datetimes."""
    stated = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    return Content.model_validate(
        {
            "event": event,
            "class": "emergency",
            "values": stated,
            "expires": now + timedelta(hours=12),
        }
    )


def found(content: Content, now: datetime) -> list[Problem]:
    return list(check_stated(content, now, catalogue.load().events[content.event]))


def codes(event: str, now: datetime, **values: Any) -> list[tuple[str, bool]]:
    return [(one.code, one.blocking) for one in found(written(event, now, **values), now)]


def on(now: datetime, hour: int, minute: int = 0, days: int = 0) -> datetime:
    return now.replace(hour=hour, minute=minute) + timedelta(days=days)


def test_a_deadline_that_is_past_holds_the_alert_back() -> None:
    content = written("flood", EVENING, leave_by=on(EVENING, 17), crest_at=on(EVENING, 16))
    past, crest, order = found(content, EVENING)
    assert (past.code, past.blocking, past.field) == ("deadline_past", True, "values.leave_by")
    assert past.message_vi.startswith("“Rời đi trước” (17:00 22/11) đã qua")
    assert past.message_en.startswith("“Leave by” (17:00 22/11) is past")
    assert (crest.code, crest.blocking) == ("event_time_past", False)
    assert (order.code, order.blocking) == ("out_of_order", True)


def test_to_the_minute_a_deadline_of_now_is_past() -> None:
    assert codes("flood", EVENING, leave_by=EVENING) == [("deadline_past", True)]
    assert codes("flood", EVENING, leave_by=EVENING + timedelta(minutes=1)) == []


def test_a_deadline_is_compared_with_when_the_alert_goes_out() -> None:
    content = written("landslide", EVENING, leave_by=on(EVENING, 22)).model_copy(
        update={"scheduled_for": on(EVENING, 23)}
    )
    assert [one.code for one in found(content, EVENING)] == ["deadline_past"]


def test_leaving_comes_an_hour_before_the_crest() -> None:
    crest = on(EVENING, 7, days=1)
    content = written("flood", EVENING, leave_by=on(EVENING, 6, 30, days=1), crest_at=crest)
    [late] = found(content, EVENING)
    assert (late.code, late.blocking, late.field) == ("out_of_order", True, "values.leave_by")
    assert late.message_vi == (
        "Đỉnh lũ lúc 07:00 23/11. “Rời đi trước”: chọn 06:00 23/11 hoặc sớm hơn."
    )
    assert late.message_en == "Crest at 07:00 23/11. “Leave by”: choose 06:00 23/11 or earlier."
    event = catalogue.load().events["flood"]
    way = remedies.remedy(late, content, event, EVENING)
    assert way is not None
    assert (way.path, way.value) == ("values/leave_by", "06:00 23/11/2026")
    assert codes("flood", EVENING, leave_by=on(EVENING, 6, days=1), crest_at=crest) == []


def test_an_hour_that_is_gone_is_said_and_holds_nothing_back() -> None:
    soon = EVENING + timedelta(minutes=40)
    leave = EVENING + timedelta(minutes=20)
    assert codes("flood", EVENING, leave_by=leave, crest_at=soon) == [("little_time", False)]
    assert codes("flood", EVENING, leave_by=soon, crest_at=soon) == [("out_of_order", True)]


def test_a_deadline_after_the_end_of_its_alert() -> None:
    late = EVENING + timedelta(hours=12, minutes=1)
    assert codes("dyke_incident", EVENING, leave_by=late) == [("deadline_after_end", True)]
    assert codes("dyke_incident", EVENING, leave_by=late - timedelta(minutes=1)) == []


def test_midnight_and_the_turn_of_the_year() -> None:
    first = datetime(2027, 1, 1, 0, 0, tzinfo=HANOI)
    assert codes("flood", NEW_YEAR, leave_by=first, crest_at=first + timedelta(hours=1)) == []
    [wrong] = found(written("flood", NEW_YEAR, leave_by=first - timedelta(days=365)), NEW_YEAR)
    assert wrong.code == "deadline_past"
    assert "00:00 01/01)" in wrong.message_vi
    [order] = found(written("flood", NEW_YEAR, leave_by=first, crest_at=first), NEW_YEAR)
    assert "00:00 01/01/2027" in order.message_vi


def test_what_began_may_be_past_and_what_happened_may_not_come_yet() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert codes("storm", EVENING, start=EVENING - hour) == []
    assert codes("storm", EVENING, start=EVENING - day) == [("onset_long_past", False)]
    assert codes("storm", EVENING, start=EVENING + day) == [("stated_after_end", False)]
    assert codes("fire", EVENING, started=EVENING - day) == []
    assert codes("fire", EVENING, started=EVENING + hour) == [("not_happened_yet", False)]


def test_both_ends_of_a_period() -> None:
    def outage(start: int, end: int) -> list[tuple[str, bool]]:
        hours = (EVENING + timedelta(hours=hour) for hour in (start, end))
        ends = dict(zip(("from", "to"), (one.isoformat() for one in hours), strict=True))
        return codes("outage", EVENING, period=ends)

    assert outage(-2, 3) == []
    assert outage(-3, -1) == [("over_already", True)]
    assert outage(13, 14) == [("stated_after_end", False)]
    assert outage(3, 14) == []


def test_a_notice_begins_before_it_ends() -> None:
    five, six = EVENING + timedelta(hours=5), EVENING + timedelta(hours=6)
    assert codes("public_notice", EVENING, start=five, finish=six) == []
    assert codes("public_notice", EVENING, start=six, finish=five) == [("out_of_order", True)]


@given(st.integers(-3000, 3000), st.integers(-3000, 3000))
def test_what_passes_is_ahead_of_now_and_of_the_crest(leave: int, crest: int) -> None:
    moments = {
        "leave_by": EVENING + timedelta(minutes=leave),
        "crest_at": EVENING + timedelta(minutes=crest),
    }
    if not any(blocking for _, blocking in codes("flood", EVENING, **moments)):
        assert 0 < leave <= 720
        assert leave < crest
        assert leave <= crest - 60 or crest <= 60


def test_every_order_to_leave_by_a_time_is_a_deadline() -> None:
    events = catalogue.load().events.values()
    kinds = {(one.code, field.kind) for one in events if (field := one.field("leave_by"))}
    assert kinds == {("flood", "deadline"), ("dyke_incident", "deadline"),
                     ("landslide", "deadline")}  # fmt: skip


async def test_what_is_over_while_it_waits_is_not_approved(
    conn: Conn, pool: Pool, units: UnitMap
) -> None:
    ward = await unit_id(conn, "00004")
    author = await official(conn, "lan", Role("author", ward))
    approver = await official(conn, "minh", Role("approver", ward))
    event, ends = catalogue.load().events["public_notice"], NOW + timedelta(minutes=30)
    values = {**event.examples(), "start": NOW.isoformat(), "finish": ends.isoformat()}
    words = {lang: render(event.code, lang, values).as_dict() for lang in ("vi", "en")}
    document = storm(
        NOW, event.code, values=values, wording=words, **{"class": "information"}
    )  # fmt: skip
    made = await draft.create(conn, author, NOW, parse(document), ward)
    await run(conn, author, NOW, made.alert_id, Selector())
    await approval.submit(conn, author, NOW, made.alert_id, made.version)
    with pytest.raises(Refused) as refused:
        await approval.approve(conn, approver, ends, made.alert_id, made.version)
    assert refused.value.code == "over_already"
    approved = await approval.approve(conn, approver, NOW, made.alert_id, made.version)
    assert approved.state == "approved"
