"""The class of an alert beside its kind: an order to leave is no information."""

from __future__ import annotations

from collections.abc import Iterator

from broadcaster.alerts.content import LANES, AlertClass, Content
from broadcaster.alerts.problem import Problem
from templates.event import Event

_NAMES = {
    "emergency": ("khẩn cấp", "emergency"),
    "warning": ("cảnh báo", "warning"),
    "information": ("thông tin", "information"),
}


def check_class(content: Content, event: Event | None) -> Iterator[Problem]:
    """Hold back what is below the least class of its kind; advise below what is usual for it."""
    if event is None:
        return
    name = event.name
    if event.least_class and _below(content, event.least_class):
        vi, en = _NAMES[event.least_class]
        yield Problem(
            "class_too_low", True, "class",
            f"“{name.vi}” ít nhất là tin {vi}: tin thấp hơn chờ qua giờ yên tĩnh và đi sau."
            f" Chọn {vi}.",
            f"“{name.en}” goes out as {en} at least: what is lower waits for quiet hours and goes"
            f" last. Choose {en}.",
        )  # fmt: skip
    usual = event.usual_class(content.values)
    if usual and usual != event.least_class and _below(content, usual):
        vi, en = _NAMES[usual]
        yield Problem(
            "class_unusual", False, "class",
            f"“{name.vi}” ở mức này thường là tin {vi}.",
            f"“{name.en}” at this level usually goes out as {en}.",
        )  # fmt: skip


def wanted(content: Content, event: Event) -> AlertClass | None:
    """Return the class that these checks ask for; None where they ask for none."""
    asked = [one for one in (event.usual_class(content.values), event.least_class) if one]
    return min(asked, key=LANES.__getitem__, default=None)


def _below(content: Content, least: AlertClass) -> bool:
    return LANES[content.alert_class] > LANES[least]
