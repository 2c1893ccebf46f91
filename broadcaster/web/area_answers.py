"""What the tools of an area answer, before the API or the console puts it in its own form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from broadcaster.people.units import GroupRow, UnitRow
from targeting.errors import AreaProblem


@dataclass(frozen=True, slots=True)
class Note:
    """One thing worth knowing about what was read; never a reason to refuse it."""

    code: str
    message_vi: str
    message_en: str


@dataclass(frozen=True, slots=True)
class ReadArea:
    """An area as a file says it."""

    area: dict[str, Any]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class NamedLine:
    """One line of a pasted list: what was taken for it, and what was assumed in doing so."""

    text: str
    units: tuple[UnitRow, ...]
    groups: tuple[GroupRow, ...]
    assumed: str | None
    """A code such as no_marks, former_district, ambiguous; None when it says just that."""
    message_vi: str
    message_en: str
    suggestions: tuple[str, ...] = ()
    """The names nearest to a line that was not taken."""
    row: int = 0
    """The line of the text it stands on, from 0."""


@dataclass(frozen=True, slots=True)
class NamedArea:
    """The area that a list of names means, and how each line was read."""

    area: dict[str, Any]
    lines: tuple[NamedLine, ...]


@dataclass(frozen=True, slots=True)
class UnitPeople:
    """How many people of an area count under one unit."""

    unit: UnitRow
    people: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Who an area reaches, in every way it is asked; `units` with most people first."""

    people: int
    channels: dict[str, int]
    languages: dict[str, int]
    units: tuple[UnitPeople, ...]
    by_unit_only: int
    """Those of the people who are known by their unit only."""
    ms: float


@dataclass(frozen=True, slots=True)
class PeopleChange:
    """What a change of area means for people; None where an area cannot be counted."""

    before: int | None
    after: int | None
    added: int | None
    dropped: int | None

    @property
    def kept(self) -> int | None:
        """People of both areas."""
        if self.before is None or self.dropped is None:
            return None
        return self.before - self.dropped


@dataclass(frozen=True, slots=True)
class RepairedArea:
    """A repaired area to be shown beside the one before; nothing is saved by it."""

    area: dict[str, Any]
    applied: tuple[str, ...]
    km2_before: float | None
    """None where the area before has no shape."""
    km2_after: float | None
    added_km2: float
    dropped_km2: float
    """Compared with what was drawn, as it looks on the map, whether or not it has a shape."""
    people_before: int | None
    people_after: int | None
    problems: tuple[AreaProblem, ...]
    """What is still wrong."""


@dataclass(frozen=True, slots=True)
class SimplifiedArea:
    """A simplified area, its points before and after, and what that means for people."""

    area: dict[str, Any]
    points_before: int
    points: int
    added_km2: float
    dropped_km2: float
    people: PeopleChange
    problems: tuple[AreaProblem, ...] = ()
    """That it cannot have so few points, and how few it can have."""
