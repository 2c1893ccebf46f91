"""Whether a CAP 1.2 file may be believed: the schema, then what the schema cannot say.

Signatures are not verified: of a signature only its form is looked at, and a file whose digest is
well formed but belongs to other content is accepted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import shapely
from shapely import Polygon

from broadcaster.alerts.cap_schema import ALERT, Part, read_moment
from targeting import safe_xml
from targeting.safe_xml import Node, UnsafeXml

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
_REFERRING = frozenset({"Update", "Cancel", "Ack", "Error"})
_FORBIDDEN = re.compile(r"[\s,<&]")
_POINTS = 4
# xs:base64Binary: the bits a last quantum leaves over are 0, so a value has one notation only.
_BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to believe a file."""

    code: str
    where: str
    """Path of the element and its line: `alert/info[2]/expires:31`."""
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with a file."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["accept", "reject"]:
        """Accept only what has no problem at all."""
        return "reject" if self.problems else "accept"

    def as_json(self) -> dict[str, Any]:
        """Return the form the command line prints, one line a file."""
        return {
            "file": self.file,
            "verdict": self.verdict,
            "problems": [
                {"code": one.code, "where": one.where, "message": one.message}
                for one in self.problems
            ],
        }


def check_file(path: Path | str) -> Verdict:
    """Judge a file; one that cannot be read at all is rejected too."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return Verdict(str(path), [Problem("unreadable", "", str(error))])
    return Verdict(str(path), check_bytes(data))


def check_bytes(data: bytes) -> list[Problem]:
    """Return every problem of a CAP message, [] when it may be believed."""
    try:
        alert = safe_xml.read(data)
    except UnsafeXml as error:
        return [Problem(error.code, f":{error.line}", str(error))]
    if alert.name != "alert" or alert.namespace != NAMESPACE:
        told = f"the root is {alert.name} of “{alert.namespace}”, not alert of “{NAMESPACE}”"
        return [Problem("not_cap_1_2", f"{alert.name}:{alert.line}", told)]
    problems = list(_structure(alert, ALERT, "alert"))
    # Without the structure the meaning cannot be read for sure, and one reason is enough.
    return problems or list(_meaning(alert))


def _structure(node: Node, parts: Mapping[str, Part], path: str) -> Iterator[Problem]:
    order = list(parts)
    reached = 0
    for place, child in _numbered(node, path):
        where = f"{place}:{child.line}"
        if path == "alert" and child.namespace == _SIGNATURE:
            reached = len(order)
            yield from _signature(child, where)
            continue
        part = parts.get(child.name) if child.namespace == NAMESPACE else None
        if part is None:
            yield Problem("unknown_element", where, f"{child.name} does not belong here")
            continue
        position = order.index(child.name)
        if position < reached:
            yield Problem("out_of_order", where, f"{child.name} stands too late")
        reached = max(reached, position)
        if part.parts is not None:
            yield from _structure(child, part.parts, place)
        else:
            yield from _text(child, part, where)
    for name, part in parts.items():
        count = len(node.all(name))
        if count < part.least:
            yield Problem("missing_element", f"{path}:{node.line}", f"{name} is missing")
        elif count > part.most:
            yield Problem("too_many", f"{path}:{node.line}", f"{name} stands {count} times")


def _signature(node: Node, where: str) -> Iterator[Problem]:
    for child in node.children:
        if child.name in ("DigestValue", "SignatureValue"):
            text = "".join(child.text.split())
            if not text or not _BASE64.fullmatch(text):
                told = f"{child.name} is not base64 as the schema has it"
                yield Problem("bad_signature", f"{where.rpartition(':')[0]}:{child.line}", told)
        yield from _signature(child, where)


def _text(node: Node, part: Part, where: str) -> Iterator[Problem]:
    if node.children:
        yield Problem("unknown_element", where, f"{node.name} holds text only")
    elif part.holds is not None and not part.holds(node.text):
        yield Problem("bad_value", where, f"{node.name} “{node.text[:60]}” is not {part.about}")


def _numbered(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    seen: dict[str, int] = {}
    for child in node.children:
        seen[child.name] = seen.get(child.name, 0) + 1
        many = len(node.all(child.name)) > 1
        yield f"{path}/{child.name}" + (f"[{seen[child.name]}]" if many else ""), child


def _meaning(alert: Node) -> Iterator[Problem]:
    top = f"alert:{alert.line}"
    for name in ("identifier", "sender"):
        value = alert.value(name)
        if not value or _FORBIDDEN.search(value):
            told = f"{name} “{value}” is empty or holds a space, a comma, < or &"
            yield Problem("bad_identifier", top, told)
    yield from _references(alert, top)
    if alert.value("scope") == "Restricted" and not alert.value("restriction"):
        yield Problem("restriction_missing", top, "scope Restricted needs a restriction")
    if alert.value("scope") == "Private" and not alert.value("addresses"):
        yield Problem("addresses_missing", top, "scope Private needs addresses")
    if alert.value("msgType") in ("Alert", "Update") and alert.first("info") is None:
        yield Problem("info_missing", top, "an alert without an info block says nothing")
    for place, node in _numbered(alert, "alert"):
        if node.name == "info" and node.namespace == NAMESPACE:
            yield from _info(alert, node, place)


def _references(alert: Node, top: str) -> Iterator[Problem]:
    kind, references = alert.value("msgType"), alert.value("references").split()
    if kind in _REFERRING and not references:
        yield Problem("references_missing", top, f"msgType {kind} names no earlier message")
    for reference in references:
        parts = reference.split(",")
        if len(parts) != 3 or not all(parts) or read_moment(parts[2]) is None:
            told = f"“{reference}” is not sender,identifier,sent"
            yield Problem("bad_reference", top, told)
        elif parts[:2] == [alert.value("sender"), alert.value("identifier")]:
            yield Problem("refers_to_itself", top, "the message refers to itself")


def _info(alert: Node, info: Node, path: str) -> Iterator[Problem]:
    sent = read_moment(alert.value("sent"))
    expires = read_moment(info.value("expires"))
    for name, start in (("sent", sent), ("effective", read_moment(info.value("effective")))):
        if expires is not None and start is not None and expires <= start:
            told = f"expires {info.value('expires')} is not after {name}"
            yield Problem(f"expires_before_{name}", f"{path}:{info.line}", told)
    if not info.value("event"):
        yield Problem("empty", f"{path}:{info.line}", "event is empty")
    for place, area in _numbered(info, path):
        if area.name == "area":
            yield from _area(area, place)


def _area(area: Node, path: str) -> Iterator[Problem]:
    rings: list[tuple[str, Polygon]] = []
    for place, node in _numbered(area, path):
        where = f"{place}:{node.line}"
        if node.name == "polygon":
            found = _polygon(node.text)
            if isinstance(found, Polygon):
                rings.append((where, found))
            else:
                yield Problem(found[0], where, found[1])
        elif node.name == "circle":
            told = _circle(node.text)
            if told:
                yield Problem("bad_circle", where, told)
    for (_, one), (where, other) in combinations(rings, 2):
        if not one.equals(other) and (one.contains(other) or other.contains(one)):
            told = "one polygon lies inside another: CAP has no holes"
            yield Problem("hole", where, told)


def _polygon(text: str) -> Polygon | tuple[str, str]:
    """Return the polygon, or the code and the sentence of what is wrong with it."""
    points = [_point(pair) for pair in text.split()]
    if not points:
        return "bad_polygon", "the polygon is empty"
    if None in points:
        return "bad_polygon", "a polygon is made of “latitude,longitude” within the globe"
    ring = [point for point in points if point is not None]
    if len(ring) < _POINTS:
        return "bad_polygon", f"{len(ring)} points do not make a polygon; 4 do"
    if ring[0] != ring[-1]:
        return "polygon_open", "the last point is not the first"
    polygon = Polygon(ring)
    if not polygon.is_valid:
        return "polygon_crosses", shapely.is_valid_reason(polygon)
    return polygon


def _point(text: str) -> tuple[float, float] | None:
    lat, _, lon = text.partition(",")
    try:
        y, x = float(lat), float(lon)
    except ValueError:
        return None
    fits = math.isfinite(x) and math.isfinite(y) and abs(y) <= 90 and abs(x) <= 180
    return (x, y) if fits else None


def _circle(text: str) -> str:
    centre, _, radius = text.strip().partition(" ")
    if _point(centre) is None:
        return "the centre is not “latitude,longitude” within the globe"
    try:
        kilometres = float(radius)
    except ValueError:
        return f"the radius “{radius}” is no number of kilometres"
    if not (math.isfinite(kilometres) and kilometres >= 0):
        return "the radius is below 0"
    return ""
