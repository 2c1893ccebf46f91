"""Places as columns: what an index is built from, and gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from targeting.grid import Int32s

PUSH, SMS, EMAIL = 1, 2, 4
CHANNELS = {"push": PUSH, "sms": SMS, "email": EMAIL}
CHANNEL_SETS = 8
# As longitude and latitude: a place that is known by its unit only.
NO_POINT = -(2**31)

Ids: TypeAlias = NDArray[np.uint32]


class Columns(NamedTuple):
    """One row a place; a person's rows may stand anywhere.

    Lons and lats are in 1e-5 degree or NO_POINT; a unit id is given for every place (0: none
    known); channels are bits; langs are positions in a list of languages.
    """

    person_ids: Ids
    lons: Int32s
    lats: Int32s
    unit_ids: Ids
    channels: NDArray[np.uint8]
    langs: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        person_ids: ArrayLike,
        lons: ArrayLike,
        lats: ArrayLike,
        unit_ids: ArrayLike,
        channels: ArrayLike,
        langs: ArrayLike,
    ) -> Columns:
        """Return the columns with their types; raise ValueError if they do not fit together."""
        columns = cls(
            np.asarray(person_ids, dtype=np.uint32),
            np.asarray(lons, dtype=np.int32),
            np.asarray(lats, dtype=np.int32),
            np.asarray(unit_ids, dtype=np.uint32),
            np.asarray(channels, dtype=np.uint8),
            np.asarray(langs, dtype=np.uint8),
        )
        if {len(column) for column in columns} != {len(columns.person_ids)}:
            raise ValueError("the columns differ in length")
        if len(columns.channels) and int(columns.channels.max()) >= CHANNEL_SETS:
            raise ValueError("an unknown channel bit is set")
        return columns

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Return the rows of several, one after another; there is at least one."""
        columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(*columns)
