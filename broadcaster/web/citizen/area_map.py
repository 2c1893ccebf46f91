"""A small map of an alert's area as SVG, drawn from our own outlines; no tile is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from broadcaster.web.areas import Drawn
from broadcaster.web.geography import Atlas

WIDTH, HEIGHT = 400, 430
_MARGIN = 0.16
_SMALLEST = 0.03
"""Degrees: a single point still shows the neighbourhood around it."""
_DETAIL = 0.6
_MOST_LABELS = 18
_LETTER, _LINE = 6.4, 15.0
_ROOM = 2.0


@dataclass(frozen=True, slots=True)
class Label:
    """A unit's name on the map."""

    x: int
    y: int
    text: str
    inside: bool


@dataclass(frozen=True, slots=True)
class AreaMap:
    """Paths and labels of one map."""

    land: str
    chosen: str
    by_hand: str
    labels: tuple[Label, ...]


def draw(atlas: Atlas, area: Drawn) -> AreaMap | None:
    """Draw the area among its neighbours; None when its shape is not known."""
    if area.shape is None or area.shape.is_empty:
        return None
    view = _View(area.shape)
    shapes = view.project_all(atlas.map.outlines.lowest_shapes)
    seen = np.flatnonzero(~shapely.is_empty(shapes))
    return AreaMap(
        land=_path(shapes[seen]),
        chosen=_path(view.project_all(_array(area.units_shape))),
        by_hand=_path(view.project_all(_array(area.drawn_shape))),
        labels=tuple(_labels(atlas, area, shapes, seen)),
    )


class _View:
    """From degrees to the map's units, the area in the middle."""

    def __init__(self, shape: BaseGeometry) -> None:
        west, south, east, north = shape.bounds
        self._squeeze = math.cos(math.radians((south + north) / 2))
        width = max((east - west) * self._squeeze, _SMALLEST) * (1 + 2 * _MARGIN)
        height = max(north - south, _SMALLEST) * (1 + 2 * _MARGIN)
        self._scale = min(WIDTH / width, HEIGHT / height)
        self._centre = np.array([(west + east) / 2, (south + north) / 2])
        self._frame = shapely.box(-4, -4, WIDTH + 4, HEIGHT + 4)

    def _move(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        away = (xy - self._centre) * np.array([self._squeeze, -1.0]) * self._scale
        moved: NDArray[np.float64] = away + np.array([WIDTH / 2, HEIGHT / 2])
        return moved

    def project_all(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """Bring shapes onto the map, cut to what is in sight."""
        moved = shapely.simplify(shapely.transform(shapes, self._move), _DETAIL)
        return np.asarray(shapely.intersection(shapely.make_valid(moved), self._frame))


def _array(shape: BaseGeometry | None) -> NDArray[np.object_]:
    shapes = np.empty(0 if shape is None else 1, dtype=object)
    shapes[:] = shape
    return shapes


def _path(shapes: NDArray[np.object_]) -> str:
    rings = [
        ring
        for part in shapely.get_parts(shapely.get_parts(shapes))
        if part.geom_type == "Polygon"
        for ring in (part.exterior, *part.interiors)
    ]
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring.coords[:-1]) + "Z" for ring in rings
    )


def _labels(
    atlas: Atlas, area: Drawn, shapes: NDArray[np.object_], seen: NDArray[np.intp]
) -> list[Label]:
    """Name the units of the area first, the larger before the smaller, where there is room."""
    outlines = atlas.map.outlines
    taken = set(area.covered.unit_ids)
    inside = {n: atlas.map.ids[outlines.lowest[n]] in taken for n in seen.tolist()}
    size = shapely.area(shapes)
    order = sorted(seen.tolist(), key=lambda n: (not inside[n], -size[n]))
    frame = shapely.box(2, 2, WIDTH - 2, HEIGHT - 2)
    boxes: list[BaseGeometry] = []
    labels: list[Label] = []
    for number in order:
        text = outlines.units[outlines.lowest[number]].short_name
        point = shapely.point_on_surface(shapes[number])
        half = len(text) * _LETTER / 2
        box = shapely.box(point.x - half, point.y - _LINE / 2, point.x + half, point.y + _LINE / 2)
        fits = frame.contains(box) and 2 * half < _ROOM * math.sqrt(size[number])
        if fits and not any(box.intersects(other) for other in boxes):
            boxes.append(box)
            labels.append(Label(round(point.x), round(point.y + 4), text, inside[number]))
        if len(labels) == _MOST_LABELS:
            break
    return labels
