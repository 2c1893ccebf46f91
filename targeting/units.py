"""Administrative units and groups of them: the facts, and the CSV files that ship with us."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / "data"
UNITS_CSV = DATA / "hanoi_units.csv"
GROUPS_CSV = DATA / "hanoi_groups.csv"


class UnitKey(NamedTuple):
    """What identifies a unit: codes were reused in the reform of 2025-07-01, so never the code."""

    code: str
    vintage: date


@dataclass(frozen=True, slots=True)
class Unit:
    """One administrative unit as it is from `vintage` on; lon and lat are its centroid."""

    code: str
    vintage: date
    name: str
    short_name: str
    name_en: str
    kind: str
    parent_code: str
    population: int
    area_km2: float
    lon: float
    lat: float

    @property
    def key(self) -> UnitKey:
        """Return (code, vintage)."""
        return UnitKey(self.code, self.vintage)


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of units; a share is the part of that unit's area that lies in the group."""

    code: str
    name: str
    short_name: str
    name_en: str
    kind: str
    vintage: date
    members: Mapping[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> list[UnitKey]:
        """Return the keys of the member units, however small their share."""
        return [UnitKey(code, self.vintage) for code in self.members]


def read_units(path: Path = UNITS_CSV) -> list[Unit]:
    """Read units from a CSV file with one unit a row, in the order of the file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Unit(
                code=row["code"],
                vintage=date.fromisoformat(row["vintage"]),
                name=row["name"],
                short_name=row["short_name"],
                name_en=row["name_en"],
                kind=row["kind"],
                parent_code=row["parent_code"],
                population=int(row["population"]),
                area_km2=float(row["area_km2"]),
                lon=float(row["lon"]),
                lat=float(row["lat"]),
            )
            for row in csv.DictReader(file)
        ]


def read_groups(path: Path = GROUPS_CSV) -> list[Group]:
    """Read groups from a CSV file with one member a row, in the order of the file."""
    heads: dict[str, dict[str, str]] = {}
    members: dict[str, dict[str, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            heads.setdefault(row["code"], row)
            members.setdefault(row["code"], {})[row["unit_code"]] = float(row["share"])
    return [
        Group(
            code=code,
            name=head["name"],
            short_name=head["short_name"],
            name_en=head["name_en"],
            kind=head["kind"],
            vintage=date.fromisoformat(head["unit_vintage"]),
            members=members[code],
        )
        for code, head in heads.items()
    ]


def leaves(units: Iterable[Unit]) -> list[Unit]:
    """Return the units that no other unit of the same vintage names as its parent, by key.

    Vintages that overlap are told apart by the caller: pass the units of one map.
    """
    known = list(units)
    parents = {(unit.parent_code, unit.vintage) for unit in known}
    return sorted((u for u in known if u.key not in parents), key=lambda u: u.key)
