"""Everybody's places as columns, for the targeting index: millions of rows in seconds."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.people.columns import copy_columns
from targeting.index import CHANNELS, NO_POINT

# Tables come out one by one and are joined here by position in an array: ids are dense, and
# PostgreSQL takes twice as long to join as to hand out the rows.
_PLACES = (
    "SELECT person_id, place_no, unit_id FROM person_place"
    " WHERE expires_at IS NULL OR expires_at > $1"
)
_POINTS = "SELECT person_id, place_no, x, y FROM person_point"
_PEOPLE = "SELECT person_id, (lang = 'en')::int FROM person WHERE left_at IS NULL"
_ENDPOINTS = (
    "SELECT endpoint_id, CASE channel "
    + " ".join(f"WHEN '{name}' THEN {bit}" for name, bit in CHANNELS.items())
    + " END FROM endpoint WHERE state = 'active'"
)
_LINKS = "SELECT person_id, endpoint_id FROM person_endpoint"
_PLACE_NUMBERS = 10

Rows: TypeAlias = NDArray[np.void]


class PlaceColumns(NamedTuple):
    """One row a place, homes first: the arguments of PeopleIndex.build, in its order."""

    person_ids: NDArray[np.uint32]
    lons: NDArray[np.int32]
    lats: NDArray[np.int32]
    unit_ids: NDArray[np.uint32]
    channels: NDArray[np.uint8]
    langs: NDArray[np.uint8]


async def load_columns(conn: Conn, now: datetime) -> PlaceColumns:
    """Load every place in force of everybody registered, with the channels that reach them."""
    key = [("person", "i4"), ("place", "i2")]
    # Inside somebody's transaction its isolation holds; a row that appears between two of these
    # queries then misses its companions and is as unreachable as it was a moment before.
    nested = conn.is_in_transaction()
    async with conn.transaction(isolation=None if nested else "repeatable_read"):
        places = await copy_columns(conn, _PLACES, [*key, ("unit", "i4")], now)
        points = await copy_columns(conn, _POINTS, [*key, ("x", "i4"), ("y", "i4")])
        people = await copy_columns(conn, _PEOPLE, [("person", "i4"), ("lang", "i4")])
        endpoints = await copy_columns(conn, _ENDPOINTS, [("endpoint", "i8"), ("bit", "i4")])
        links = await copy_columns(conn, _LINKS, [("person", "i4"), ("endpoint", "i8")])
    return await asyncio.to_thread(_assemble, places, points, people, endpoints, links)


def _assemble(
    places: Rows, points: Rows, people: Rows, endpoints: Rows, links: Rows
) -> PlaceColumns:
    # Small keys sort stably in linear time; the home (place 0) must come before the others.
    places = places[np.argsort(places["place"].astype(np.uint8), kind="stable")]
    size = 1 + max(_greatest(rows["person"]) for rows in (places, points, people, links))
    langs = np.zeros(size, dtype=np.uint8)
    langs[people["person"]] = people["lang"]
    persons = places["person"].astype(np.uint32)
    lons, lats = _points_of(places, points, size)
    return PlaceColumns(
        person_ids=persons,
        lons=lons,
        lats=lats,
        unit_ids=places["unit"].astype(np.uint32),
        channels=_channels(endpoints, links, size)[persons],
        langs=langs[persons],
    )


def _points_of(
    places: Rows, points: Rows, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the point of each place, NO_POINT where there is none."""
    row = np.full(size * _PLACE_NUMBERS, len(points), dtype=np.uint32)
    row[points["person"].astype(np.int64) * _PLACE_NUMBERS + points["place"]] = np.arange(
        len(points), dtype=np.uint32
    )
    found = row[places["person"].astype(np.int64) * _PLACE_NUMBERS + places["place"]]
    lons, lats = (np.append(points[name].astype(np.int32), np.int32(NO_POINT)) for name in "xy")
    return lons[found], lats[found]


def _channels(endpoints: Rows, links: Rows, size: int) -> NDArray[np.uint8]:
    """Return the bits of the active channels of each person."""
    ends = 1 + max(_greatest(rows["endpoint"]) for rows in (endpoints, links))
    bits = np.zeros(ends, dtype=np.uint8)
    bits[endpoints["endpoint"]] = endpoints["bit"]
    of_link = bits[links["endpoint"]]
    channels = np.zeros(size, dtype=np.uint8)
    for bit in CHANNELS.values():
        channels[links["person"][of_link == bit]] |= np.uint8(bit)
    return channels


def _greatest(column: NDArray[Any]) -> int:
    return int(column.max()) if len(column) else 0
