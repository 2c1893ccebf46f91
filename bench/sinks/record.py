"""What one carrier saw: a line for every message on the wire, contents kept once."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Answer(IntEnum):
    """What the carrier said to a message."""

    TAKEN = 0
    FAILED = 1
    """A temporary error: not taken."""
    THROTTLED = 2
    """Too much: not taken."""


class Record:
    """The carrier's side: one entry a message, in order of arrival."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._contents: list[dict[str, Any]] = []
        self._seen: list[list[float]] = []
        self.clear()

    def clear(self) -> None:
        """Forget every message; contents keep their numbers."""
        self._times = array("d")
        self._of = array("I")
        self._answers = bytearray()
        self._addresses: list[bytes] = []
        self._seen = [[0, 0.0, 0.0] for _ in self._contents]

    def __len__(self) -> int:
        return len(self._addresses)

    def find(self, key: bytes) -> int | None:
        """Return the number of a content seen before."""
        return self._known.get(key)

    def content(self, key: bytes, described: Mapping[str, Any]) -> int:
        """Give a number to a content seen for the first time."""
        number = self._known[key] = len(self._contents)
        self._contents.append(dict(described))
        self._seen.append([0, 0.0, 0.0])
        return number

    def add(self, address: bytes, content: int, answer: Answer) -> int:
        """Keep a message; returns its number among all of this carrier's."""
        now = time.time()
        self._times.append(now)
        self._of.append(content)
        self._answers.append(answer)
        self._addresses.append(address)
        if answer is Answer.TAKEN:
            seen = self._seen[content]
            seen[0] += 1
            seen[2] = now
            if not seen[1]:
                seen[1] = now
        return len(self._addresses)

    def contents(self) -> list[dict[str, Any]]:
        """Describe every content with how many were taken, when the first and the last."""
        return [
            {**described, "taken": taken, "first": first, "last": last}
            for described, (taken, first, last) in zip(self._contents, self._seen, strict=True)
        ]

    def dump(self, start: int = 0) -> bytes:
        """Return the messages from a number on, for `Messages.read`."""
        head = json.dumps({"n": len(self) - start, "contents": self._contents}).encode()
        columns = (self._times[start:].tobytes(), self._of[start:].tobytes())
        return b"".join(
            (head, b"\n", *columns, self._answers[start:], b"\n".join(self._addresses[start:]))
        )


@dataclass(frozen=True, slots=True)
class Messages:
    """A carrier's record as columns of equal length."""

    times: NDArray[np.float64]
    """Seconds since the epoch, by the machine's clock."""
    of: NDArray[np.uint32]
    """Index into `contents`."""
    answers: NDArray[np.uint8]
    addresses: list[str]
    contents: list[dict[str, Any]]

    @classmethod
    def read(cls, dumped: bytes) -> Messages:
        """Read what `Record.dump` wrote."""
        head, _, rest = dumped.partition(b"\n")
        described = json.loads(head)
        n = described["n"]
        times = np.frombuffer(rest, np.float64, n)
        of = np.frombuffer(rest, np.uint32, n, 8 * n)
        answers = np.frombuffer(rest, np.uint8, n, 12 * n)
        addresses = rest[13 * n :].decode("ascii").split("\n") if n else []
        return cls(times, of, answers, addresses, described["contents"])

    def most_within(self, seconds: float, *, slack: float = 0.0) -> int:
        """Return the most messages, refused ones too, in any window of this length.

        `slack` shortens the window: by so much may two messages have come closer on their way.
        """
        times = np.sort(self.times)
        if not len(times):
            return 0
        upto = np.searchsorted(times, times + (seconds - slack), side="left")
        return int((upto - np.arange(len(times))).max())
