"""How fast an account carries while it is at work: whether the others wait for its turn."""

from __future__ import annotations

import math

SLOWER = 1.5
"""So many times faster must another be before it takes the turns of one that is full."""
_MEMORY = 3.0
"""Seconds in which what was seen loses two thirds of its weight."""
_ENOUGH = 0.5
"""Seconds at work before which nothing is said about an account's speed."""


class Speed:
    """Messages a second of one account while it holds batches, of the last seconds.

    Times when it holds none do not count: an account that is given little is not a slow one.
    """

    def __init__(self) -> None:
        self._messages = self._seconds = self._at = 0.0

    def pass_to(self, now: float, working: bool) -> None:
        """Let time go by until `now` (monotonic), in which it was working or had nothing to do."""
        gone, self._at = max(0.0, now - self._at), now
        kept = math.exp(-gone / _MEMORY)
        self._messages *= kept
        self._seconds *= kept
        if working:
            self._seconds += (1 - kept) * _MEMORY

    def carried(self, messages: int) -> None:
        """Count messages that have their outcomes."""
        self._messages += messages

    @property
    def rate(self) -> float | None:
        """Messages a second; None while too little was seen."""
        return self._messages / self._seconds if self._seconds >= _ENOUGH else None


def is_slower(one: Speed, other: Speed) -> bool:
    """Say whether `one` carries so much less than the other that waiting for it costs too much."""
    mine, theirs = one.rate, other.rate
    return mine is not None and theirs is not None and theirs > SLOWER * mine
