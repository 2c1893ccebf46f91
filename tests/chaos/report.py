"""The scenarios' figures as a table: printed after every run, written to the docs by the whole."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.builders import CHANNELS
from tests.chaos.account import JITTER, Figures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "chaos.md"
_BEGIN, _END = "<!-- figures: make chaos -->", "<!-- end -->"
_HEAD = (
    "scenario", "seconds", "recipients", "lost", "wrong person", "twice on the wire (may)",
    "visible twice", "refused by carriers", "most in a second (limit)",
)  # fmt: skip


def table(rows: Sequence[Figures]) -> str:
    """Return the rows as Markdown."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Figures) -> list[str]:
    def each(values: dict[str, int], beside: dict[str, int]) -> str:
        return ", ".join(f"{c} {values.get(c, 0):,} ({beside.get(c, 0):,})" for c in CHANNELS)

    return [
        row.what,
        f"{row.seconds:.0f}",
        ", ".join(f"{c} {row.recipients[c]:,}" for c in CHANNELS),
        str(row.lost),
        str(row.wrong),
        each(row.twice, row.may_be_twice),
        str(row.visible_twice),
        f"{row.refused:,}",
        each(row.most_in_a_second, row.limit),
    ]


def write(rows: Sequence[Figures]) -> None:
    """Put the table into the page, in the place of the one before."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    words = (
        f"Measured {when}, {os.cpu_count()} cores for everything together, load at the end"
        f" {os.getloadavg()[0]:.1f}, {platform.system()}, Python {platform.python_version()}."
        f" Seconds are from approval to settled. A window of one second is shortened by"
        f" {JITTER * 1000:.0f} ms, by which messages may come closer on a busy machine."
    )
    PAGE.write_text(f"{before}{_BEGIN}\n\n{words}\n\n{table(rows)}\n\n{_END}{after}", "utf-8")
