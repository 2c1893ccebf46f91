"""Alerts the public may see: those whose sending has begun, as they were approved.

Used by the pages, the feed, the files and the API alike; how one stands says `alerts/standing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadcaster.alerts import exercise, lifecycle, standing
from broadcaster.alerts.archive_terms import Terms, conditions
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import no_such_alert
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.alerts.standing import Newer, Standing
from broadcaster.db import Conn
from broadcaster.web.kept import Kept

MOST = 100

# What was stopped before its sending began is nobody's business.
_SELECT = f"""
SELECT a.alert_id, a.code, a.kind, a.state::text AS state, s.content_hash,
    coalesce(a.root_id, a.alert_id) AS root_id, a.sequence, a.expires, a.ended_at,
    coalesce(a.first_handoff_at, a.started_at) AS published_at, n.code AS newer_code,
    n.kind AS newer_kind, n.follows_id, n.follows_kind
FROM alert a
JOIN alert_snapshot s ON s.alert_id = a.alert_id AND s.version = a.approved_version
{standing.newer("a")}
-- What training accounts write goes to nobody.
WHERE {standing.begun("a")} AND NOT a.training
"""

_OF_NEWER = ("newer_code", "newer_kind", "follows_id", "follows_kind")

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
    newer: Newer | None
    """The newest message that took this one's place."""
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
    def exercise(self) -> bool:
        """Whether it is an exercise."""
        return bool(self.document["status"] == exercise.EXERCISE)

    @property
    def training(self) -> bool:
        """Never: what training accounts write is not public."""
        return False

    @property
    def widened_by(self) -> str | None:
        """Of an exercise: who opened it to everybody in its area."""
        name: str | None = self.document.get("widened_by")
        return name

    @property
    def sent(self) -> datetime:
        """CAP's `sent`: the moment of approval, because it never changes afterwards."""
        return datetime.fromisoformat(self.document["approved_at"])

    @property
    def cap_identifier(self) -> str:
        """CAP's identifier, minted with the draft."""
        return str(self.document["cap_identifier"])

    @property
    def newer_code(self) -> str | None:
        """The code of what took this one's place."""
        return None if self.newer is None else self.newer.code

    @property
    def closes(self) -> bool:
        """Whether it warns of nothing: it says that an earlier message holds no more."""
        return self.kind in standing.CLOSES

    @property
    def takes_back(self) -> bool:
        """Whether it only says that an earlier message no longer holds."""
        return self.kind in ("cancel", "correction")

    def standing(self, now: datetime) -> Standing:
        """Say how it stands."""
        return standing.of(self.alert_id, self.kind, self.state, self.expires, self.newer, now)


async def published(conn: Conn, code: str) -> Published:
    """Return a public alert by its code; raises NotFound, also for what is not public."""
    row = await conn.fetchrow(f"{_SELECT} AND a.code = $1", code)
    if row is None:
        raise no_such_alert(code)
    return await _with_snapshot(conn, row)


async def recent(
    conn: Conn,
    limit: int,
    before: int | None = None,
    *,
    in_force_at: datetime | None = None,
    terms: Terms | None = None,
) -> list[Published]:
    """Return public alerts that fit, newest first; `before` is the last one of the page before.

    Terms about officials and states are for officials: nothing here reads them from anybody.
    """
    where = ""
    arguments: list[Any] = []
    if terms is not None:
        where, arguments = conditions(terms, datetime.now(UTC), first=2)
    for sql, value in (
        ("a.alert_id < $", before),
        (standing.in_force("a", "$"), in_force_at),
    ):
        if value is not None:
            arguments.append(value)
            where += f" AND {sql.replace('$', f'${len(arguments) + 1}')}"
    rows = await conn.fetch(
        f"{_SELECT}{where} ORDER BY a.alert_id DESC LIMIT $1", min(limit, MOST), *arguments
    )
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
    newer = Newer(*(fields.pop(name) for name in _OF_NEWER))
    key = fields.pop("content_hash"), fields["alert_id"]
    found = _snapshots.find(key)
    if found is None:
        found = _snapshots.keep(key, await lifecycle.snapshot(conn, fields["alert_id"]))
    return Published(snapshot=found, newer=newer if newer.code else None, **fields)
