"""What was sent to somebody: every alert to any of their endpoints, newest first, page by page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn
from broadcaster.fanout import deliveries
from broadcaster.fanout.deliveries import Delivery

PAGE = 10

# Written to somebody, an alert has begun.
_PAGE = (
    "SELECT alert_id, code, title, class::text AS alert_class, kind, event,"
    " state::text AS state, coalesce(first_handoff_at, started_at) AS at FROM alert"
    " WHERE alert_id = ANY($1) AND ($2::integer[] IS NULL OR unit_id = ANY($2))"
    " AND ($3::timestamptz IS NULL"
    "  OR (coalesce(first_handoff_at, started_at), alert_id) < ($3, $4::bigint))"
    " ORDER BY coalesce(first_handoff_at, started_at) DESC, alert_id DESC LIMIT $5"
)


@dataclass(frozen=True, slots=True)
class Received:
    """One alert and what became of it at each endpoint."""

    alert_id: int
    code: str
    title: str
    alert_class: str
    kind: str
    event: str
    state: str
    at: datetime
    """Of its first hand-off; of its start while nothing was handed off."""
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: the next one is older."""

    at: datetime
    alert_id: int


@dataclass(frozen=True, slots=True)
class ReceivedPage:
    """Some alerts, newest first."""

    alerts: tuple[Received, ...]
    before: Cursor | None
    """For the next page; None: this is the last."""


async def by_endpoints(
    conn: Conn, endpoint_ids: Sequence[int], *, units: Collection[int] | None = None,
    before: Cursor | None = None, limit: int | None = None,
) -> ReceivedPage:  # fmt: skip
    """Return the alerts written to any of these endpoints, of some issuing units only or of all.

    Raises ArchiveBrokenError.
    """
    if not endpoint_ids:
        return ReceivedPage((), None)
    limit = limit or PAGE
    found = await deliveries.alerts_to(conn, endpoint_ids)
    rows = await conn.fetch(
        _PAGE,
        sorted(found),
        None if units is None else list(units),
        None if before is None else before.at,
        0 if before is None else before.alert_id,
        limit + 1,
    )
    keys = [(row["alert_id"], endpoint) for row in rows[:limit] for endpoint in endpoint_ids]
    by_alert: dict[int, list[Delivery]] = defaultdict(list)
    for one in (await deliveries.of_keys(conn, keys)).values():
        by_alert[one.alert_id].append(one)
    alerts = tuple(
        Received(**row, deliveries=tuple(by_alert[row["alert_id"]])) for row in rows[:limit]
    )
    last = alerts[-1] if len(rows) > limit else None
    return ReceivedPage(alerts, None if last is None else Cursor(last.at, last.alert_id))
