"""Everybody's places as columns, for the targeting index: millions of rows in seconds."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.people.columns import copy_columns
from targeting.index import CHANNELS, NO_POINT

_PLACES = (
    "SELECT p.person_id, p.place_no, p.unit_id,"
    f" coalesce(t.x, {NO_POINT}), coalesce(t.y, {NO_POINT})"
    " FROM person_place p LEFT JOIN person_point t USING (person_id, place_no)"
    " WHERE p.expires_at IS NULL OR p.expires_at > $1"
)
_PEOPLE = "SELECT person_id, (lang = 'en')::int FROM person WHERE left_at IS NULL"
_LINKS = (
    "SELECT l.person_id, CASE e.channel "
    + " ".join(f"WHEN '{name}' THEN {bit}" for name, bit in CHANNELS.items())
    + " END FROM person_endpoint l JOIN endpoint e USING (endpoint_id) WHERE e.state = 'active'"
)


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
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        places = await copy_columns(
            conn,
            _PLACES,
            [("person", "i4"), ("place", "i2"), ("unit", "i4"), ("x", "i4"), ("y", "i4")],
            now,
        )
        people = await copy_columns(conn, _PEOPLE, [("person", "i4"), ("lang", "i4")])
        links = await copy_columns(conn, _LINKS, [("person", "i4"), ("bit", "i4")])
    return await asyncio.to_thread(_assemble, places, people, links)


def _assemble(
    places: NDArray[np.void], people: NDArray[np.void], links: NDArray[np.void]
) -> PlaceColumns:
    size = 1 + max((int(rows["person"].max()) for rows in (places, people) if len(rows)), default=0)
    langs = np.zeros(size, dtype=np.uint8)
    langs[people["person"]] = people["lang"]
    channels = np.zeros(size, dtype=np.uint8)
    for bit in CHANNELS.values():
        of_channel = links["person"][links["bit"] == bit]
        channels[of_channel[of_channel < size]] |= np.uint8(bit)
    # Small keys sort stably in linear time; the home (place 0) must come before the others.
    order = np.argsort(places["place"].astype(np.uint8), kind="stable")
    persons = places["person"][order].astype(np.uint32)
    return PlaceColumns(
        person_ids=persons,
        lons=places["x"][order].astype(np.int32),
        lats=places["y"][order].astype(np.int32),
        unit_ids=places["unit"][order].astype(np.uint32),
        channels=channels[persons],
        langs=langs[persons],
    )
