"""Who received an alert, page by page, for staff and approvers of the issuing unit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broadcaster import audit
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout import archive, deliveries, whom
from broadcaster.fanout.blocks import STATES
from broadcaster.fanout.deliveries import Delivery
from broadcaster.fanout.policy import CHANNELS
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor

PAGE, MOST = 50, 500


@dataclass(frozen=True, slots=True)
class Search:
    """Which deliveries, and from where on."""

    channel: str | None = None
    state: str | None = None
    after: int = -1
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Recipient:
    """One delivery, and its address masked."""

    delivery: Delivery
    address: str


@dataclass(frozen=True, slots=True)
class Recipients:
    """One page."""

    alert: Alert
    found: tuple[Recipient, ...]
    after: int | None
    """Where the next page begins; None: this is the last."""


async def of_alert(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, code: str, search: Search
) -> Recipients:
    """Return a page of recipients; every page is in the trail.

    Raises Refused (no such channel or state, archive broken), NotAllowed, NotFound.
    """
    for name, value, known in (
        ("channel", search.channel, CHANNELS),
        ("state", search.state, STATES),
    ):
        if value is not None and value not in known:
            raise Refused(
                f"{name}_unknown",
                f"Không có {name} “{value}”; chỉ có {', '.join(known)}.",
                f"There is no {name} “{value}”; there are {', '.join(known)}.",
            )
    alert = await whom.alert_of(conn, actor, code)
    await audit.record(
        conn, actor.official_id, now, "alert.recipients_shown", "alert", alert.alert_id,
        channel=search.channel, state=search.state, after=search.after,
    )  # fmt: skip
    with archive.refusing():
        page = await deliveries.of_alert(
            conn, alert.alert_id, channel=search.channel, state=search.state, after=search.after,
            limit=min(max(search.limit, 1), MOST),
        )  # fmt: skip
    ways = await whom.ways_by_id(conn, keyring, [one.endpoint_id for one in page.deliveries])
    found = tuple(
        Recipient(one, ways[one.endpoint_id].address if one.endpoint_id in ways else "…")
        for one in page.deliveries
    )
    return Recipients(alert, found, page.after)
