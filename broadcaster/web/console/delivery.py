"""Counts of deliveries as an honest bar: what is known, what is only handed off, what is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.fanout.progress import ChannelProgress


@dataclass(frozen=True, slots=True)
class Delivery:
    """Deliveries of one channel, or of all, in the order the bar draws them."""

    channel: str
    seen: int
    confirmed: int
    handed_off: int
    unknown: int
    failed: int
    expired: int
    stopped: int
    pending: int

    @property
    def total(self) -> int:
        """All deliveries written so far."""
        return (
            self.seen + self.confirmed + self.handed_off + self.unknown
            + self.failed + self.ended + self.pending
        )  # fmt: skip

    @property
    def ended(self) -> int:
        """Expired or stopped before hand-off."""
        return self.expired + self.stopped

    @property
    def states(self) -> list[tuple[str, str, int]]:
        """Return (kind of mark, state, count) of the states there are, in the bar's order."""
        counts = (
            ("seen", "seen", self.seen),
            ("conf", "confirmed", self.confirmed),
            ("hand", "handed_off", self.handed_off),
            ("unk", "unknown", self.unknown),
            ("fail", "failed", self.failed),
            ("out", "expired", self.expired),
            ("out", "stopped", self.stopped),
            ("wait", "pending", self.pending),
        )
        return [(kind, state, count) for kind, state, count in counts if count]

    @property
    def left_us(self) -> int:
        """Deliveries a carrier has taken from us."""
        return self.seen + self.confirmed + self.handed_off

    @property
    def settled(self) -> int:
        """Deliveries that need nothing more from us."""
        return self.total - self.pending - self.unknown

    @property
    def lost(self) -> int:
        """Deliveries that will not arrive by themselves any more."""
        return self.failed + self.ended

    def rest(self, sending: bool) -> str:
        """Say how far the channel is: open, or ended with all handed off, some lost or unknown.

        What is unknown is tried again while the alert is being sent.
        """
        if not self.total or self.pending or (self.unknown and sending):
            return "open"
        if self.lost:
            return "lost"
        return "unknown" if self.unknown else "all"

    @property
    def segments(self) -> list[tuple[str, float]]:
        """Return (kind of mark, share) for the bar."""
        whole = self.total or 1
        counts = (
            ("seen", self.seen),
            ("conf", self.confirmed),
            ("hand", self.handed_off),
            ("unk", self.unknown),
            ("fail", self.failed),
            ("out", self.ended),
            ("wait", self.pending),
        )
        return [(kind, count / whole) for kind, count in counts]

    def share(self, count: int) -> float:
        """Return a count as a share of all."""
        return count / self.total if self.total else 0.0


def of(counts: ChannelProgress) -> Delivery:
    """Return one channel's deliveries."""
    return Delivery(
        channel=counts.channel,
        seen=counts.seen,
        confirmed=counts.confirmed,
        handed_off=counts.handed_off,
        unknown=counts.unknown,
        failed=counts.failed,
        expired=counts.expired,
        stopped=counts.stopped,
        pending=counts.pending,
    )


def total_of(channels: Iterable[ChannelProgress]) -> Delivery:
    """Return the deliveries of all channels together."""
    parts = [of(channel) for channel in channels]
    return Delivery(
        channel="",
        seen=sum(part.seen for part in parts),
        confirmed=sum(part.confirmed for part in parts),
        handed_off=sum(part.handed_off for part in parts),
        unknown=sum(part.unknown for part in parts),
        failed=sum(part.failed for part in parts),
        expired=sum(part.expired for part in parts),
        stopped=sum(part.stopped for part in parts),
        pending=sum(part.pending for part in parts),
    )
