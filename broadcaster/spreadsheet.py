"""CSV as spreadsheets read it: UTF-8 that says so, and no cell that they take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def heading(columns: Sequence[str]) -> str:
    """Return the first line, after the mark by which spreadsheets know UTF-8."""
    return "\ufeff" + lines([columns])


def lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as lines; what others wrote is never run as a formula."""
    file = io.StringIO()
    csv.writer(file).writerows([_plain(value) for value in row] for row in rows)
    return file.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
