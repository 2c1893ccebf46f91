"""How fast an account carries while it is at work: whether the others wait for its turn."""

from __future__ import annotations

import math

SLOWER = 1.5
"""So many times faster must another be before it takes the turns of one that is full."""
_MEMORY = 3.0
"""Seconds at work in which what was seen loses two thirds of its weight."""
_ENOUGH = 1.0
"""Seconds at work before an account is called slow."""
_GLIMPSE = 0.1
"""The same before it is called fast: while others wait for a slow one they have little work."""


class Speed:
    """Messages a second of one account while it holds batches, of its last seconds at work.

    Times when it holds none do not count: an account that is given little is not a slow one.
    """

    def __init__(self) -> None:
        self._messages = self.seconds = self._at = 0.0

    def pass_to(self, now: float, working: bool) -> None:
        """Let time go by until `now` (monotonic), in which it was working or had nothing to do."""
        gone, self._at = max(0.0, now - self._at), now
        if working:
            kept = math.exp(-gone / _MEMORY)
            self._messages *= kept
            self.seconds = self.seconds * kept + (1 - kept) * _MEMORY

    def carried(self, messages: int) -> None:
        """Count messages that have their outcomes."""
        self._messages += messages

    @property
    def rate(self) -> float:
        """Messages a second at work."""
        return self._messages / self.seconds if self.seconds else 0.0


def is_slower(one: Speed, other: Speed) -> bool:
    """Say whether `one` carries so much less than the other that waiting for it costs too much."""
    seen = one.seconds >= _ENOUGH and other.seconds >= _GLIMPSE
    return seen and other.rate > SLOWER * one.rate
