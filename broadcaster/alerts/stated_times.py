"""The times that an alert's words state: none too late, and in the order the template gives.

What each field means is its kind (`templates/kinds.py`): a deadline may not be past, what began may
be. Asked again at approval, as a deadline passes while an alert waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from templates.event import Event, Field
from templates.values import HANOI, ShownPeriod, ShownTime, read

_STEP = 5
"""Minutes before another time where the template names no distance."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One time as it stands in the words, beside the moment it is read at."""

    field: Field
    at: datetime
    now: datetime

    @property
    def where(self) -> str:
        return f"values.{self.field.name}"

    @property
    def vi(self) -> str:
        return f"“{self.field.label.vi}” ({shown(self.at, self.now)})"

    @property
    def en(self) -> str:
        return f"“{self.field.label.en}” ({shown(self.at, self.now)})"


def shown(at: datetime, now: datetime) -> str:
    """Write a moment on Hanoi's clock with its day, and its year where it is another than now's."""
    local = at.astimezone(HANOI)
    year = "" if local.year == now.astimezone(HANOI).year else f"/{local.year}"
    return f"{local:%H:%M %d/%m}{year}"


def check_stated(content: Content, now: datetime, event: Event | None) -> Iterator[Problem]:
    """Compare each time with the moment the alert goes out, with its end, and with the others.

    What is empty or cannot be read is told by the fields' own check.
    """
    if event is None:
        return
    begins = max(content.scheduled_for or now, now)
    said: dict[str, _Said] = {}
    for field in event.fields:
        value = None
        if field.type in ("time", "period") and field.fill != "expires":
            value = read(field, "vi", content.values.get(field.name))
        if isinstance(value, ShownTime):
            said[field.name] = one = _Said(field, value.at, now)
            yield from _of_time(one, begins)
            yield from _after_expiry(one, content.expires)
        elif isinstance(value, ShownPeriod):
            yield from _over(_Said(field, value.end.at, now), begins)
            yield from _after_expiry(_Said(field, value.start.at, now), content.expires)
    for one in said.values():
        if one.field.before in said:
            yield from _in_order(one, said[one.field.before], begins)


def _of_time(one: _Said, begins: datetime) -> Iterator[Problem]:
    kind = one.field.kind
    if kind == "deadline" and one.at <= begins:
        yield Problem(
            "deadline_past", True, one.where,
            f"{one.vi} đã qua khi tin tới người dân. Ghi giờ muộn hơn.",
            f"{one.en} is past when the alert reaches people. Give a later time.",
        )  # fmt: skip
    elif kind == "finish":
        yield from _over(one, begins)
    elif kind == "event_time" and one.at <= begins:
        yield Problem(
            "event_time_past", False, one.where,
            f"{one.vi} đã qua khi tin tới người dân. Xem lại bản tin nguồn.",
            f"{one.en} is past when the alert reaches people. Look at the bulletin again.",
        )  # fmt: skip
    elif kind == "happened" and one.at > one.now:
        yield Problem(
            "not_happened_yet", False, one.where,
            f"{one.vi} còn chưa tới. Xem lại giờ và ngày.",
            f"{one.en} has not come yet. Look at the time and the day again.",
        )  # fmt: skip
    elif kind == "onset" and one.at <= begins - timedelta(days=1):
        # What began today is news still; a day before, the day was mistyped more likely.
        yield Problem(
            "onset_long_past", False, one.where,
            f"{one.vi} đã qua hơn một ngày. Xem lại giờ và ngày.",
            f"{one.en} is more than a day past. Look at the time and the day again.",
        )  # fmt: skip


def _over(one: _Said, begins: datetime) -> Iterator[Problem]:
    if one.at <= begins:
        yield Problem(
            "over_already", True, one.where,
            f"{one.vi} kết thúc trước khi tin tới người dân. Ghi giờ muộn hơn.",
            f"{one.en} ends before the alert reaches people. Give a later time.",
        )  # fmt: skip


def _after_expiry(one: _Said, expires: datetime | None) -> Iterator[Problem]:
    """Refuse a deadline that outlives its alert; what only begins then is worth a look."""
    if expires is None or one.at <= expires:
        return
    end = shown(expires, one.now)
    if one.field.kind == "deadline":
        yield Problem(
            "deadline_after_end", True, one.where,
            f"{one.vi} sau giờ hết hiệu lực {end}. Ghi giờ sớm hơn, hoặc cho tin hết hiệu lực"
            " muộn hơn.",
            f"{one.en} is after the alert's end, {end}. Give an earlier time, or a later end.",
        )  # fmt: skip
    elif one.field.kind in ("onset", "event_time", "period"):
        yield Problem(
            "stated_after_end", False, one.where,
            f"{one.vi} sau giờ hết hiệu lực {end}. Xem lại cả hai giờ.",
            f"{one.en} is after the alert's end, {end}. Look at both times again.",
        )  # fmt: skip


def _in_order(one: _Said, later: _Said, begins: datetime) -> Iterator[Problem]:
    """Hold a time to its place before another, with the distance the template asks for.

    Where that distance cannot be kept any more it is only said: late is better than silent.
    """
    latest = later.at - timedelta(minutes=one.field.ahead_minutes)
    if one.at < later.at and one.at <= latest:
        return
    label_vi, label_en = later.field.label.vi, later.field.label.en
    vi = f"{label_vi} {shown(later.at, one.now)}."
    en = f"{label_en} {shown(later.at, one.now)}."
    if latest > begins:
        at = shown(later.at - timedelta(minutes=one.field.ahead_minutes or _STEP), one.now)
        yield Problem(
            "out_of_order", True, one.where,
            f"{vi} “{one.field.label.vi}”: chọn {at} hoặc sớm hơn.",
            f"{en} “{one.field.label.en}”: choose {at} or earlier.",
        )  # fmt: skip
    elif one.at < later.at:
        yield Problem(
            "little_time", False, one.where,
            f"{vi} Còn ít hơn {one.field.ahead_minutes} phút sau “{one.field.label.vi}”."
            " Chọn giờ sớm nhất mọi người còn kịp.",
            f"{en} That leaves less than {one.field.ahead_minutes} minutes after"
            f" “{one.field.label.en}”. Choose the earliest time people can keep.",
        )  # fmt: skip
    else:
        yield Problem(
            "out_of_order", True, one.where,
            f"{vi} {one.vi} phải trước lúc đó. Sửa một trong hai giờ, hoặc bỏ trống giờ sau nếu"
            " chưa biết.",
            f"{en} {one.en} has to come before it. Correct one of the two, or leave the later one"
            " empty if it is not known.",
        )  # fmt: skip


def latest(content: Content, now: datetime, event: Event, name: str) -> datetime | None:
    """Return the latest moment that keeps a field's place before another; None where none does."""
    field = event.field(name)
    later = event.field(field.before) if field else None
    if field is None or later is None:
        return None
    value = read(later, "vi", content.values.get(later.name))
    if not isinstance(value, ShownTime):
        return None
    at = value.at - timedelta(minutes=field.ahead_minutes or _STEP)
    return at if at > max(content.scheduled_for or now, now) else None
