"""The communes of before 2025-07-01 and today's units that each was merged or split into."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from targeting.units import DATA, UnitKey

FORMER_UNITS_CSV = DATA / "hanoi_former_units.csv"


@dataclass(frozen=True, slots=True)
class FormerUnit:
    """A commune that is no more, its former district, and the codes of its successors.

    Several successors mean that it was split: nobody can tell from its name alone in which of
    them a person lives. Its code may be that of another unit today.
    """

    code: str
    name: str
    short_name: str
    kind: str
    district_code: str
    vintage: date
    successors: tuple[str, ...]

    @property
    def keys(self) -> tuple[UnitKey, ...]:
        """Return the keys of the successors; `vintage` is theirs."""
        return tuple(UnitKey(code, self.vintage) for code in self.successors)


def former_units(path: Path = FORMER_UNITS_CSV) -> list[FormerUnit]:
    """Read former communes from a CSV file with one successor a row, in the order of the file."""
    heads: dict[str, dict[str, str]] = {}
    successors: dict[str, list[str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            heads.setdefault(row["code"], row)
            successors.setdefault(row["code"], []).append(row["unit_code"])
    return [
        FormerUnit(
            code=code,
            name=head["name"],
            short_name=head["short_name"],
            kind=head["kind"],
            district_code=head["district_code"],
            vintage=date.fromisoformat(head["unit_vintage"]),
            successors=tuple(successors[code]),
        )
        for code, head in heads.items()
    ]
