"""The rivers of Hanoi with the alarm levels at their gauges: data, and what follows from it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
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
    stated = _stated(event, values)
    if stated is None or any(one.reached(stated.level) == stated.said for one in stated.gauges):
        return []
    gauge, said = stated.gauges[0], stated.said
    steps = "; ".join(
        f"{name} {metres:.2f} m" for name, metres in zip(_REACHED[1:], gauge.alarm, strict=True)
    )
    level, comma = f"{stated.level:.2f} m", str.maketrans(".", ",")
    return [
        Problem(
            "field.alarm",
            stated.field,
            f"Mực nước {level.translate(comma)} không ứng với báo động {said}. Tại {gauge.name}:"
            f" {steps.translate(comma)}. Xem lại bản tin rồi sửa một trong hai.",
            f"A level of {level} is not alarm {said}. At {gauge.name}: {steps}."
            " Look at the bulletin again and correct one of the two.",
        )
    ]


def fitting(event: Event, values: Mapping[str, Any]) -> Alarm:
    """Return the alarm that the level typed has reached at the river's first gauge; "" for none."""
    stated = _stated(event, values)
    return stated.gauges[0].reached(stated.level) if stated else ""


def names_alarm(event: Event) -> bool:
    """Tell whether an event asks for the river's alarm level itself."""
    return any(field.kind == "alarm" for field in event.fields)


def alarm_number(event: Event, values: Mapping[str, Any]) -> int | None:
    """Return the alarm level that was typed, 1 to 3; None where there is none."""
    for field in event.fields:
        said = _OPTION.get(str(values.get(field.name, ""))) if field.kind == "alarm" else None
        if said:
            return _REACHED.index(said)
    return None


@dataclass(frozen=True, slots=True)
class _Stated:
    """What an official typed of a river that has gauges."""

    field: str
    said: Alarm
    level: float
    gauges: tuple[Gauge, ...]


def _stated(event: Event, values: Mapping[str, Any]) -> _Stated | None:
    by_kind = {field.kind: field.name for field in event.fields}
    if not {"river", "alarm", "level"} <= by_kind.keys():
        return None
    river = rivers().get(str(values.get(by_kind["river"], "")))
    said = _OPTION.get(str(values.get(by_kind["alarm"], "")))
    level = _metres(values.get(by_kind["level"]))
    if river is None or not river.gauges or said is None or level is None:
        return None
    return _Stated(by_kind["alarm"], said, level, river.gauges)


def _metres(raw: Any) -> float | None:
    try:
        level = float(str(raw).replace(",", "."))
    except ValueError:
        return None
    return level if isfinite(level) else None
