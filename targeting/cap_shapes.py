"""Shapes as CAP 1.2 writes them: polygons without holes, latitude first."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.metric import polygonal
from targeting.rings import DECIMALS


@dataclass(frozen=True, slots=True)
class CapArea:
    """The contents of the polygon and circle elements of one CAP area."""

    polygons: tuple[str, ...]
    circles: tuple[str, ...]


def cap_polygons(shape: BaseGeometry) -> tuple[str, ...]:
    """Return a CAP polygon for each part of a shape.

    CAP has no holes, and a receiver that ignored one would warn the wrong people, so a part with
    holes is cut into pieces without.
    """
    exact = polygonal(shapely.set_precision(shape, 10**-DECIMALS))
    pieces = [piece for part in shapely.get_parts(exact) for piece in _without_holes(part)]
    return tuple(
        " ".join(f"{_decimal(lat)},{_decimal(lon)}" for lon, lat in piece.exterior.coords)
        for piece in pieces
    )


def cap_circle(lon: float, lat: float, metres: float) -> str:
    """Return a CAP circle; its radius is in kilometres."""
    return f"{_decimal(lat)},{_decimal(lon)} {_decimal(metres / 1000)}"


def _decimal(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _without_holes(part: BaseGeometry) -> list[Polygon]:
    done = []
    waiting = [part] if isinstance(part, Polygon) and not part.is_empty else []
    while waiting:
        piece = waiting.pop()
        if not piece.interiors:
            done.append(piece)
            continue
        cut = round(Polygon(piece.interiors[0]).representative_point().x, DECIMALS)
        west, south, east, north = piece.bounds
        for half in (
            shapely.box(west, south, cut, north),
            shapely.box(cut, south, east, north),
        ):
            cut_off = polygonal(shapely.intersection(piece, half, grid_size=10**-DECIMALS))
            waiting += [p for p in shapely.get_parts(cut_off) if not p.is_empty]
    return done
