"""What one process may send of an account when nobody can be asked: limit ÷ live workers."""

from __future__ import annotations

from typing import Final

from channels.limits_rules import URGENT_SECONDS, URGENT_SHARE, VALID, RateLimit, quota, rate

STALE: Final = 2.5
"""Seconds after which a number of workers is too old to be relied on: shorter than a worker's
lease, so who cannot renew it has stopped before the others share out its part; and as long as a
new worker waits, so that all have counted it before it begins."""
RECOVER: Final = 20.0
"""Seconds from half the rate back to all of it would be half of this."""
LOWEST: Final = 0.1


class Alone:
    """Spaces one worker's part of an account's limit."""

    def __init__(self, limit: RateLimit, delay: float) -> None:
        """`delay`: seconds the others may still count on us after the shared limit was lost."""
        self._limit = limit
        self._delay = delay
        self._from = 0.0
        self._held = True
        self._free: dict[str, float] = {}
        self._free_other: dict[str, float] = {}
        self._urgent_until = 0.0
        self._blocked = 0.0
        self._cut, self._cut_at = 1.0, 0.0
        self._block = 1
        self.workers, self.rank = 0, 0
        self._told: float | None = None
        self._first_told: float | None = None

    def crew(self, workers: int, rank: int, now: float) -> None:
        """Take in how many workers live and which one this is (from 0)."""
        if self._told is None or now - self._told > STALE:
            # New, or held up so long that the others may have counted it out.
            self._first_told = now
        self.workers, self.rank, self._told = max(1, workers), rank, now

    @property
    def has_part(self) -> bool:
        """Whether every rule leaves this worker at least one permission."""
        return self.workers > 0 and all(
            quota(rule.most, self.workers, self.rank) for rule in self._limit.rules
        )

    @property
    def together(self) -> int:
        """Most permissions worth taking at one moment, at least 1.

        Half of this worker's part: the whole of it at once would leave the rest of a window
        empty, and more than its part would break the limit together with the others.
        """
        workers = max(1, self.workers)
        part = min(quota(rule.most, workers, self.rank) for rule in self._limit.rules)
        return max(1, (part + 1) // 2)

    def begin(self, now: float, share: float) -> None:
        """Start from nothing, at the share of the rate that was reached, and climb."""
        if self._held:
            self._from = now + self._delay
            self._cut, self._cut_at = share, now
            self._free.clear()
            self._free_other.clear()
        self._held = False

    def hold(self) -> None:
        """Send nothing more: the shared limit may count us in from now on."""
        self._held = True

    def throttled(self, now: float, until: float) -> None:
        """Stop, then go on at half the rate and climb."""
        if now > self._blocked + 1.0:
            self._cut = max(LOWEST, self._share(now) / 2)
        self._blocked = self._cut_at = max(self._blocked, until)

    def take(self, urgent: bool, count: int, group: str, now: float) -> float:
        """Take `count` permissions of the account and of the group, or none.

        Returns the moment by which they must be used, 0 for none.
        """
        if not self._may_send(now):
            return 0.0
        self._block = max(self._block, count)
        if urgent:
            self._urgent_until = now + URGENT_SECONDS
        steps = {line: self._step(line, now) for line in {"", group}}
        # Who comes to its permission a little late has not lost it.
        moments = {line: self._moment(line, step, now) for line, step in steps.items()}
        if max(moments.values()) > now:
            return 0.0
        others = not urgent and now < self._urgent_until
        if others and any(self._free_other.get(line, 0.0) > now for line in steps):
            return 0.0
        for line, step in steps.items():
            self._free[line] = moments[line] + count * step
            if others:
                self._free_other[line] = now + count * step / (1 - URGENT_SHARE)
        return min(moments.values()) + VALID

    def _may_send(self, now: float) -> bool:
        return (
            not self._held
            and self.has_part
            and now >= max(self._from, self._blocked)
            and self._told is not None
            and now - self._told <= STALE
            and self._first_told is not None
            and now - self._first_told >= STALE
        )

    def _moment(self, line: str, step: float, now: float) -> float:
        return max(self._free.setdefault(line, self._from + step), now - VALID)

    def _step(self, line: str, now: float) -> float:
        rules = self._limit.of_group(line) or self._limit.rules
        # No part of a group's tiny rule: wait for Valkey rather than exceed it.
        per = rate(rules, self.workers, self.rank, self._block) * self._share(now)
        return 1 / per if per else float("inf")

    def _share(self, now: float) -> float:
        return min(1.0, self._cut + max(0.0, now - self._cut_at) / RECOVER)
