"""An update that says what was said before: those reached would read it again for nothing."""

from __future__ import annotations

from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert, predecessor
from broadcaster.alerts.problem import Problem
from broadcaster.db import Conn

_COMPARED = ("wording", "area", "expires", "alert_class", "risk_level", "river_alarm", "languages")
"""What people or receiving systems would notice."""


async def check(conn: Conn, content: Content, alert: Alert | None) -> list[Problem]:
    """Advise where an update differs in nothing from what it follows."""
    followed = await predecessor(conn, alert) if alert and alert.kind == "update" else None
    if followed is None:
        return []
    before = (await lifecycle.snapshot(conn, followed.alert_id)).content
    if any(getattr(content, name) != getattr(before, name) for name in _COMPARED):
        return []
    return [
        Problem(
            "unchanged", False, "wording",
            f"Chưa có gì khác tin {followed.code}: lời, vùng và giờ như cũ. Ghi điều đã thay đổi.",
            f"Nothing has changed since {followed.code}: the same words, area and times. Write"
            " what changed.",
        )
    ]  # fmt: skip
