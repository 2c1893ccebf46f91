"""What a scenario says, and what may be wrong with it before anybody uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from broadcaster.alerts.content import AlertClass, ChannelName, Lang
from broadcaster.alerts.documents import Document, Fault, place_of, refusal, unreadable
from templates.event import Event
from templates.pieces import Problem
from templates.values import read

BAD = "bad_scenario"
"""How the refusal of one that has faults is called."""


class Name(Document):
    """The same words in both languages."""

    vi: str = Field(min_length=1, max_length=80)
    en: str = Field(min_length=1, max_length=80)

    def __getitem__(self, lang: str) -> str:
        return self.en if lang == "en" else self.vi


class Scenario(Document):
    """What is prepared: all of an alert but the values asked for when it is used."""

    name: Name
    note_vi: str = Field("", max_length=300)
    """When to use it."""
    note_en: str = Field("", max_length=300)
    event: str = Field(max_length=60)
    alert_class: AlertClass = Field(alias="class")
    area: dict[str, Any]
    values: dict[str, Any] = Field(default_factory=dict)
    ask: tuple[str, ...] = ()
    """Fields that are asked each time, in their order."""
    languages: tuple[Lang, ...] = Field(("vi", "en"), min_length=1)
    channels: tuple[ChannelName, ...] = Field(("push", "sms", "email"), min_length=1)
    hours: int = Field(ge=1, le=168)
    """How long the alert is in force."""
    risk_level: int | None = Field(None, ge=1, le=5)
    river_alarm: int | None = Field(None, ge=1, le=3)
    issuer: str = Field("", max_length=200)


def parse(document: Any) -> Scenario:
    """Read a scenario somebody wrote; raises Refused naming each field."""
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise refusal(BAD, [_unreadable(one) for one in error.errors()]) from error


def _unreadable(error: ErrorDetails) -> Fault:
    """Say what a field wants that cannot be read."""
    typed = error["input"]
    match place_of(error):
        case "hours":
            return Fault(
                "hours",
                f"“{typed}” không phải số giờ. Ghi một số từ 1 đến 168.",
                f"“{typed}” is no number of hours. Give one from 1 to 168.",
            )
        case ("name.vi" | "name.en") as place if not typed:
            return Fault(
                place, "Chưa có tên. Ghi tên kịch bản.", "There is no name. Give the scenario one."
            )
    return unreadable(error)


def faults(scenario: Scenario, event: Event) -> Iterator[Fault]:
    """Find what does not fit the template; every value is fixed, asked, or filled by itself."""
    if scenario.hours > event.maximum_expiry_hours:
        yield Fault(
            "hours",
            f"Loại tin này có hiệu lực nhiều nhất {event.maximum_expiry_hours} giờ. Giảm số giờ.",
            f"This kind of alert lasts {event.maximum_expiry_hours} hours at most. Lower it.",
        )
    known = {field.name: field for field in event.fields}
    for name in (*scenario.values, *scenario.ask):
        if name not in known:
            yield Fault(
                f"values.{name}",
                f"Mẫu không có ô “{name}”. Bỏ ô này.",
                f"The template has no field “{name}”. Remove it.",
            )
    asked = set(scenario.ask)
    for fault in value_faults(event, scenario.languages, scenario.values):
        name = fault.field.partition(".")[2]
        if name not in asked and not known[name].fill:
            yield fault


def value_faults(
    event: Event, languages: Sequence[str], values: Mapping[str, Any]
) -> Iterator[Fault]:
    """Find values that a template cannot show, each field once."""
    for field in event.fields:
        for lang in languages:
            shown = read(field, lang, values.get(field.name))
            if isinstance(shown, Problem):
                yield Fault(f"values.{field.name}", shown.message_vi, shown.message_en)
                break
