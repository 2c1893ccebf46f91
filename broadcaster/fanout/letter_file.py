"""Dead letters as a CSV file: what happened and why, without a whole address."""

from __future__ import annotations

from collections.abc import Iterable

from broadcaster import spreadsheet
from broadcaster.fanout.dead_letters import Letter

COLUMNS = (
    "letter", "alert", "message", "channel", "provider", "address", "state", "code", "reason", "at",
    "sent_again",
)  # fmt: skip


def heading() -> str:
    """Return the first line."""
    return spreadsheet.heading(COLUMNS)


def lines(letters: Iterable[Letter], lang: str) -> str:
    """Return letters as lines, each reason in words of the language."""
    return spreadsheet.lines(
        (
            one.letter_id, one.alert_code or "", one.purpose or "", one.channel, one.provider,
            one.address, one.state, one.reason, one.meaning.said(lang), spreadsheet.moment(one.at),
            one.replays,
        )
        for one in letters
    )  # fmt: skip
