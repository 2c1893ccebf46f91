"""From an area to people: the shape, the units it takes, and the index's answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from targeting.area import Area
from targeting.index import Counts, PeopleIndex, Selection
from targeting.live_index import LiveIndex
from targeting.outlines import Outlines
from targeting.places import locator_of
from targeting.units import UnitKey

# People known only by their unit are included once the area takes more than this share of it.
UNIT_SHARE = 0.02
# To overlay so few is quicker than to look at a whole city.
FEW_UNITS = 6
ROUNDING = 1e-9


def taken_units(
    shape: BaseGeometry, outlines: Outlines, share: float = UNIT_SHARE
) -> dict[UnitKey, float]:
    """Return the lowest units of which the shape takes more than `share`, each with its share."""
    if shape.is_empty:
        return {}
    shapely.prepare(shape)
    shapes = outlines.lowest_shapes
    touched = np.flatnonzero(shapely.intersects(shape, shapes))
    whole = shapely.covers(shape, shapes[touched])
    taken = {outlines.lowest[number]: 1.0 for number in touched[whole]}
    for number in touched[~whole]:
        unit = shapes[number]
        part = shapely.intersection(shape, unit).area / unit.area
        if part > share:
            taken[outlines.lowest[number]] = float(part)
    return dict(sorted(taken.items()))


def count_people(
    area: Area,
    outlines: Outlines,
    index: PeopleIndex | LiveIndex,
    unit_ids: Mapping[UnitKey, int],
    share: float = UNIT_SHARE,
) -> Counts:
    """Count the people of an area; `unit_ids` gives the ids the index knows units by."""
    shape = area.shape(outlines)
    return index.breakdown(shape, _ids(shape, outlines, unit_ids, share))


def count_only(
    area: Area,
    outlines: Outlines,
    index: PeopleIndex | LiveIndex,
    unit_ids: Mapping[UnitKey, int],
    share: float = UNIT_SHARE,
    *,
    oversized: bool = False,
) -> int:
    """Count the people of an area and nothing else: the fastest answer. See `Area.shape`."""
    keys = _whole_units(area, outlines)
    if keys and index.located:
        return index.count_units([unit_ids[key] for key in keys if key in unit_ids])
    shape = area.shape(outlines, oversized=oversized)
    return index.count(shape, _ids(shape, outlines, unit_ids, share))


def select_people(
    area: Area,
    outlines: Outlines,
    index: PeopleIndex | LiveIndex,
    unit_ids: Mapping[UnitKey, int],
    share: float = UNIT_SHARE,
    *,
    oversized: bool = False,
) -> Selection:
    """Return the people of an area, the same that `count_people` counts. See `Area.shape`."""
    shape = area.shape(outlines, oversized=oversized)
    return index.select(shape, _ids(shape, outlines, unit_ids, share))


def _whole_units(area: Area, outlines: Outlines) -> set[UnitKey]:
    """Return the lowest units that make up an area, if it is nothing but such units."""
    include = area.include
    if include.drawn_count or area.exclude:
        return set()
    groups = [outlines.groups.get(code) for code in include.groups]
    if None in groups:
        return set()
    keys = set(include.units).union(*(group.keys for group in groups if group))
    # The outline of a unit above them may be one of its own.
    return keys if keys <= set(outlines.lowest) else set()


def _ids(
    shape: BaseGeometry, outlines: Outlines, unit_ids: Mapping[UnitKey, int], share: float
) -> list[int]:
    """Return the ids of the units of which the shape takes more than `share`."""
    if shape.is_empty:
        return []
    shapely.prepare(shape)
    shapes = outlines.lowest_shapes
    touched = np.flatnonzero(shapely.intersects(shape, shapes))
    sure = np.zeros(len(touched), dtype=bool)
    if len(touched) > FEW_UNITS:
        least = locator_of(outlines).least_areas(shape)[touched]
        sure = least > share * shapely.area(shapes[touched]) * (1 + ROUNDING)
    taken = {outlines.lowest[number] for number in touched[sure]}
    for number in touched[~sure]:
        unit = shapes[number]
        if shapely.intersection(shape, unit).area / unit.area > share:
            taken.add(outlines.lowest[number])
    return sorted(unit_ids[key] for key in taken if key in unit_ids)
