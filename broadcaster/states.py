"""Every state and its allowed moves, one table each. State moves by these tables only.

A move is `UPDATE … WHERE state = old`: one row, or it is refused (somebody else was first).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar


class AlertState(enum.StrEnum):
    """The life of one alert."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    REJECTED = "rejected"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    STOPPED = "stopped"
    EXPIRED = "expired"


class DeliveryState(enum.StrEnum):
    """One alert to one endpoint.

    `claimed` is not stored here: a delivery is claimed while the batch that lists it is.
    """

    PENDING = "pending"
    HANDED_OFF = "handed_off"
    CONFIRMED = "confirmed"
    SEEN = "seen"
    FAILED = "failed"
    EXPIRED = "expired"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class BatchState(enum.StrEnum):
    """About one second's worth of deliveries of one alert on one channel."""

    READY = "ready"
    CLAIMED = "claimed"
    DONE = "done"


class IncidentState(enum.StrEnum):
    """What happened out there, from the first report to the last answer."""

    RECEIVED = "received"
    TRIAGED = "triaged"
    ASSIGNED = "assigned"
    UNDER_WAY = "under_way"
    RESOLVED = "resolved"
    CLOSED = "closed"
    REOPENED = "reopened"
    DUPLICATE = "duplicate"
    OUT_OF_REMIT = "out_of_remit"


class VersionState(enum.StrEnum):
    """One version of a unit's template or scenario."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    IN_FORCE = "in_force"
    SUPERSEDED = "superseded"


_A = AlertState
ALERT_MOVES: Mapping[AlertState, frozenset[AlertState]] = {
    # An edit is a move back to draft: it voids a check, a submission and an approval alike.
    # A follow-up that is given up is rejected from wherever it is, so that another can be written.
    _A.DRAFT: frozenset({_A.SUBMITTED, _A.REJECTED}),
    _A.SUBMITTED: frozenset({_A.APPROVED, _A.RETURNED, _A.REJECTED, _A.DRAFT}),
    _A.RETURNED: frozenset({_A.DRAFT, _A.REJECTED}),
    _A.REJECTED: frozenset(),
    _A.APPROVED: frozenset({_A.SCHEDULED, _A.SENDING, _A.STOPPED, _A.EXPIRED, _A.DRAFT}),
    _A.SCHEDULED: frozenset({_A.SENDING, _A.STOPPED, _A.EXPIRED, _A.DRAFT}),
    # Stopped by an official, or by a follow-up that begins (`superseded_by`).
    _A.SENDING: frozenset({_A.SENT, _A.STOPPED, _A.EXPIRED}),
    _A.SENT: frozenset({_A.EXPIRED}),
    _A.STOPPED: frozenset(),
    _A.EXPIRED: frozenset(),
}

ALERT_REPLAYS: Mapping[AlertState, frozenset[AlertState]] = {
    # An alert with dead letters to send again goes on sending, for as long as it is in force.
    # A table of its own, so that no order to start can ever begin an alert a second time.
    _A.SENT: frozenset({_A.SENDING}),
}

_D = DeliveryState
_RECEIPTS = frozenset({_D.CONFIRMED, _D.SEEN, _D.FAILED})
DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _D.PENDING: frozenset(
        {_D.HANDED_OFF, _D.FAILED, _D.EXPIRED, _D.STOPPED, _D.UNKNOWN, _D.CONFIRMED, _D.SEEN}
    ),
    # Receipts move forward only; a phone that confirms cannot fail afterwards.
    _D.HANDED_OFF: _RECEIPTS,
    _D.UNKNOWN: _RECEIPTS | {_D.HANDED_OFF, _D.EXPIRED, _D.STOPPED},
    _D.CONFIRMED: frozenset({_D.SEEN}),
    _D.SEEN: frozenset(),
    _D.FAILED: frozenset(),
    _D.EXPIRED: frozenset(),
    _D.STOPPED: frozenset(),
}
DELIVERY_REPLAYS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    # Somebody decided that a dead letter is worth another try, because what was wrong is mended.
    # Only a replay makes these moves (fanout/replay.py): no receipt and no retry ever may.
    _D.FAILED: frozenset({_D.PENDING}),
    # Direct messages only. A delivery left unknown may have arrived: it stays unknown while it is
    # tried again, so that a cancel still counts it among those reached.
    _D.UNKNOWN: frozenset({_D.PENDING}),
}
SETTLED = frozenset(_D) - {_D.PENDING, _D.UNKNOWN}
"""Deliveries that need nothing more from us; receipts are not awaited."""

_B = BatchState
BATCH_MOVES: Mapping[BatchState, frozenset[BatchState]] = {
    _B.READY: frozenset({_B.CLAIMED, _B.DONE}),
    # claimed → claimed: the lease ran out and another worker takes over with a higher fence.
    _B.CLAIMED: frozenset({_B.CLAIMED, _B.READY, _B.DONE}),
    _B.DONE: frozenset(),
}

_I = IncidentState
_WORK = frozenset({_I.DUPLICATE, _I.OUT_OF_REMIT})
INCIDENT_MOVES: Mapping[IncidentState, frozenset[IncidentState]] = {
    _I.RECEIVED: _WORK | {_I.TRIAGED, _I.ASSIGNED, _I.UNDER_WAY, _I.RESOLVED},
    _I.TRIAGED: _WORK | {_I.ASSIGNED, _I.UNDER_WAY, _I.RESOLVED},
    _I.ASSIGNED: _WORK | {_I.TRIAGED, _I.UNDER_WAY, _I.RESOLVED},
    _I.UNDER_WAY: _WORK | {_I.ASSIGNED, _I.RESOLVED},
    _I.RESOLVED: frozenset({_I.CLOSED, _I.REOPENED}),
    _I.CLOSED: frozenset({_I.REOPENED}),
    _I.REOPENED: _WORK | {_I.TRIAGED, _I.ASSIGNED, _I.UNDER_WAY, _I.RESOLVED},
    _I.DUPLICATE: frozenset({_I.REOPENED}),
    _I.OUT_OF_REMIT: frozenset({_I.REOPENED}),
}

_V = VersionState
VERSION_MOVES: Mapping[VersionState, frozenset[VersionState]] = {
    # An edit of what waits for review takes it back; so does a reviewer who returns it.
    _V.DRAFT: frozenset({_V.SUBMITTED}),
    _V.SUBMITTED: frozenset({_V.DRAFT, _V.IN_FORCE}),
    # What was reviewed never changes: the next version takes its place.
    _V.IN_FORCE: frozenset({_V.SUPERSEDED}),
    _V.SUPERSEDED: frozenset(),
}

State = TypeVar("State", bound=enum.StrEnum)


def sources(moves: Mapping[State, frozenset[State]], target: State) -> list[str]:
    """List the states from which `target` may be reached: the WHERE of a move."""
    return [source.value for source, targets in moves.items() if target in targets]
