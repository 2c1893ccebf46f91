"""The cadence engine: from rules and notices to a status and the next due moment. Pure.

The rule is a minimum. A unit complies at a moment when the period that ends there holds at least
the number of notices asked for; it owes one from the moment this stops being so. Nothing here
can hold back or delay an alert.

A period is the half-open window (moment - period, moment]: 72 hours to the second after the last
notice the unit is overdue, and a notice published in that very second makes it whole again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

CITY_TIME = ZoneInfo("Asia/Ho_Chi_Minh")


class Status(enum.StrEnum):
    """How a unit stands with its duty."""

    ON_TIME = "on_time"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Rule:
    """At least `count` notices of `classes` in every rolling `period`."""

    count: int
    period: timedelta
    due_soon: timedelta
    classes: frozenset[str]
    valid_from: datetime
    valid_to: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Say whether the rule holds at this moment."""
        return self.valid_from <= now and (self.valid_to is None or now < self.valid_to)


@dataclass(frozen=True, slots=True)
class Notice:
    """A published notice: its class, and when the first hand-off succeeded."""

    at: datetime
    alert_class: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a unit stands with one rule."""

    status: Status
    last: datetime | None
    """The newest notice that counts."""
    due: datetime
    """From this moment on the unit is overdue unless it has published again."""


@lru_cache(1_000)
def first_day(valid_from: date) -> datetime:
    """Return the moment a unit comes into being: midnight in the city."""
    # In UTC, as everything it is compared with: two zones make each comparison ten times as slow.
    return datetime.combine(valid_from, time(), CITY_TIME).astimezone(UTC)


def stand(rule: Rule, notices: Iterable[Notice], unit_since: datetime, now: datetime) -> Standing:
    """Judge one unit by one rule at one moment; order of the notices does not matter."""
    counting = sorted(
        (n.at for n in notices if n.alert_class in rule.classes and n.at <= now), reverse=True
    )
    since = max(unit_since, rule.valid_from)
    # With fewer notices than asked for, the first period begins with the unit and the rule.
    spent = counting[rule.count - 1] if len(counting) >= rule.count else since
    due = max(spent, since) + rule.period
    if now >= due:
        status = Status.OVERDUE
    elif now >= due - rule.due_soon:
        status = Status.DUE_SOON
    else:
        status = Status.ON_TIME
    return Standing(status, counting[0] if counting else None, due)


def most_pressing(standings: Sequence[Standing]) -> Standing | None:
    """Of several rules, the one that falls due first decides; None where no rule holds."""
    return min(standings, key=lambda standing: standing.due, default=None)
