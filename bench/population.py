"""Millions of made-up people as columns, and areas a storm might take, for the benches.

Kept out of the database: ten million people are there in seconds, and the peer gets the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from targeting.grid import to_degrees
from targeting.index import NO_POINT
from targeting.outlines import Outlines
from targeting.synth import random_points
from targeting.units import UnitKey, read_groups, read_units

BY_UNIT_ONLY = 0.20
WATCHING_ONE, WATCHING_TWO, POSITION_KNOWN = 0.20, 0.10, 0.05
"""30 % watch one or two places beside their home; 5 % share where they last were."""
PUSH, SMS, EMAIL, ENGLISH = 0.82, 0.70, 0.25, 0.10
VERTICES = 2_000
LEAST_SHARE = 1 / 3
_SAMPLE = 100_000

Random: TypeAlias = np.random.Generator
Int32s: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Population:
    """Places as columns of equal length, one row a place: what PeopleIndex.build takes."""

    person_ids: NDArray[np.uint32]
    x: Int32s
    y: Int32s
    unit_ids: NDArray[np.uint32]
    channels: NDArray[np.uint8]
    langs: NDArray[np.uint8]
    people: int

    @property
    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """Return the columns in the order PeopleIndex.build takes them."""
        return (self.person_ids, self.x, self.y, self.unit_ids, self.channels, self.langs)


def hanoi() -> tuple[Outlines, dict[UnitKey, int]]:
    """Return the city's outlines and the ids its lowest units go by in a population."""
    outlines = Outlines.drawn(read_units(), read_groups())
    return outlines, {key: number for number, key in enumerate(outlines.lowest, 1)}


def populate(outlines: Outlines, unit_ids: dict[UnitKey, int], n: int, rng: Random) -> Population:
    """Make n people spread as the residents are, with the places that people really have."""
    home_unit, home_x, home_y = _spread(outlines, unit_ids, n, rng)
    unit_only = rng.random(n) < BY_UNIT_ONLY
    home_x[unit_only], home_y[unit_only] = NO_POINT, NO_POINT
    persons = [np.arange(1, n + 1, dtype=np.uint32)]
    places = [(home_unit, home_x, home_y)]
    watching = rng.random(n)
    extra = [watching < WATCHING_ONE + WATCHING_TWO, watching < WATCHING_TWO]
    extra.append(rng.random(n) < POSITION_KNOWN)
    persons += [np.flatnonzero(flags).astype(np.uint32) + np.uint32(1) for flags in extra]
    for some in persons[1:]:
        rows = _spread(outlines, unit_ids, len(some), rng)
        order = rng.permutation(len(some))
        places.append((rows[0][order], rows[1][order], rows[2][order]))
    everybody = np.concatenate(persons)
    unit, x, y = (np.concatenate(column) for column in zip(*places, strict=True))
    return Population(
        person_ids=everybody,
        x=x,
        y=y,
        unit_ids=unit,
        channels=_channels(n, rng)[everybody - 1],
        langs=(rng.random(n) < ENGLISH).astype(np.uint8)[everybody - 1],
        people=n,
    )


def _spread(
    outlines: Outlines, unit_ids: dict[UnitKey, int], n: int, rng: Random
) -> tuple[NDArray[np.uint32], Int32s, Int32s]:
    keys = outlines.lowest
    residents = np.array([outlines.units[key].population for key in keys], dtype=float)
    counts = rng.multinomial(n, residents / residents.sum())
    points = [
        random_points(outlines.unit(key), count, rng)
        for key, count in zip(keys, counts.tolist(), strict=True)
    ]
    ids = np.array([unit_ids[key] for key in keys], dtype=np.uint32)
    x, y = (np.concatenate([point[axis] for point in points]) for axis in (0, 1))
    return np.repeat(ids, counts), x, y


def _channels(n: int, rng: Random) -> NDArray[np.uint8]:
    bits = np.zeros(n, dtype=np.uint8)
    for bit, share in enumerate((PUSH, SMS, EMAIL)):
        bits |= (rng.random(n) < share).astype(np.uint8) << np.uint8(bit)
    return bits


def storm_areas(population: Population, number: int, rng: Random) -> list[Polygon]:
    """Return ragged polygons of 2,000 vertices, each over more than a third of the people."""
    placed = np.flatnonzero(population.x[: population.people] != NO_POINT)
    sample = rng.choice(placed, min(_SAMPLE, len(placed)), replace=False)
    lons, lats = to_degrees(population.x[sample]), to_degrees(population.y[sample])
    centre = np.array([lons.mean(), lats.mean()])
    return [_storm(centre, lons, lats, rng) for _ in range(number)]


def _storm(
    centre: NDArray[np.float64], lons: NDArray[np.float64], lats: NDArray[np.float64], rng: Random
) -> Polygon:
    turns = np.linspace(0, 2 * math.pi, VERTICES, endpoint=False)
    waves = np.zeros(VERTICES)
    for frequency in range(2, 40):
        waves += rng.normal(0, 0.25 / frequency) * np.sin(frequency * turns + rng.random() * 6)
    ragged = np.exp(waves + rng.normal(0, 0.01, VERTICES))
    at = centre + rng.normal(0, 0.03, 2)
    radius = 0.02
    while True:
        ring = at + radius * np.column_stack((np.cos(turns), np.sin(turns))) * ragged[:, None]
        shape = Polygon(ring)
        shapely.prepare(shape)
        if shapely.intersects_xy(shape, lons, lats).mean() > LEAST_SHARE * 1.05:
            return Polygon(ring)
        radius *= 1.1
