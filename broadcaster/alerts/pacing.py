"""How long carriers take for so many messages: limits, the climb after a pause, mail domains.

The arithmetic of `channels.limits` told in advance, for messages that keep every account busy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels.limits_alone import RECOVER
from channels.limits_rules import Ramp, Rule, rate

_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Account:
    """One account at a carrier."""

    per_second: float
    """When it has climbed all the way."""
    share: float = 1.0
    """Of that, at the start."""
    climb: float = 0.0
    """Share gained a second."""
    domains: Mapping[str, float] = field(default_factory=dict)
    """Mails a second to these domains."""
    other_domains: float = math.inf
    """To each of the others."""
    idle: float = math.inf
    """Seconds without a message after which it begins anew at `first`."""
    first: float = 1.0

    @property
    def limits_domains(self) -> bool:
        """Whether some mail domain gets less than the rest."""
        return bool(self.domains) or self.other_domains < math.inf

    def left_by(self, seconds: float, share: float) -> float:
        """Return how many messages leave within so many seconds, from a share of the rate on."""
        if share >= 1 or not self.climb:
            return self.per_second * min(share, 1.0) * seconds
        climbing = min(seconds, (1 - share) / self.climb)
        climbed = share * climbing + self.climb * climbing**2 / 2
        return self.per_second * (climbed + seconds - climbing)

    def climbs_for(self, share: float) -> float:
        """Return seconds until it has climbed to the whole of its rate."""
        return (1 - share) / self.climb if self.climb and share < 1 else 0.0

    def share_after(self, seconds: float, share: float) -> float:
        """Return the share it has climbed to by then."""
        return min(1.0, share + self.climb * seconds)

    def to_domain(self, domain: str) -> float:
        """Return how many mails a second it may give to a domain."""
        return self.domains.get(domain, self.other_domains)


def account_of(setup: Mapping[str, Any], share: float | None) -> Account:
    """Read an account as a worker wrote it down; `share` None: it has been quiet."""
    ramp = Ramp() if setup.get("ramp") else None
    if ramp is not None:
        return Account(
            _per_second(setup["rules"]),
            ramp.first if share is None else max(share, ramp.first),
            (1 - ramp.first) / ramp.seconds,
            idle=ramp.idle,
            first=ramp.first,
        )
    others = setup.get("other_groups") or ()
    return Account(
        _per_second(setup["rules"]),
        1.0 if share is None else share,
        1 / RECOVER,
        {domain: _per_second(rules) for domain, rules in setup.get("groups", {}).items()},
        _per_second(others) if others else math.inf,
    )


def _per_second(rules: Sequence[Sequence[float]]) -> float:
    return rate([Rule(int(most), seconds) for most, seconds in rules])


class Line:
    """The accounts of one channel, and how far they have come: asked forward in time only."""

    def __init__(self, accounts: Sequence[Account], part: float = 1.0) -> None:
        """`part` of their rate is ours, while others take the rest."""
        self.accounts = accounts
        self._part = part
        self._shares = [one.share for one in accounts]
        self.at = 0.0
        """Seconds from the start by which everything asked for has left."""

    @property
    def per_second(self) -> float:
        """When all have climbed."""
        return self._part * sum(one.per_second for one in self.accounts)

    def start(self, at: float) -> None:
        """Let the line stand still until then; what was idle for long climbs again."""
        if at <= self.at:
            return
        waited, self.at = at - self.at, at
        self._shares = [
            one.first if waited > one.idle else one.share_after(waited, share)
            for one, share in zip(self.accounts, self._shares, strict=True)
        ]

    def takes(self, messages: float, domains: Mapping[str, float] | None = None) -> float:
        """Return seconds until so many have left from now on; inf while nobody takes any.

        `domains` are the parts of them that go to each domain; what is left goes everywhere.
        """
        if messages <= 0:
            return 0.0
        if not self.per_second:
            return math.inf
        slowest = max(
            (messages * part / self._to_domain(name) for name, part in (domains or {}).items()),
            default=0.0,
        )
        return max(self._until(messages), slowest)

    def _until(self, messages: float) -> float:
        """Return seconds until so many have left, whatever their domains."""
        climbed = max(
            one.climbs_for(share) for one, share in zip(self.accounts, self._shares, strict=True)
        )
        gone = self._left_by(climbed)
        if gone <= messages:
            # From here on the rate is even.
            rate = self._left_by(climbed + 1) - gone
            return climbed + (messages - gone) / rate if rate > 0 else math.inf
        low, high = 0.0, climbed
        while high - low > _CLOSE * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._left_by(middle) < messages else (low, middle)
        return high

    def send(self, messages: float, domains: Mapping[str, float] | None = None) -> None:
        """Let so many leave."""
        spent = self.takes(messages, domains)
        self._shares = [
            one.share_after(spent, share)
            for one, share in zip(self.accounts, self._shares, strict=True)
        ]
        self.at += spent

    def _left_by(self, seconds: float) -> float:
        return self._part * sum(
            one.left_by(seconds, share)
            for one, share in zip(self.accounts, self._shares, strict=True)
        )

    def _to_domain(self, name: str) -> float:
        return self._part * sum(one.to_domain(name) for one in self.accounts)
