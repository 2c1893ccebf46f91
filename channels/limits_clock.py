"""What another machine's clock shows at a moment of ours, within known bounds.

Each answer says that the other clock stood at a value somewhere between our question and its
arrival. The narrowest of the answers of late bounds the difference to a fraction of a millisecond,
so a slow answer does not make permissions early or late.
"""

from __future__ import annotations

_DRIFT = 1e-4
"""Seconds a second by which two clocks may drift apart."""


class Clock:
    """The difference between another machine's clock and ours, as lower and upper bound."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._known_at: float | None = None

    def forget(self) -> None:
        """Begin anew: it may be another machine."""
        self._known_at = None

    def heard(self, asked: float, arrived: float, micros: int) -> None:
        """Take in that the other clock showed so much between two of our moments."""
        low, high = micros / 1e6 - arrived, micros / 1e6 - asked
        if self._known_at is not None:
            drift = _DRIFT * (arrived - self._known_at)
            narrow = max(low, self._low - drift), min(high, self._high + drift)
            if narrow[0] <= narrow[1]:
                low, high = narrow
        # Bounds that exclude each other mean that the other clock was set: believe the newest.
        self._low, self._high, self._known_at = low, high, arrived

    def ours(self, micros: float) -> tuple[float, float]:
        """Return our latest and our earliest moment for a moment of theirs, in seconds."""
        return micros / 1e6 - self._low, micros / 1e6 - self._high

    def theirs(self, moment: float) -> int:
        """Return what their clock shows at least at a moment of ours, 0 when it is unknown."""
        return 0 if self._known_at is None else int((moment + self._low) * 1e6)
