"""How often, and how much at once, somebody may ask for what costs something."""

from __future__ import annotations

import time
from collections import OrderedDict

from broadcaster.errors import Refused

_MOST_ADDRESSES = 50_000


class TooMany(Refused):
    """The address has asked too often; `seconds` says when to come back."""

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "too_many_requests",
            f"Gửi quá nhiều lần từ mạng này. Thử lại sau {seconds} giây.",
            f"Too many requests from this network. Try again in {seconds} seconds.",
            seconds=seconds,
        )
        self.seconds = seconds


class TooManyCounts(TooMany):
    """The official has counted too often."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.message_vi = f"Bạn đếm người quá nhiều lần. Thử lại sau {seconds} giây."
        self.message_en = f"You counted people too often. Try again in {seconds} seconds."


class TooLarge(Refused):
    """What was sent is longer than the route takes."""

    def __init__(self, most: int) -> None:
        super().__init__(
            "too_large",
            f"Nội dung dài quá {most} byte.",
            f"The body is longer than {most} bytes.",
        )


class Limit:
    """A bucket for each address that fills at an even rate; of this process alone.

    Whole mobile networks share one address, so a limit is generous: it stops a machine that asks
    a thousand times a minute, and never a neighbourhood in a flood.
    """

    def __init__(self, burst: int, per_minute: float, refusal: type[TooMany] = TooMany) -> None:
        self._refusal = refusal
        self._burst = float(burst)
        self._rate = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float | None = None) -> None:
        """Take one; raises TooMany when there is none left."""
        moment = time.monotonic() if now is None else now
        left, at = self._buckets.pop(address, (self._burst, moment))
        left = min(self._burst, left + (moment - at) * self._rate)
        if left < 1:
            self._buckets[address] = left, moment
            raise self._refusal(int((1 - left) / self._rate) + 1)
        self._buckets[address] = left - 1, moment
        if len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
