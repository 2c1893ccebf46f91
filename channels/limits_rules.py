"""A carrier's limits as data, and their arithmetic.

Permissions leave one by one, evenly spaced: then the most that can fall into any window is the
window's length divided by the spacing, wherever it begins and however many processes take turns.
A permission may be used a moment late, so the spacing is made for a window that much longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

VALID: Final = 0.03
"""Seconds after its moment in which a permission may be used. Then it has expired: a process that
was held up must ask again instead of writing everything it was owed at once."""
_MARGIN: Final = 0.01
"""Seconds, and share of the window, for what lies between our clock and the carrier's: the write
itself, the network, and the carrier's own reading."""
URGENT_SHARE: Final = 0.9
"""What the emergency lane is left of an account while it takes permissions."""
URGENT_SECONDS: Final = 0.3
"""How long after its last permission the emergency lane still counts as taking."""
URGENT_PACE: Final = 0.25
"""Seconds over which is averaged what it really sends: it pauses between its batches. All of the
limit is the others' again some three times as long after its last message."""
URGENT_MUCH: Final = 0.05
"""From this part of the limit on, the other lanes have their share of what it really sends."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Never more than `most` in any window of `seconds`."""

    most: int
    seconds: float

    def __post_init__(self) -> None:
        if self.most < 1 or self.seconds <= 0:
            raise ValueError("a rule allows at least 1 in a window longer than 0 seconds")

    @property
    def stretched(self) -> float:
        """The window as seen where permissions are given: late use and the way are inside."""
        return self.seconds + VALID + max(_MARGIN, _MARGIN * self.seconds)


@dataclass(frozen=True, slots=True)
class Ramp:
    """After `idle` seconds without traffic an account begins at a share of its rate and climbs."""

    first: float = 0.2
    seconds: float = 60.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Everything one account is limited by."""

    rules: tuple[Rule, ...]
    groups: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    """Further rules for some of its traffic: the domain of a mail's recipient."""
    other_groups: tuple[Rule, ...] = ()
    """For every group that is not named in `groups`."""
    ramp: Ramp | None = None

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("an account has at least one rule")

    def of_group(self, group: str) -> tuple[Rule, ...]:
        """Return the further rules of a group; none for the empty one."""
        return self.groups.get(group, self.other_groups) if group else ()

    @property
    def per_second(self) -> float:
        """The rate that keeps every rule of the account, before what is left unused for safety."""
        return min(rule.most / rule.seconds for rule in self.rules)


def quota(most: int, workers: int, rank: int) -> int:
    """Return one worker's part of `most`: whole, and all parts together are exactly `most`."""
    return most // workers + (rank < most % workers)


def rate(rules: Sequence[Rule], workers: int = 1, rank: int = 0, block: int = 1) -> float:
    """Return permissions a second for one of so many workers, 0 when it has no part.

    `block` is the most that leave at one moment: together they lie in a window together.
    """
    rates = []
    for rule in rules:
        part = quota(rule.most, workers, rank)
        rates.append((max(1, part - block + 1) if part else 0) / rule.stretched)
    return min(rates)


def spacing(rules: Sequence[Rule]) -> list[tuple[int, float]]:
    """Return rules as Valkey counts them: how many, and in how many microseconds."""
    return [(rule.most, rule.stretched * 1e6) for rule in rules]


def in_valkey(limit: RateLimit) -> dict[str, Any]:
    """Return what never changes of a limit, in microseconds, as limits.lua reads it."""
    ramp = limit.ramp and {
        "first": limit.ramp.first,
        "seconds": limit.ramp.seconds * 1e6,
        "idle": limit.ramp.idle * 1e6,
    }
    return {
        "rules": spacing(limit.rules),
        "urgent": URGENT_SECONDS * 1e6,
        "urgent_share": URGENT_SHARE,
        "pace": URGENT_PACE * 1e6,
        "much": URGENT_MUCH,
    } | ({"ramp": ramp} if ramp else {})
