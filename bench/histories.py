"""What became of generated alerts, as columns: the random part of a city, three channels.

Alerts go to a random share of the endpoints. Each channel is sent in the order of endpoint ids,
in groups whose outcomes share a moment, as workers commit them: 500 pushes, 50 texts, 8 mails.
Three in a hundred are tried twice, three in a hundred fail. Most texts are confirmed by receipts
booked twice a second; half of the phones confirm or open, each at a moment of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broadcaster.fanout.blocks import STATES, Columns, Numbers

ENDPOINTS = 3_000_000
"""Of 1.5 million people."""
_SECOND = 1_000_000
_SHARES = (0.5, 0.35, 0.15)
_GROUPS = ((500, 50_000), (50, 17_000), (8, 3_000))
"""Messages whose outcomes share a moment, and microseconds between two such groups."""
_TRIED_TWICE, _FAILED = 0.03, 0.03
_TEXTS = ("accepted", "temporary", "permanent", "503 UNAVAILABLE", "UNREGISTERED", "5.1.1", "0x0B")
_HANDED_OFF, _CONFIRMED, _SEEN, _FAILED_STATE, _UNKNOWN = (
    STATES.index(name) for name in ("handed_off", "confirmed", "seen", "failed", "unknown")
)
_BOTH_TRIES = 2


@dataclass(frozen=True, slots=True)
class _Sent:
    """When each delivery was tried and what came of it, in the order of ids."""

    first: Numbers
    twice: NDArray[np.bool_]
    failed: NDArray[np.bool_]


def sizes(rng: np.random.Generator, total: int) -> list[int]:
    """Return the sizes of alerts that make up `total`.

    A third goes to half the city, as in a storm, the others to communes and districts.
    """
    found: list[int] = []
    while (left := total - sum(found)) > 0:
        whole = rng.random() < 1 / 3
        size = ENDPOINTS // 2 if whole else int(np.exp(rng.uniform(np.log(10_000), np.log(5e5))))
        found.append(min(size, left))
    return found


def columns(rng: np.random.Generator, count: int, began: int, unknown: int = 3) -> Columns:
    """Return `count` deliveries of an alert that began at `began` (microseconds since 2000)."""
    ids = np.sort(rng.choice(ENDPOINTS, count, replace=False)).astype(np.int64) + 1
    channels = rng.choice(3, count, p=_SHARES).astype(np.int64)
    sent = _Sent(
        _tried(rng, channels, began),
        rng.random(count) < _TRIED_TWICE,
        rng.random(count) < _FAILED,
    )
    last = sent.first + sent.twice * (5 * _SECOND + rng.integers(0, 20, count) * 50_000)
    states, moved = _receipts(rng, channels, sent, last)
    states[rng.choice(count, min(unknown, count), replace=False)] = _UNKNOWN
    attempts = 1 + sent.twice.astype(np.int64)
    firsts, lasts = np.cumsum(attempts) - attempts, np.cumsum(attempts) - 1
    tries = int(attempts.sum())
    at, results, why = (
        np.repeat(sent.first, attempts),
        np.ones(tries, np.int64),
        np.zeros(tries, np.int64),
    )
    at[lasts] = last
    results[firsts[sent.twice]], why[firsts[sent.twice]] = 2, 4
    results[lasts[sent.failed]], why[lasts[sent.failed]] = 3, 5 + channels[sent.failed]
    reasons = np.where(sent.twice, 4, 0)
    reasons[sent.failed] = 5 + channels[sent.failed]
    numbers = np.ones(tries, np.int64)
    numbers[lasts[sent.twice]] = _BOTH_TRIES
    return Columns(
        endpoint_ids=ids, channels=channels, langs=(rng.random(count) < 0.05).astype(np.int64),
        states=states, wordings=np.zeros(count, np.int64), tries=attempts,
        created_at=began + np.arange(count) // 20_000 * 80_000, updated_at=moved, reasons=reasons,
        attempts=attempts, numbers=numbers, at=at, providers=np.repeat(channels + 1, attempts),
        results=results, attempt_reasons=why, texts=(*_TEXTS,),
    )  # fmt: skip


def _tried(rng: np.random.Generator, channels: Numbers, began: int) -> Numbers:
    """Return the moment of each first try."""
    first = np.zeros(len(channels), dtype=np.int64)
    for channel, (size, apart) in enumerate(_GROUPS):
        of_channel = np.flatnonzero(channels == channel)
        group = np.arange(len(of_channel)) // size
        moments = began + _SECOND + np.arange(group.max(initial=0) + 1) * apart
        moments += rng.integers(0, apart, len(moments))
        first[of_channel] = moments[group]
    return first


def _receipts(
    rng: np.random.Generator, channels: Numbers, sent: _Sent, last: Numbers
) -> tuple[Numbers, Numbers]:
    """Return the states, and when the last thing happened to each delivery."""
    count = len(channels)
    states = np.where(sent.failed, _FAILED_STATE, _HANDED_OFF).astype(np.int64)
    chance, moved = rng.random(count), last.copy()
    texts = (channels == 1) & (chance < 0.9) & ~sent.failed
    states[texts] = _CONFIRMED
    booked = (last[texts] + rng.exponential(8 * _SECOND, texts.sum())).astype(np.int64)
    runs = booked // (_SECOND // 2) + 1
    moved[texts] = runs * (_SECOND // 2) + runs * 7919 % 1_000
    phones = (channels == 0) & (chance < 0.5) & ~sent.failed
    states[phones] = np.where(rng.random(phones.sum()) < 0.3, _SEEN, _CONFIRMED)
    moved[phones] += rng.exponential(1800 * _SECOND, phones.sum()).astype(np.int64)
    return states, moved
