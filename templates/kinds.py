"""Kinds of fields: what a value is, from which follow its type, its bounds and its unit.

`type = "depth"` in an event's file stands for a number of 5 to 300 cm; whatever the event gives
itself (a narrower range, other options) comes before what the kind says.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

RIVERS = Path(__file__).parent / "rivers.toml"

_ALARMS = [
    {"code": "I", "label": {"vi": "báo động I", "en": "alarm level I"}},
    {"code": "II", "label": {"vi": "báo động II", "en": "alarm level II"}},
    {"code": "III", "label": {"vi": "báo động III", "en": "alarm level III"}},
    {"code": "above_III", "label": {"vi": "trên báo động III", "en": "above alarm level III"}},
]


@cache
def kinds() -> Mapping[str, Mapping[str, Any]]:
    """Return what each kind stands for, by name."""
    return {
        "river": {"type": "choice", "options": _rivers()},
        "alarm": {"type": "choice", "options": _ALARMS},
        "level": {"type": "number", "minimum": 0, "maximum": 30, "decimals": 2, "unit": "m"},
        "flow": {"type": "number", "minimum": 1, "maximum": 60_000, "unit": "m3/s"},
        "depth": {"type": "number", "minimum": 5, "maximum": 300, "unit": "cm"},
        "wind": {"type": "number", "minimum": 6, "maximum": 17, "unit": "Bft"},
        "rain": {"type": "number", "minimum": 10, "maximum": 1500, "unit": "mm"},
        "temperature": {"type": "number", "minimum": -5, "maximum": 48, "unit": "°C"},
        "distance": {"type": "number", "minimum": 10, "maximum": 5000, "unit": "m"},
        "hotline": {"type": "phone"},
        "deadline": {"type": "time"},
        "onset": {"type": "time"},
        "event_time": {"type": "time"},
        "finish": {"type": "time"},
        "happened": {"type": "time"},
    }


def _rivers() -> list[dict[str, Any]]:
    data = tomllib.loads(RIVERS.read_text(encoding="utf-8"))
    return [{"code": river["code"], "label": river["name"]} for river in data["rivers"]]


def expanded(field: Any) -> Any:
    """Spell out a field's kind; anything else, wrong input too, is given back as it is."""
    if not isinstance(field, dict) or field.get("type") not in kinds():
        return field
    kind = kinds()[field["type"]]
    return {**kind, **field, "type": kind["type"], "kind": field["type"]}
