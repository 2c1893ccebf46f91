"""Permissions one process has reserved of a line, until they are used or expire."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final


@dataclass(slots=True)
class Stock:
    """Permissions reserved of one line, in order: each has a moment and expires soon after."""

    at: float = 0.0
    """Moment of the next one."""
    ends: float = 0.0
    """When it expires."""
    step: float = 0.0
    left: int = 0
    later: deque[tuple[float, float, float, int]] = field(default_factory=deque)
    used: int = 0
    """Since the last question."""

    def add(self, at: float, ends: float, step: float, count: int) -> None:
        """Put reserved permissions behind those that are left."""
        if self.left or self.later:
            self.later.append((at, ends, step, count))
        else:
            self.at, self.ends, self.step, self.left = at, ends, step, count

    def fits(self, now: float, count: int) -> bool:
        """Say whether so many may be used now, until `ends`; drops what has expired."""
        while True:
            if self.left and now > self.ends:
                gone = int((now - self.ends) / self.step) + 1 if self.step else self.left
                self._skip(min(gone, self.left))
            elif self.left >= count:
                return self.at + (count - 1) * self.step <= now
            elif self.later and now >= self.later[0][0]:
                # What is left is less than is asked for at once: lost, when there is more behind.
                self.at, self.ends, self.step, self.left = self.later.popleft()
            else:
                return False

    def use(self, count: int) -> None:
        """Take what fits() has found."""
        self.used += count
        self._skip(count)

    def _skip(self, count: int) -> None:
        self.left -= count
        self.at += count * self.step
        self.ends += count * self.step
        if not self.left and self.later:
            self.at, self.ends, self.step, self.left = self.later.popleft()

    def reserved(self) -> int:
        """Count what is there."""
        return self.left + sum(more[3] for more in self.later)

    def drop(self) -> None:
        """Let everything go."""
        self.left = 0
        self.later.clear()


class Shortage:
    """Whether for some time more was wanted than there was; a burst alone is no shortage."""

    _MEMORY: Final = 0.5
    """Seconds in which what was seen loses two thirds of its weight."""
    _FARTHEST: Final = 0.15
    """Seconds for which one answer speaks at most: between bursts nothing is asked."""

    def __init__(self) -> None:
        self._level = self._at = 0.0

    def see(self, now: float, short: bool) -> None:
        """Take in at a (monotonic) moment whether an answer gave less than was wanted."""
        gone, self._at = min(now - self._at, self._FARTHEST), now
        self._level += (short - self._level) * (1 - math.exp(-gone / self._MEMORY))

    @property
    def lasts(self) -> bool:
        """Whether most answers of the last half second gave less than was wanted."""
        return self._level > 0.5
