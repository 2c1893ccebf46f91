"""Polygons of fewer points that cover what they were: the border moves outwards only, exactly."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Spot: TypeAlias = tuple[int, int]
"""A corner on a grid; whole numbers, so that no test depends on rounding."""


_AROUND = [(x, y) for x in range(-2, 3) for y in range(-2, 3)]
_STEPS = sorted(_AROUND, key=lambda step: step[0] ** 2 + step[1] ** 2)


class _Change(NamedTuple):
    """One point less: `at` is dropped, or with the point after it replaced by `spot`."""

    cost: int
    at: int
    stamp: int
    spot: Spot | None


def outward(rings: Sequence[Sequence[Spot]], most: int) -> list[list[Spot]] | None:
    """Return closed rings of at most `most` points together that surround what these surround.

    What they surround lies to the left of each. Bays are cut off and corners are drawn out, always
    where it adds least, until few enough points are left; None when the rings leave no way
    without crossing each other.
    """
    work = _Rings(rings)
    heap = [change for at in range(len(work.spots)) for change in work.changes(at)]
    heapq.heapify(heap)
    while work.left > most - len(rings):
        if not heap:
            return None
        change = heapq.heappop(heap)
        if work.fits(change):
            for at in work.apply(change):
                for found in work.changes(at):
                    heapq.heappush(heap, found)
    return work.result()


class _Rings:
    def __init__(self, rings: Sequence[Sequence[Spot]]) -> None:
        """Take closed rings; corners are known by their number from now on."""
        self.spots: list[Spot] = []
        self.after: list[int] = []
        self.before: list[int] = []
        self._ring: list[int] = []
        self._size: list[int] = []
        for number, ring in enumerate(rings):
            first, size = len(self.spots), len(ring) - 1
            self.spots += ring[:-1]
            self.after += [first + (n + 1) % size for n in range(size)]
            self.before += [first + (n - 1) % size for n in range(size)]
            self._ring += [number] * size
            self._size.append(size)
        self._stamps = [0] * len(self.spots)
        self._alive = np.ones(len(self.spots), dtype=bool)
        self._xy = np.array(self.spots, dtype=np.int64)
        self._after = np.array(self.after)
        self.left = len(self.spots)

    def changes(self, at: int) -> Iterator[_Change]:
        """Return how a point can be saved at a corner, if it can."""
        if not self._alive[at] or self._size[self._ring[at]] <= 3:
            return
        then = self.after[at]
        a, b, c, d = (self.spots[n] for n in (self.before[at], at, then, self.after[then]))
        turn = _cross(a, b, c)
        if turn <= 0:
            yield _Change(-turn, at, self._stamps[at], None)
        elif _cross(b, c, d) > 0:
            spot = _meeting(a, b, c, d)
            if spot is not None:
                yield _Change(abs(_cross(b, spot, c)), at, self._stamps[at], spot)

    def fits(self, change: _Change) -> bool:
        """Tell whether a change is still about the rings as they are, and crosses none of them."""
        at = change.at
        if not self._alive[at] or change.stamp != self._stamps[at]:
            return False
        start, then = self.before[at], self.after[at]
        if change.spot is None:
            corners = [self.spots[start], self.spots[then]]
            around = [self.before[start], start, at, then]
        else:
            end = self.after[then]
            corners = [self.spots[start], change.spot, self.spots[end]]
            around = [self.before[start], start, at, then, end]
        others = self._alive.copy()
        others[around] = False
        starts = np.flatnonzero(others)
        edges = self._xy[starts], self._xy[self._after[starts]]
        return not any(_crossed(p, q, *edges) for p, q in pairwise(corners))

    def apply(self, change: _Change) -> list[int]:
        """Make a change; return the corners whose surroundings are others now."""
        at = change.at
        gone = at
        if change.spot is not None:
            gone = self.after[at]
            self.spots[at] = change.spot
            self._xy[at] = change.spot
        before, after = self.before[gone], self.after[gone]
        self.after[before], self.before[after] = after, before
        self._after[before] = after
        self._alive[gone] = False
        self._size[self._ring[gone]] -= 1
        self.left -= 1
        second = self.before[before]
        touched = [self.before[second], second, before, after, self.after[after]]
        for number in touched:
            self._stamps[number] += 1
        return touched

    def result(self) -> list[list[Spot]]:
        """Return the rings, closed."""
        rings: list[list[Spot]] = [[] for _ in self._size]
        for number in np.flatnonzero(self._alive).tolist():
            rings[self._ring[number]].append(self.spots[number])
        return [[*ring, ring[0]] for ring in rings]


def _cross(a: Spot, b: Spot, c: Spot) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meeting(a: Spot, b: Spot, c: Spot, d: Spot) -> Spot | None:
    """Return where a-b drawn on meets d-c drawn on, or next to it where both b and c are inside."""
    run, back = (b[0] - a[0], b[1] - a[1]), (d[0] - c[0], d[1] - c[1])
    slope = run[0] * back[1] - run[1] * back[0]
    if slope <= 0:
        return None
    far = Fraction((c[0] - b[0]) * back[1] - (c[1] - b[1]) * back[0], slope)
    x, y = round(b[0] + far * run[0]), round(b[1] + far * run[1])
    for step in _STEPS:
        spot = (x + step[0], y + step[1])
        if _cross(a, spot, b) >= 0 and _cross(spot, d, c) >= 0:
            return spot
    return None


def _crossed(p: Spot, q: Spot, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> bool:
    """Tell whether any of the edges touches p-q."""
    lows, highs = np.minimum(starts, ends), np.maximum(starts, ends)
    low, high = np.minimum(p, q), np.maximum(p, q)
    near = ((lows <= high) & (highs >= low)).all(axis=1)
    if not near.any():
        return False
    a, b = starts[near], ends[near]
    run, edge = np.subtract(q, p), b - a
    of_a = run[0] * (a[:, 1] - p[1]) - run[1] * (a[:, 0] - p[0])
    of_b = run[0] * (b[:, 1] - p[1]) - run[1] * (b[:, 0] - p[0])
    of_p = edge[:, 0] * (p[1] - a[:, 1]) - edge[:, 1] * (p[0] - a[:, 0])
    of_q = edge[:, 0] * (q[1] - a[:, 1]) - edge[:, 1] * (q[0] - a[:, 0])
    across = np.sign(of_a) * np.sign(of_b) <= 0
    return bool((across & (np.sign(of_p) * np.sign(of_q) <= 0)).any())
