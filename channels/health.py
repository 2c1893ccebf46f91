"""When a provider counts as sick, and the breaker that takes traffic off it and gives it back.

A breaker is closed (traffic flows), open (none does) or half open (a little, to see). It moves by
the one table below, on findings from what all workers saw of late and from the link test.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from channels.base import UNFINISHED, Action, Outcome, Result


class Breaker(enum.StrEnum):
    """Whether a provider is given traffic."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Finding(enum.StrEnum):
    """What recent traffic and tests say."""

    BAD = "bad"
    """Too many faults, or answers so slow that batches outlive their purpose."""
    GOOD = "good"
    """Enough messages went through since it was last in doubt."""
    TRY = "try"
    """Time to let a little traffic through: the link test passed, or its wait is over."""


MOVES: Final[Mapping[tuple[Breaker, Finding], Breaker]] = {
    (Breaker.CLOSED, Finding.BAD): Breaker.OPEN,
    (Breaker.OPEN, Finding.TRY): Breaker.HALF_OPEN,
    (Breaker.HALF_OPEN, Finding.GOOD): Breaker.CLOSED,
    (Breaker.HALF_OPEN, Finding.BAD): Breaker.OPEN,
}
"""Whatever is not here stays as it is."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The numbers a finding is made by."""

    window: float = 15.0
    """Seconds of traffic that are looked at."""
    late: float = 4.0
    """Seconds in which nothing but faults is enough: what went well before counts for nothing."""
    fewest: int = 20
    """Messages below which a share says nothing, unless every one of them failed."""
    fewest_all_failed: int = 5
    bad_share: float = 0.5
    """Faults among those tried: at this share a provider costs more time than it saves."""
    slow: Mapping[str, float] = field(
        default_factory=lambda: {"push": 5.0, "sms": 10.0, "email": 20.0}
    )
    """Mean seconds to an answer, by channel, from which a provider is bad."""
    good: int = 20
    """Messages without a bad share that close a half-open breaker."""
    good_share: float = 0.2
    good_tests: int = 2
    """Link tests in a row that close it where there is no traffic."""
    open_seconds: float = 5.0
    """First stay open; doubled each time it opens again without having closed."""
    open_longest: float = 60.0


THRESHOLDS: Final = Thresholds()


@dataclass(frozen=True, slots=True)
class Health:
    """What all workers saw of one provider within the window."""

    tried: int = 0
    faults: int = 0
    throttled: int = 0
    seconds: float = 0.0
    """Sum over those tried."""
    late_tried: int = 0
    """Those of the last moments."""
    late_faults: int = 0

    @property
    def fault_share(self) -> float:
        """Faults among those tried, from 0 to 1."""
        return self.faults / self.tried if self.tried else 0.0

    @property
    def latency(self) -> float:
        """Mean seconds to an answer."""
        return self.seconds / self.tried if self.tried else 0.0


_OF_THE_SERVER: Final = ("no connection", "connection lost", "no answer", "421")
"""How the reasons begin by which a temporary mail error is the server's. All others, greylisting
and full mailboxes among them, are one recipient's and say nothing of the server."""


def is_throttle(outcome: Outcome) -> bool:
    """Say whether the carrier only asked us to slow down: it is well, and the limiter obeys."""
    return outcome.result is Result.TEMPORARY and outcome.retry_after is not None


def is_fault(channel: str, outcome: Outcome) -> bool:
    """Say whether an outcome speaks against the provider: no answer, or an error of its own.

    What our own account or payload is to blame for pauses the provider by the channel's table, and
    what is wrong with one address says nothing about the carrier.
    """
    if outcome.result is Result.UNKNOWN or outcome.action is Action.AWAY:
        return True
    if outcome.result is not Result.TEMPORARY or outcome.action is not Action.NONE:
        return False
    if is_throttle(outcome) or outcome.reason == UNFINISHED:
        return False
    return channel != "email" or outcome.reason.startswith(_OF_THE_SERVER)


def finding(
    channel: str,
    breaker: Breaker,
    health: Health,
    *,
    wait_over: bool,
    tested: bool,
    good_tests: int,
    thresholds: Thresholds = THRESHOLDS,
) -> Finding | None:
    """Judge a provider by what was seen since its breaker last moved, None for no news.

    `wait_over`: it was open long enough. `tested`: it has a link test, which then decides the
    return. `good_tests`: link tests in a row that passed since the breaker moved.
    """
    if breaker is Breaker.OPEN:
        ready = wait_over and (good_tests > 0 or not tested)
        return Finding.TRY if ready else None
    if is_bad(channel, health, thresholds):
        return Finding.BAD
    if breaker is Breaker.HALF_OPEN:
        enough = health.tried >= thresholds.good and health.fault_share < thresholds.good_share
        if enough or (good_tests >= thresholds.good_tests and not health.faults):
            return Finding.GOOD
    return None


def is_bad(channel: str, health: Health, thresholds: Thresholds = THRESHOLDS) -> bool:
    """Say whether traffic should go elsewhere."""
    slow = health.tried >= thresholds.fewest and health.latency >= thresholds.slow[channel]
    return slow or is_faulty(health, thresholds)


def is_faulty(health: Health, thresholds: Thresholds = THRESHOLDS) -> bool:
    """Say whether too many failed for the carrier's sake."""
    for tried, faults in ((health.tried, health.faults), (health.late_tried, health.late_faults)):
        if tried >= thresholds.fewest_all_failed and faults == tried:
            return True
    return health.tried >= thresholds.fewest and health.fault_share >= thresholds.bad_share


def wait(opened: int, thresholds: Thresholds = THRESHOLDS) -> float:
    """Return seconds to stay open when it opened so often (from 1) without having closed."""
    doubled: float = thresholds.open_seconds * 2 ** min(opened - 1, 10)
    return min(thresholds.open_longest, doubled)


def weight_share(health: Health, thresholds: Thresholds = THRESHOLDS) -> float:
    """Return the part of its weight a provider keeps: errors shift traffic before it breaks."""
    if health.tried < thresholds.fewest:
        return 1.0
    return max(0.1, 1.0 - 2.0 * health.fault_share)
