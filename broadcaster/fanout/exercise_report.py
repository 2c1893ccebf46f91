"""An exercise session as a whole: whom it can reach before it begins, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts import draft, exercise_sessions
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.exercise_sessions import Session
from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.fanout import deliveries
from broadcaster.fanout.progress import ChannelProgress, progress_of
from broadcaster.keyring import Keyring
from broadcaster.people import exercise_recipients
from broadcaster.people.officials import Actor
from broadcaster.states import DeliveryState

_MOST = 200
_ARRIVED = frozenset({DeliveryState.HANDED_OFF, DeliveryState.CONFIRMED, DeliveryState.SEEN})
_CONFIRMED = frozenset({DeliveryState.CONFIRMED, DeliveryState.SEEN})
_UNDER = (
    "WITH RECURSIVE under AS (SELECT unit_id FROM unit WHERE unit_id = ANY($1::integer[])"
    " UNION SELECT u.unit_id FROM unit u JOIN under ON u.parent_id = under.unit_id)"
    " SELECT unit_id FROM under"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One exercise that was begun in the session, and how far it came."""

    alert: Alert
    channels: list[ChannelProgress]

    @property
    def approving(self) -> timedelta | None:
        """From its submission to its approval."""
        return _between(self.alert.submitted_at, self.alert.approved_at)

    @property
    def leaving(self) -> timedelta | None:
        """From its approval, or the time it was scheduled for, to its first hand-off."""
        alert = self.alert
        due = max(filter(None, (alert.approved_at, alert.scheduled_for)), default=None)
        return _between(due, alert.first_handoff_at)

    @property
    def addressed(self) -> int:
        """Messages written."""
        return sum(one.total for one in self.channels)

    @property
    def arrived(self) -> int:
        """Messages that a carrier took."""
        return sum(one.handed_off for one in self.channels) + self.confirmed

    @property
    def confirmed(self) -> int:
        """Messages that arrived for certain, or were opened."""
        return sum(one.confirmed + one.seen for one in self.channels)


@dataclass(frozen=True, slots=True)
class TookPart:
    """One address on the lists, and what it got in the session."""

    channel: str
    address: str
    """Masked."""
    unit_name: str
    unit_name_en: str
    note: str
    usable: bool
    addressed: int
    arrived: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class Report:
    """A session, whom it can reach, and what was sent in it."""

    session: Session
    took_part: tuple[TookPart, ...]
    """Those on the lists that the official keeps."""
    sent: tuple[Sent, ...]
    """Oldest first; those alone that the official may see."""

    @property
    def by_channel(self) -> dict[str, int]:
        """Addresses in use on those lists, by channel."""
        return dict(Counter(one.channel for one in self.took_part if one.usable))

    @property
    def reached(self) -> int:
        """Addresses that got anything."""
        return sum(one.arrived > 0 for one in self.took_part)

    @property
    def confirmed(self) -> int:
        """Addresses that confirmed anything."""
        return sum(one.confirmed > 0 for one in self.took_part)

    @property
    def silent(self) -> int:
        """Addresses in use that got nothing."""
        return sum(one.usable and not one.arrived for one in self.took_part)


async def of_session(conn: Conn, keyring: Keyring, actor: Actor, session_id: int) -> Report:
    """Gather a session that the official is in charge of; raises NotFound."""
    known = {one.session_id: one for one in await exercise_sessions.listing(conn, actor)}
    session = known.get(session_id)
    if session is None:
        raise NotFound(
            "no_session",
            "Không có đợt diễn tập này. Tải lại danh sách.",
            "There is no such session. Reload the list.",
        )
    units = [row["unit_id"] for row in await conn.fetch(_UNDER, list(session.unit_ids))]
    alerts = await _begun(conn, actor, session, units)
    counted = await progress_of(conn, [one.alert_id for one in alerts])
    return Report(
        session,
        await _took_part(conn, keyring, actor, [one.alert_id for one in alerts]),
        tuple(Sent(one, counted[one.alert_id]) for one in alerts),
    )


async def _begun(conn: Conn, actor: Actor, session: Session, units: Collection[int]) -> list[Alert]:
    """Return the exercises of the session's units from its beginning to its end."""
    visible = await draft.visible_units(conn, actor)
    return await draft.select(
        conn,
        "WHERE a.status = 'Exercise' AND a.unit_id = ANY($1::integer[])"
        " AND a.created_at >= $2 AND a.created_at < $3 ORDER BY a.alert_id LIMIT $4",
        sorted(set(units) & visible), session.begins_at, session.closed_at or session.ends_at,
        _MOST,
    )  # fmt: skip


async def _took_part(
    conn: Conn, keyring: Keyring, actor: Actor, alert_ids: Collection[int]
) -> tuple[TookPart, ...]:
    listed = await exercise_recipients.listing(conn, keyring, actor)
    keys = [(alert_id, one.endpoint_id) for alert_id in alert_ids for one in listed]
    states: dict[int, list[str]] = {}
    for (_, endpoint_id), found in (await deliveries.of_keys(conn, keys)).items():
        states.setdefault(endpoint_id, []).append(found.state)
    return tuple(
        TookPart(
            one.channel, one.address, one.unit_name, one.unit_name_en, one.note, one.usable,
            len(got), sum(state in _ARRIVED for state in got),
            sum(state in _CONFIRMED for state in got),
        )
        for one in listed
        for got in [states.get(one.endpoint_id, [])]
    )  # fmt: skip


def _between(earlier: datetime | None, later: datetime | None) -> timedelta | None:
    if earlier is None or later is None:
        return None
    return max(later - earlier, timedelta(0))
