"""Which places an update leaves out: what somebody who was told so looks for on its page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.people.units import UnitRow
from broadcaster.web import areas
from broadcaster.web.areas import Drawn
from broadcaster.web.geography import Geography
from broadcaster.web.published import Published

_CRUMBS = 0.01
"""Share of an earlier area: less is lost by drawing alone."""


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier messages covered and the update does not."""

    units: tuple[UnitRow, ...]
    """Those it does not touch any more."""
    more: bool
    """Whether it lost ground besides."""


async def places(
    geography: Geography, alert: Published, area: Drawn, earlier: Sequence[Published]
) -> Left | None:
    """Return what an update leaves out; None when nothing, or when it is no update."""
    if alert.kind != "update":
        return None
    units: dict[int, UnitRow] = {}
    more = False
    kept = set(area.covered.unit_ids)
    for one in earlier:
        atlas = await areas.atlas_of(geography, one)
        before = await areas.drawn(atlas, one)
        gone = [unit_id for unit_id in before.covered.unit_ids if unit_id not in kept]
        units |= {row.unit_id: row for row in atlas.of(gone)}
        if not gone:
            more = more or await asyncio.to_thread(_loses, before, area)
    return Left(tuple(units.values()), more) if units or more else None


def _loses(before: Drawn, area: Drawn) -> bool:
    """Tell whether the area has lost ground, though it touches the same units."""
    if before.shape is None or area.shape is None:
        return False
    return bool(before.shape.difference(area.shape).area > _CRUMBS * before.shape.area)
