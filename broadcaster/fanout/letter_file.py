"""Dead letters as a CSV file: what happened and why, without a whole address."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from broadcaster.fanout.dead_letters import Letter

COLUMNS = (
    "letter", "alert", "message", "channel", "provider", "address", "state", "code", "reason", "at",
    "sent_again",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for a formula: codes are carriers' words, not ours."""


def heading() -> str:
    """Return the first line, after the mark by which spreadsheets know UTF-8."""
    return "\ufeff" + _written([COLUMNS])


def lines(letters: Iterable[Letter], lang: str) -> str:
    """Return letters as lines, each reason in words of the language."""
    return _written(
        (
            one.letter_id, one.alert_code or "", one.purpose or "", one.channel, one.provider,
            one.address, one.state, one.reason, one.meaning.said(lang), one.at.isoformat(),
            one.replays,
        )
        for one in letters
    )  # fmt: skip


def _written(rows: Iterable[Iterable[object]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([_plain(value) for value in row] for row in rows)
    return file.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
