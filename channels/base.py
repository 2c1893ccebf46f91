"""The interface every channel implements, and the words it reports in.

A channel turns a batch of recipients into outcomes. It knows one carrier protocol and nothing
of alerts, databases or queues; what it must never do is decide that an error is final unless
the carrier's own documentation says so (each channel keeps a literal table of codes).
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

Content = TypeVar("Content")

Permit = Callable[[], bool]
"""Asked before every single message is written to a socket. False: send nothing more of this
batch (stopped, expired or the lease is lost). It reads a flag, so it may be asked often."""


class Result(enum.StrEnum):
    """What became of one try at one message."""

    ACCEPTED = "accepted"
    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    UNKNOWN = "unknown"
    """Written to the socket, no answer: the carrier may or may not have it."""
    NOT_SENT = "not_sent"
    """Never written to a socket: the permit was withdrawn or the provider is paused."""


class Action(enum.StrEnum):
    """What the caller must do beyond recording the outcome."""

    NONE = "none"
    RETIRE = "retire"
    """The address is dead for good: retire the endpoint."""
    PAUSE = "pause"
    """Our own account or payload is at fault: pause the provider, touch no endpoint."""
    AWAY = "away"
    """The carrier cannot be reached and nothing was written: no try was made, wait for it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A channel's fixed limits, tested against every wording in the catalogue."""

    per_second: int
    """Messages a second one account may be given."""
    batch: int
    """Most recipients in one batch (about one second's worth, at most 1,000)."""
    in_doubt: int
    """Most messages whose outcome can be lost in a crash: the bound on duplicates."""


# Made for every message, so they are tuples: a frozen dataclass takes four times as long to make.
class Recipient(NamedTuple):
    """One endpoint in a batch."""

    ref: int
    """The caller's id, given back in the outcome."""
    address: str
    """Decrypted: `fid:…`/`token:…` for push, E.164 with + for SMS, addr-spec for mail."""
    content: str
    """Key into Batch.contents (a language, for alerts)."""
    token: str = ""
    """Opaque, URL-safe and stable over retries; mail builds its Message-ID, return path and
    unsubscribe link from it."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[Content]):
    """Recipients of one alert (or of unrelated single messages) and what they are sent."""

    contents: Mapping[str, Content]
    recipients: Sequence[Recipient]
    expires: datetime
    """Aware. Nothing may arrive after it: every carrier message carries it."""
    urgent: bool
    tag: str = ""
    """One visible notification per tag: the alert's root id (at most 64 bytes)."""
    sequence: int = 0
    """Newest wins on one phone."""
    lane: int = 1
    """Of batches that wait for the same connections, the lowest goes first."""


class Outcome(NamedTuple):
    """What became of one recipient in this try."""

    ref: int
    result: Result
    reason: str = ""
    """Carrier's code, as the carrier writes it (`UNREGISTERED`, `0x0000000b`, `550 5.1.1`)."""
    provider_ids: tuple[str, ...] = ()
    """The carrier's message ids, one per part, in order."""
    retry_after: float | None = None
    """Seconds the carrier asked us to wait, if it did."""
    action: Action = Action.NONE


class Pace(Protocol):
    """Permissions by the carrier's limits, counted in its own unit.

    The unit is a request for push, a submitted part for SMS and a recipient for mail. A permission
    is taken right before writing and used at once: one used late could break a limit in the
    window it is used in.
    """

    @property
    def together(self) -> int:
        """Most permissions worth taking at one moment, at least 1.

        What leaves at one moment lies in every window together, so a small limit leaves little.
        """
        ...

    def ready(self, count: int = 1, group: str = "") -> bool:
        """Take `count` permissions if they may be used this very moment; costs next to nothing.

        `group` is what a carrier limits apart: the domain of a mail's recipient.
        """
        ...

    async def take(self, count: int = 1, group: str = "") -> None:
        """Wait until `count` may be used, and take them."""

    def slow_down(self, seconds: float | None) -> None:
        """Send nothing for so long: the carrier throttled us (None: it did not say how long)."""


class Unlimited:
    """A pace without a limit, for tests and measurements."""

    together = 1_000

    def ready(self, count: int = 1, group: str = "") -> bool:
        """Grant it."""
        return True

    async def take(self, count: int = 1, group: str = "") -> None:
        """Grant it."""

    def slow_down(self, seconds: float | None) -> None:
        """Go on all the same."""


WITHDRAWN: Final = "permit withdrawn"
"""Reason of what was not sent because its permit was no more."""
UNFINISHED: Final = "part not written"
"""Reason of a message of several parts whose rest had no permission in time."""
_LOOK: Final = 0.25
"""Seconds between two looks at the permit while permissions are awaited."""


async def permission(pace: Pace, permit: Permit, count: int = 1, group: str = "") -> bool:
    """Wait for permissions for as long as the permit holds; False: it was withdrawn.

    A carrier may ask for minutes of silence: what was stopped, or is better sent elsewhere, must
    not sit them out.
    """
    if pace.ready(count, group):
        return True
    waiting = asyncio.ensure_future(pace.take(count, group))
    try:
        while permit():
            if (await asyncio.wait({waiting}, timeout=_LOOK))[0]:
                await waiting
                return True
        return False
    finally:
        waiting.cancel()


class Channel(Protocol[Content]):
    """One account at one carrier."""

    name: ClassVar[str]
    limits: ClassVar[Limits]

    @property
    def latency(self) -> float:
        """Seconds from writing a message to its answer, of late."""
        ...

    async def open(self) -> None:
        """Connect what can be connected. Does not raise when the carrier is away."""

    async def close(self) -> None:
        """Close every connection; safe to call twice."""

    def send(
        self, batch: Batch[Content], permit: Permit, pace: Pace
    ) -> AsyncIterator[list[Outcome]]:
        """Send a batch; yield outcomes in groups, exactly one outcome per recipient in the end.

        The caller commits each group before asking for the next, so a group is never larger
        than `limits.in_doubt`. Never raises for a carrier's fault: that is an outcome. Each
        permission of `pace` is taken right before its message is written, then `permit` asked.
        """
        ...
