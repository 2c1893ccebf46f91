"""The official table from a reform's old units to its new ones: ours for Hanoi, or a city's own."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from broadcaster.errors import Refused
from targeting.former import former_units
from targeting.vietnamese import syllables

COLUMNS = ("old_code", "old_name", "new_code")
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class FormerRow:
    """One old unit with the codes of its successors; `where` is its first line in the table."""

    code: str
    name: str
    successors: tuple[str, ...]
    where: str = ""

    def is_of(self, name: str) -> bool:
        """Say whether this row speaks of the unit of that name: codes were given to others."""
        return _plain(self.name) == _plain(name)


def _plain(name: str) -> list[str]:
    return [syllable.plain for syllable in syllables(name)]


def shipped(vintage: date) -> list[FormerRow]:
    """Return the rows that ship with us for the reform of that day; none for any other."""
    return [
        FormerRow(unit.code, unit.name, unit.successors)
        for unit in former_units()
        if unit.vintage == vintage
    ]


def read_table(path: Path) -> list[FormerRow]:
    """Read a CSV file with one successor a row, an old unit split among several having several.

    Raises Refused naming every line that cannot be used.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            lines = [(reader.line_num, row) for row in reader]
            header = set(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise _refused(path, [str(error)]) from error
    if not header.issuperset(COLUMNS):
        raise _refused(path, [f"line 1: {', '.join(COLUMNS)}"])
    bad = [f"line {n}" for n, row in lines if not all((row[c] or "").strip() for c in COLUMNS)]
    found: dict[str, FormerRow] = {}
    for number, row in lines:
        code, name, new = ((row[column] or "").strip() for column in COLUMNS)
        known = found.setdefault(code, FormerRow(code, name, (), f"line {number}"))
        if not known.is_of(name):
            bad.append(f"line {number}: {code} {name} / {known.name} ({known.where})")
        found[code] = FormerRow(code, known.name, (*known.successors, new), known.where)
    twice = [row.where for row in found.values() if max(Counter(row.successors).values()) > 1]
    if bad or twice or not found:
        raise _refused(path, bad + twice or ["0"])
    return list(found.values())


def _refused(path: Path, lines: Iterable[str]) -> Refused:
    told = "; ".join(list(lines)[:_MOST_NAMED])
    return Refused(
        "former_table",
        f"Chưa dùng được bảng {path.name}, không có gì thay đổi. Mỗi dòng cần đủ"
        f" {', '.join(COLUMNS)}, mỗi cặp một lần, mỗi mã một tên: {told}",
        f"The table {path.name} cannot be used and nothing was changed. Every line needs"
        f" {', '.join(COLUMNS)}, each pair once, one name to a code: {told}",
    )
