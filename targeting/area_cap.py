"""Areas from CAP messages, whoever sent them: their polygons, circles and codes of our units."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from datetime import date
from typing import Any, TypeVar

from targeting import safe_xml
from targeting.area import Area
from targeting.errors import AreaError, AreaProblem, problem
from targeting.faults import xml_fault
from targeting.safe_xml import Node, UnsafeXml
from targeting.units import UnitKey

GEOCODE = "GSO-VN"
"""Name of our list of units: the General Statistics Office's; the vintage follows it."""

Read = TypeVar("Read")


def area_of_cap(xml: bytes, known: Container[UnitKey] | None = None) -> Area:
    """Return the union of every area of every info of a CAP message.

    Geocodes of ours name units: those in `known`, or all when it is not given. Polygons are kept
    as they are, for `Area.problems` to say what is wrong with them. Raise AreaError, with the
    line of each fault, for what is no CAP message, for text that is no shape, and for an area
    that only has a name or codes of others: it must not be lost without a word.
    """
    try:
        alert = safe_xml.read(xml)
    except UnsafeXml as error:
        raise AreaError([problem("not_cap", "area", **xml_fault(error))]) from error
    if alert.name != "alert":
        root = f"<{alert.name}>"
        raise AreaError([problem("not_cap", "area", detail=root, detail_vi=root)])
    found: list[AreaProblem] = []
    area: dict[str, list[Any]] = {"units": [], "polygons": [], "circles": []}
    for where, node in _areas(alert):
        before = len(found)
        units = [key for key in _units(node) if known is None or key in known]
        polygons = _read_all(node, "polygon", _polygon, where, found)
        circles = _read_all(node, "circle", _circle, where, found)
        if not units and not polygons and not circles and len(found) == before:
            found.append(problem("cap_without_shape", where, line=node.line))
        area["units"] += [{"code": u.code, "vintage": u.vintage.isoformat()} for u in units]
        # Every language of a message says the same polygon again.
        area["polygons"] += [one for one in polygons if one not in area["polygons"]]
        area["circles"] += circles
    if found:
        raise AreaError(found)
    return Area.from_json(area)


def _areas(alert: Node) -> Iterator[tuple[str, Node]]:
    for info_number, info in enumerate(alert.all("info")):
        for number, node in enumerate(info.all("area")):
            yield f"info[{info_number}].area[{number}]", node


def _read_all(
    node: Node, name: str, read: Callable[[str], Read], where: str, found: list[AreaProblem]
) -> list[Read]:
    shapes = []
    for number, child in enumerate(node.all(name)):
        try:
            shapes.append(read(child.text))
        except ValueError:
            place = f"{where}.{name}[{number}]"
            found.append(problem("bad_cap_shape", place, line=child.line))
    return shapes


def _polygon(text: str) -> dict[str, Any]:
    ring = [_position(pair) for pair in text.split()]
    if not ring:
        raise ValueError(text)
    return {"type": "Polygon", "coordinates": [ring]}


def _circle(text: str) -> dict[str, float]:
    centre, kilometres = text.split()
    lon, lat = _position(centre)
    return {"lon": lon, "lat": lat, "metres": _number(kilometres) * 1000}


def _position(pair: str) -> list[float]:
    lat, lon = pair.split(",")
    return [_number(lon), _number(lat)]


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _units(node: Node) -> Iterator[UnitKey]:
    for pair in node.all("geocode"):
        name, code = pair.value("valueName"), pair.value("value")
        try:
            if name.startswith(f"{GEOCODE}-") and code:
                yield UnitKey(code, date.fromisoformat(name.removeprefix(f"{GEOCODE}-")))
        except ValueError:
            continue
