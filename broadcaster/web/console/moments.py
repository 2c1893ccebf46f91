"""Times as a form posts and shows them: Hanoi's, without an offset; what is no time stays as typed.

What an official typed is never thrown away: a check says that it cannot be read, and the field
shows it until it is mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broadcaster.web import formats
from broadcaster.web.formats import HANOI
from templates.values import period_ends

ENDS = ("from", "to")
"""The two moments of a period, as the forms name them."""
MOST_LETTERS = 60
"""Of a text that was typed as a time."""
_POSTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


def moment_of(text: str) -> datetime | None:
    """Read a posted time as Hanoi's; None where it is empty or no time."""
    if not _POSTED.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=HANOI)
    except ValueError:
        return None


def stored(value: Any) -> str | None:
    """Return a posted time with its offset, or the text as it was typed; None where empty."""
    text = str(value or "").strip()
    moment = moment_of(text)
    return moment.isoformat() if moment else text[:MOST_LETTERS] or None


def stored_period(value: Any) -> dict[str, str] | None:
    """Return both moments of a posted period as `stored` does; None where both are empty."""
    given = value if isinstance(value, Mapping) else {}
    ends = {end: stored(given.get(end)) for end in ENDS}
    return {end: text or "" for end, text in ends.items()} if any(ends.values()) else None


def posted(value: Any) -> str:
    """Return a stored time as a form posts it; a text that is no time as it stands."""
    moment = _aware(value)
    if moment is None:
        return str(value or "")
    return moment.astimezone(HANOI).replace(tzinfo=None).isoformat(timespec="minutes")


def shown(value: Any) -> str:
    """Return a stored time as its input holds it; a text that is no time as it stands."""
    moment = _aware(value)
    return str(value or "") if moment is None else formats.field_value(moment)


def ends(value: Any) -> dict[str, Any]:
    """Return the two moments of a stored period, in whichever of its forms it stands."""
    return dict(zip(ENDS, period_ends(value), strict=True))


def _aware(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(str(value or ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
