"""The CAP 1.2 schema as tables: what stands where, how often, and what it may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

MANY = 1_000_000
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")

Holds = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Part:
    """One element of a sequence: how often it may occur, and its text or its own parts."""

    least: int = 0
    most: int = 1
    holds: Holds | None = None
    parts: Mapping[str, Part] | None = None
    about: str = ""


def read_moment(text: str) -> datetime | None:
    """Read CAP's dateTime, which needs a zone and knows no Z; None when it is not one."""
    if not _MOMENT.fullmatch(text.strip()):
        return None
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _moment(text: str) -> bool:
    return read_moment(text) is not None


def _language(text: str) -> bool:
    return _LANGUAGE.fullmatch(text.strip()) is not None


def _number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)", text.strip()) is not None


def _whole(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d+", text.strip()) is not None


def _one_of(*values: str) -> tuple[Holds, str]:
    return (lambda text: text in values), f"one of {', '.join(values)}"


def _listed(least: int, most: int, *values: str) -> Part:
    holds, about = _one_of(*values)
    return Part(least, most, holds, about=about)


_WHEN = "a moment such as 2026-09-10T03:17:00+07:00"
_PAIR: Mapping[str, Part] = {"valueName": Part(1), "value": Part(1)}
_AREA: Mapping[str, Part] = {
    "areaDesc": Part(1),
    "polygon": Part(0, MANY),
    "circle": Part(0, MANY),
    "geocode": Part(0, MANY, parts=_PAIR),
    "altitude": Part(holds=_number, about="a number"),
    "ceiling": Part(holds=_number, about="a number"),
}
_RESOURCE: Mapping[str, Part] = {
    "resourceDesc": Part(1),
    "mimeType": Part(1),
    "size": Part(holds=_whole, about="a whole number"),
    "uri": Part(),
    "derefUri": Part(),
    "digest": Part(),
}
_INFO: Mapping[str, Part] = {
    "language": Part(holds=_language, about="a language such as vi-VN"),
    "category": _listed(
        1, MANY, "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env",
        "Transport", "Infra", "CBRNE", "Other",
    ),
    "event": Part(1),
    "responseType": _listed(
        0, MANY, "Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess",
        "AllClear", "None",
    ),
    "urgency": _listed(1, 1, "Immediate", "Expected", "Future", "Past", "Unknown"),
    "severity": _listed(1, 1, "Extreme", "Severe", "Moderate", "Minor", "Unknown"),
    "certainty": _listed(1, 1, "Observed", "Likely", "Possible", "Unlikely", "Unknown"),
    "audience": Part(),
    "eventCode": Part(0, MANY, parts=_PAIR),
    "effective": Part(holds=_moment, about=_WHEN),
    "onset": Part(holds=_moment, about=_WHEN),
    "expires": Part(holds=_moment, about=_WHEN),
    "senderName": Part(),
    "headline": Part(),
    "description": Part(),
    "instruction": Part(),
    "web": Part(),
    "contact": Part(),
    "parameter": Part(0, MANY, parts=_PAIR),
    "resource": Part(0, MANY, parts=_RESOURCE),
    "area": Part(0, MANY, parts=_AREA),
}  # fmt: skip
ALERT: Mapping[str, Part] = {
    "identifier": Part(1),
    "sender": Part(1),
    "sent": Part(1, holds=_moment, about=_WHEN),
    "status": _listed(1, 1, "Actual", "Exercise", "System", "Test", "Draft"),
    "msgType": _listed(1, 1, "Alert", "Update", "Cancel", "Ack", "Error"),
    "source": Part(),
    "scope": _listed(1, 1, "Public", "Restricted", "Private"),
    "restriction": Part(),
    "addresses": Part(),
    "code": Part(0, MANY),
    "note": Part(),
    "references": Part(),
    "incidents": Part(),
    "info": Part(0, MANY, parts=_INFO),
}
