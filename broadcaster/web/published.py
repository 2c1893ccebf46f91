"""Alerts the public may see: those whose sending has begun, as they were approved.

One predicate, used by the pages, the feed, the files and the API alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import no_such_alert
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.web.kept import Kept

PUBLISHED = (
    "a.approved_version IS NOT NULL AND coalesce(a.first_handoff_at, a.started_at) IS NOT NULL"
)
"""SQL: sending began, whatever became of it. What was stopped before is nobody's business."""
MOST = 100

_SELECT = f"""
SELECT a.alert_id, a.code, a.kind, a.state::text AS state, s.content_hash,
    coalesce(a.root_id, a.alert_id) AS root_id, a.sequence, a.expires, a.ended_at,
    coalesce(a.first_handoff_at, a.started_at) AS published_at, n.code AS newer_code,
    n.kind AS newer_kind
FROM alert a
JOIN alert_snapshot s ON s.alert_id = a.alert_id AND s.version = a.approved_version
LEFT JOIN LATERAL (
    SELECT b.code, b.kind FROM alert b
    WHERE coalesce(b.root_id, b.alert_id) = coalesce(a.root_id, a.alert_id)
        AND b.sequence > a.sequence AND {PUBLISHED.replace("a.", "b.")}
    ORDER BY b.sequence DESC, b.alert_id DESC LIMIT 1
) n ON true
WHERE {PUBLISHED}
"""

# A snapshot never changes, so whoever has read and verified it once may keep it.
_snapshots: Kept[tuple[bytes, int], Snapshot] = Kept(256)


@dataclass(frozen=True, slots=True)
class Published:
    """One public alert."""

    alert_id: int
    code: str
    kind: str
    state: str
    root_id: int
    sequence: int
    expires: datetime
    ended_at: datetime | None
    published_at: datetime
    newer_code: str | None
    """The newest message that took this one's place."""
    newer_kind: str | None
    snapshot: Snapshot

    @property
    def content(self) -> Content:
        """What was approved."""
        return self.snapshot.content

    @property
    def document(self) -> dict[str, Any]:
        """The approved document around the content."""
        return self.snapshot.document

    @property
    def sent(self) -> datetime:
        """CAP's `sent`: the moment of approval, because it never changes afterwards."""
        return datetime.fromisoformat(self.document["approved_at"])

    @property
    def cap_identifier(self) -> str:
        """CAP's identifier, minted with the draft."""
        return str(self.document["cap_identifier"])

    @property
    def takes_back(self) -> bool:
        """Whether it only says that an earlier message no longer holds."""
        return self.kind in ("cancel", "correction")

    def standing(self, now: datetime) -> str:
        """Say how it stands: in_force, replaced, cancelled, stopped or expired."""
        if self.newer_code is not None:
            return "cancelled" if self.newer_kind in ("cancel", "all_clear") else "replaced"
        if self.expires <= now or self.state == "expired":
            return "expired"
        return "stopped" if self.state == "stopped" else "in_force"


async def published(conn: Conn, code: str) -> Published:
    """Return a public alert by its code; raises NotFound, also for what is not public."""
    row = await conn.fetchrow(f"{_SELECT} AND a.code = $1", code)
    if row is None:
        raise no_such_alert(code)
    return await _with_snapshot(conn, row)


async def recent(
    conn: Conn, limit: int, before: int | None = None, *, in_force_at: datetime | None = None
) -> list[Published]:
    """Return public alerts, newest first; `before` is the last alert_id of the page before."""
    rows = await conn.fetch(
        f"{_SELECT} AND ($2::bigint IS NULL OR a.alert_id < $2)"
        " AND ($3::timestamptz IS NULL OR (a.expires > $3 AND n.code IS NULL"
        "  AND a.state IN ('sending', 'sent') AND a.kind NOT IN ('cancel', 'correction')))"
        " ORDER BY a.alert_id DESC LIMIT $1",
        min(limit, MOST), before, in_force_at,
    )  # fmt: skip
    return [await _with_snapshot(conn, row) for row in rows]


async def family(conn: Conn, root_id: int) -> list[Published]:
    """Return an alert with everything that followed it, newest first."""
    rows = await conn.fetch(
        f"{_SELECT} AND coalesce(a.root_id, a.alert_id) = $1"
        " ORDER BY a.sequence DESC, a.alert_id DESC LIMIT $2",
        root_id, MOST,
    )  # fmt: skip
    return [await _with_snapshot(conn, row) for row in rows]


async def _with_snapshot(conn: Conn, row: Any) -> Published:
    fields = dict(row)
    key = fields.pop("content_hash"), fields["alert_id"]
    found = _snapshots.find(key)
    if found is None:
        found = _snapshots.keep(key, await lifecycle.snapshot(conn, fields["alert_id"]))
    return Published(snapshot=found, **fields)
