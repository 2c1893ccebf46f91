"""A draft that is set aside for an all-clear: which may be, and its author told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from broadcaster.alerts import order
from broadcaster.alerts.draft import HANOI, Alert
from broadcaster.db import Conn
from broadcaster.fanout import direct

_HOLDS = timedelta(hours=24)
REASON = "Gác lại để soạn báo hết nguy hiểm · Set aside for an all-clear"
"""Why it ended, in its trail."""
_WORDS = {
    "vi": (
        "{code} được gác lại",
        "{by} gác lại {code} lúc {time} để soạn báo hết nguy hiểm {made}. Nội dung vẫn được giữ.",
    ),
    "en": (
        "{code} was set aside",
        "{by} set aside {code} at {time} to write the all-clear {made}. Your words are kept.",
    ),
}


def may_be(family: Sequence[Alert]) -> Alert | None:
    """Return the follow-up in work that an all-clear may set aside: nobody has approved it."""
    opened = order.open_one(family)
    if opened is None or opened.kind not in order.WRITTEN or opened.state not in order.UNAPPROVED:
        return None
    return opened


async def tell_author(conn: Conn, now: datetime, by: str, aside: Alert, made: Alert) -> int:
    """Order the messages that tell a draft's author; returns how many.

    They have time until the morning: no telephone rings.
    """
    ways = await conn.fetch(
        "SELECT e.endpoint_id, e.channel::text AS channel, o.lang::text AS lang"
        " FROM official_endpoint l JOIN endpoint e USING (endpoint_id)"
        " JOIN official o USING (official_id) WHERE l.official_id = $1 AND e.state = 'active'"
        " AND e.address_enc <> '' AND e.channel IN ('push', 'email') ORDER BY e.endpoint_id",
        aside.author_id,
    )
    facts = {
        "code": aside.code, "made": made.code, "by": by,
        "time": f"{now.astimezone(HANOI):%H:%M}",
    }  # fmt: skip
    for way in ways:
        subject, text = (words.format(**facts) for words in _WORDS[way["lang"]])
        content = {"title": subject, "body": text}
        if way["channel"] == "email":
            html = f"<p>{escape(text)}</p>"
            content = {"subject": subject, "text": text + "\n", "html": html}
        await direct.enqueue(
            conn, now, endpoint_id=way["endpoint_id"], channel=way["channel"], purpose="approval",
            content=content, expires=now + _HOLDS,
            dedupe_key=f"aside:{aside.alert_id}:{way['endpoint_id']}", training=aside.training,
        )  # fmt: skip
    return len(ways)
