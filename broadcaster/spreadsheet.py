"""CSV as spreadsheets read it: UTF-8 that says so, and no cell that they take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")

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
    if isinstance(value, datetime):
        return moment(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def moment(at: datetime) -> str:
    """Write a moment as people here read it and programs can: with Hanoi's offset."""
    return at.astimezone(HANOI).isoformat(timespec="milliseconds")
