"""The rivers of Hanoi with the alarm levels at their gauges: data, and what follows from it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from templates.event import Bilingual, Event
from templates.pieces import Problem

DATA = Path(__file__).parent / "rivers.toml"
Alarm = Literal["", "I", "II", "III"]
_CLOSED = ConfigDict(extra="forbid")
_REACHED: tuple[Alarm, ...] = ("", "I", "II", "III")
_OPTION: Mapping[str, Alarm] = {"I": "I", "II": "II", "III": "III", "above_III": "III"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge, and the water levels (m) of alarm I, II and III there."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    name: str
    alarm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not self.alarm[0] < self.alarm[1] < self.alarm[2]:
            raise ValueError(f"alarm levels at {self.name} do not rise")

    def reached(self, level: float) -> Alarm:
        """Return the alarm level a water level (m) has reached; empty below the first."""
        return _REACHED[sum(level >= step for step in self.alarm)]


@dataclass(frozen=True, slots=True)
class River:
    """One river; without a gauge it has no alarm levels of its own."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    code: str
    name: Bilingual
    gauges: tuple[Gauge, ...] = ()


@cache
def rivers() -> Mapping[str, River]:
    """Return every river by code, in the order of the file."""
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    read = TypeAdapter(list[River]).validate_python(data["rivers"])
    return {river.code: river for river in read}


def disagreements(event: Event, values: Mapping[str, Any]) -> list[Problem]:
    """Say where the water level and the alarm level an official typed do not go together.

    Advice only: a river has several gauges, and a bulletin may speak of another one.
    """
    by_kind = {field.kind: field for field in event.fields}
    if not {"river", "alarm", "level"} <= by_kind.keys():
        return []
    river = rivers().get(str(values.get(by_kind["river"].name, "")))
    said = _OPTION.get(str(values.get(by_kind["alarm"].name, "")))
    level = _metres(values.get(by_kind["level"].name))
    if river is None or not river.gauges or said is None or level is None:
        return []
    if any(gauge.reached(level) == said for gauge in river.gauges):
        return []
    gauge = river.gauges[0]
    low = "; ".join(
        f"{name} {metres:.2f} m" for name, metres in zip(_REACHED[1:], gauge.alarm, strict=True)
    )
    return [
        Problem(
            "field.alarm",
            by_kind["alarm"].name,
            f"Mực nước {level:.2f} m không ứng với báo động {said}. Tại {gauge.name}: "
            f"{low}. Xem lại bản tin.".replace(".", ",", 1),
            f"A level of {level:.2f} m is not alarm {said}. At {gauge.name}: {low}. "
            "Look at the bulletin again.",
        )
    ]


def _metres(raw: Any) -> float | None:
    try:
        return float(str(raw).replace(",", "."))
    except ValueError:
        return None
