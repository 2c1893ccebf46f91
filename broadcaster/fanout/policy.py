"""How each channel is driven: sizes, leases and when to try again. Data, in one place."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

CHANNELS = ("push", "sms", "email")

CHUNK = 50_000
"""Most deliveries written in one transaction."""
FIRST_CHUNK = 2_000
"""People in the first chunk: small, so that the first message leaves at once."""
LEASE = timedelta(seconds=5)
"""A claimed batch is anyone's again after this long without a sign of life. A living sender gives
one every 0.3 s (guard), so this is what a killed one costs its last batches, and no more."""
ASIDE = timedelta(seconds=30)
"""A batch that cannot be sent for a fault of ours waits this long, so that others are sent."""
EXPANSION_LEASE = timedelta(seconds=10)
"""Renewed with every chunk, which takes half a second: what a killed clockwork costs."""
UNKNOWN_TRIES = 3
"""Tries at a delivery whose fate stays unknown; then it is left and counted as unknown."""


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """One channel's numbers. A batch is about one second of the channel's rate."""

    batch: int
    slots: int
    """Batches one worker sends at a time."""
    keeps_refs: bool
    """The carrier's message ids come back in receipts, so they are kept."""


POLICIES: Mapping[str, ChannelPolicy] = {
    "push": ChannelPolicy(batch=1_000, slots=2, keeps_refs=False),
    "sms": ChannelPolicy(batch=500, slots=1, keeps_refs=True),
    "email": ChannelPolicy(batch=500, slots=1, keeps_refs=False),
}

# Seconds to wait after the first, second, … try. An urgent SMS is tried
# again after 25 s by GC Notify, a routine one after 300 s; push is cheaper to repeat. After the
# last step the wait doubles up to LONGEST: only the alert's end ends the tries, for a carrier that
# was away all night may be back before a warning is over.
LONGEST = 900.0
_BACKOFF: Mapping[int, tuple[float, ...]] = {
    0: (2, 5, 15, 25, 60),
    1: (3, 10, 25, 60, 120),
    2: (10, 60, 300),
}


def backoff(lane: int, attempt: int, retry_after: float | None) -> timedelta:
    """How long to wait after try number `attempt` (from 1), with up to a quarter of jitter."""
    steps = _BACKOFF[lane]
    beyond = max(0, attempt - len(steps))
    planned = min(steps[min(attempt, len(steps)) - 1] * 2.0 ** min(beyond, 10), LONGEST)
    seconds = max(planned, retry_after or 0)
    return timedelta(seconds=seconds * random.uniform(1, 1.25))  # noqa: S311 - jitter, no secret


def tries_unknown_again(channel: str, lane: int) -> bool:
    """Say whether a delivery whose fate is unknown is tried again.

    An unknown push replaces itself under its tag and a mail keeps its Message-ID, so both are
    sent again; a second SMS costs money and alarm, so a routine one is held.
    """
    return channel != "sms" or lane < 2
