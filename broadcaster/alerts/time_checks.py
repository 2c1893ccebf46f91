"""The times of an alert itself: there, readable and in their order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from templates.event import Event

_NAMES = {
    "expires": ("Giờ hết hiệu lực", "The end"),
    "scheduled_for": ("Giờ phát", "The time to send it at"),
    "source.time": ("Giờ của bản tin nguồn", "The bulletin's time"),
}


def check_time(content: Content, now: datetime, event: Event | None) -> Iterator[Problem]:
    """Require times one can read, and an end after the beginning, not beyond what is allowed.

    What was typed and is no time never counts as left empty: “at a time” without one would go out
    at once.
    """
    yield from _unread(content)
    begins = max(content.scheduled_for or now, now)
    if content.expires is None:
        if "expires" in content.unread:
            return
        yield Problem(
            "no_end", True, "expires",
            "Chưa có giờ hết hiệu lực. Chọn giờ.",
            "The alert has no end. Choose one.",
        )  # fmt: skip
        return
    if content.expires <= begins:
        yield Problem(
            "ends_before_it_begins", True, "expires",
            "Giờ hết hiệu lực phải sau giờ phát. Chọn giờ muộn hơn.",
            "The end has to be after the beginning. Choose a later time.",
        )  # fmt: skip
    most = event.maximum_expiry_hours if event else 24 * 7
    if content.expires - begins > timedelta(hours=most):
        yield Problem(
            "lasts_too_long", True, "expires",
            f"Loại tin này có hiệu lực nhiều nhất {most} giờ. Chọn giờ sớm hơn.",
            f"This kind of alert is in force for {most} hours at most. Choose an earlier end.",
        )  # fmt: skip


def _unread(content: Content) -> Iterator[Problem]:
    for field, text in content.unread.items():
        vi, en = _NAMES.get(field, (field, field))
        if text.strip():
            yield Problem(
                "unread_time", True, field,
                f"{vi} “{text}” không đọc được. Ghi giờ và ngày, như 07:00 10/09.",
                f"{en}, “{text}”, cannot be read. Give a time and a day, as 07:00 10/09.",
            )  # fmt: skip
        else:
            yield Problem(
                "unread_time", True, field,
                f"{vi} còn trống. Ghi giờ và ngày, như 07:00 10/09.",
                f"{en} is missing. Give a time and a day, as 07:00 10/09.",
            )  # fmt: skip
