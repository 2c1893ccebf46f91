"""Two people's changes to one draft, joined field by field; what both changed is theirs to settle.

A draft is a plain JSON document here, as the compose screen posts it. Its leaves are its fields;
the area is one field whose parts are joined one by one, because two people often draw at two ends
of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]

AREA = "area"
EXCLUDED = "exclusions"
_NAMED = ("units", "groups")
_DRAWN = ("polygons", "circles", "lines")
_GONE = object()
"""A field that a document does not have."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A field that both changed, each in another way; None where one of them emptied it."""

    path: Path
    mine: Any
    theirs: Any


def merge(
    base: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Clash]]:
    """Join two documents that both came from `base`; of a clash the result has theirs."""
    before, one, other = flat(base), flat(mine), flat(theirs)
    result, clashes = {}, []
    for path in sorted({*one, *other}):
        value, clash = _field(
            path, before.get(path, _GONE), one.get(path, _GONE), other.get(path, _GONE)
        )
        if clash is not None:
            clashes.append(clash)
        if value is not _GONE:
            result[path] = value
    return whole(result), clashes


def _field(path: Path, before: Any, one: Any, other: Any) -> tuple[Any, Clash | None]:
    if one in (before, other):
        return other, None
    if other == before:
        return one, None
    if path == (AREA,):
        joined = _areas(before, one, other)
        if joined is not None:
            return joined, None
    return other, Clash(path, _shown(one), _shown(other))


def _shown(value: Any) -> Any:
    return None if value is _GONE else value


def flat(document: Mapping[str, Any], at: Path = ()) -> dict[Path, Any]:
    """Return a document's fields by their paths; lists and the area are one field each."""
    found: dict[Path, Any] = {}
    for name, value in document.items():
        path = (*at, name)
        if isinstance(value, Mapping) and path != (AREA,):
            found |= flat(value, path)
        else:
            found[path] = value
    return found


def whole(fields: Mapping[Path, Any]) -> dict[str, Any]:
    """Return the document of these fields."""
    document: dict[str, Any] = {}
    for path, value in fields.items():
        place = document
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return document


def _areas(
    before: Mapping[str, Any], one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Join two areas part by part; None where both changed one shape, or disagree on a place."""
    added = _side(before, one, other)
    excluded = _side(before.get(EXCLUDED) or {}, one.get(EXCLUDED) or {}, other.get(EXCLUDED) or {})
    if added is None or excluded is None:
        return None
    both = [
        part for kind in _NAMED for part in added.get(kind, []) if part in excluded.get(kind, [])
    ]
    return None if both else {**added, EXCLUDED: excluded}


def _side(
    before: Mapping[str, Any], one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, Any] | None:
    result = {}
    for kind in (*_NAMED, *_DRAWN):
        old, mine, theirs = (_by_key(side.get(kind) or []) for side in (before, one, other))
        moved = [key for key in old if key not in mine and key not in theirs]
        # A shape that was dragged is one that went and one that came: both of them dragged it.
        if kind in _DRAWN and moved and set(mine) != set(theirs):
            return None
        dropped = {key for key in old if key not in mine}
        result[kind] = [part for key, part in theirs.items() if key not in dropped] + [
            part for key, part in mine.items() if key not in old and key not in theirs
        ]
    return result


def _by_key(parts: list[Any]) -> dict[str, Any]:
    return {json.dumps(part, sort_keys=True): part for part in parts}
