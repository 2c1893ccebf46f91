"""What the catalogue knows of an event: its CAP defaults and the fields its wording asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict

Lang: TypeAlias = Literal["vi", "en"]
LANGS: tuple[Lang, ...] = ("vi", "en")

AlertClass = Literal["emergency", "warning", "information"]
Category = Literal[
    "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra",
    "CBRNE", "Other",
]  # fmt: skip
ResponseType = Literal[
    "Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"
]
Urgency = Literal["Immediate", "Expected", "Future", "Past", "Unknown"]
Severity = Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]
Certainty = Literal["Observed", "Likely", "Possible", "Unlikely", "Unknown"]
FieldType = Literal["text", "time", "period", "choice", "number", "places", "phone"]
"""How a field is asked for and read. What it means is its kind: `kinds.py`."""

_CLOSED = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Bilingual:
    """The same words in both languages."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    vi: str
    en: str

    def __getitem__(self, lang: str) -> str:
        return self.en if lang == "en" else self.vi

    def __post_init__(self) -> None:
        if not (self.vi.strip() and self.en.strip()):
            raise ValueError("both vi and en need words")


@dataclass(frozen=True, slots=True)
class Option:
    """One answer of a choice."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    code: str
    label: Bilingual


@dataclass(frozen=True, slots=True)
class Field:
    """One typed placeholder."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    name: str
    type: FieldType
    label: Bilingual
    help: Bilingual
    example: Any
    """A legal value; text and places may give one per language: {vi = …, en = …}."""
    required: bool = True
    fill: Literal["", "area", "expires"] = ""
    """What the console proposes: the names of the area's units, the alert's end."""
    max_length: int = 0
    """Most letters of a text."""
    minimum: float | None = None
    maximum: float | None = None
    decimals: int = 0
    unit: str = ""
    """Shown behind a number's input; the wording writes its own."""
    options: tuple[Option, ...] = ()
    kind: str = ""
    """What the value is: `river`, `depth`, …, or the type's own name; set by `kinds.expanded`."""
    before: str = ""
    """The field of a later time: leaving comes before the crest."""
    ahead_minutes: int = 0
    """How long before it at least."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"“{self.name}” cannot be a placeholder's name")
        if self.type == "text" and self.max_length < 1:
            raise ValueError(f"text “{self.name}” needs max_length")
        if self.type == "number" and (self.minimum is None or self.maximum is None):
            raise ValueError(f"number “{self.name}” needs minimum and maximum")
        if self.type == "choice" and len(self.options) < 2:
            raise ValueError(f"choice “{self.name}” needs two options or more")
        if not self.kind:
            object.__setattr__(self, "kind", self.type)


@dataclass(frozen=True, slots=True)
class UsualClass:
    """The class an event usually has while a choice has one of these values."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    field: str
    codes: tuple[str, ...]
    alert_class: AlertClass


@dataclass(frozen=True, slots=True)
class CapEventCode:
    """CAP's eventCode pair."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    value_name: str
    value: str


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of alert: what CAP says of it and what an official must fill in."""

    __pydantic_config__: ClassVar[ConfigDict] = _CLOSED

    code: str
    version: int
    """Raised with every change of the wording or the fields."""
    name: Bilingual
    category: tuple[Category, ...]
    response_type: tuple[ResponseType, ...]
    default_class: AlertClass
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    cap_event_code: CapEventCode
    default_expiry_hours: int
    maximum_expiry_hours: int
    fields: tuple[Field, ...]
    group: str = "other"
    """Where lists put it: weather, water, fire, health, daily, follow."""
    channels: tuple[Literal["push", "sms", "email"], ...] = ("push", "sms", "email")
    """What a draft of it begins with; the class's channel policy decides what is allowed."""
    least_class: AlertClass | None = None
    """The lowest class it may go out in: an order to leave is no information."""
    usual_classes: tuple[UsualClass, ...] = ()
    approvals: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Ids under which operators that want wording registered approved the SMS, by operator."""

    def __post_init__(self) -> None:
        if not (self.category and self.response_type):
            raise ValueError("category and response_type need a value each")
        if not 0 < self.default_expiry_hours <= self.maximum_expiry_hours:
            raise ValueError("default_expiry_hours must be above 0 and at most the maximum")
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fields given twice: {', '.join(twice)}")
        times = {field.name for field in self.fields if field.type == "time"}
        for field in self.fields:
            if field.before and not {field.name, field.before} <= times:
                raise ValueError(f"“{field.name}” before “{field.before}”: both have to be times")

    @property
    def default_expiry(self) -> timedelta:
        """How long an alert of this kind lasts unless the official says otherwise."""
        return timedelta(hours=self.default_expiry_hours)

    @property
    def maximum_expiry(self) -> timedelta:
        """How long it may last at most."""
        return timedelta(hours=self.maximum_expiry_hours)

    def usual_class(self, values: Mapping[str, Any]) -> AlertClass | None:
        """Return the class that is usual for it with these values; None where none is said."""
        for one in self.usual_classes:
            if values.get(one.field) in one.codes:
                return one.alert_class
        return None

    def field(self, name: str) -> Field | None:
        """Find a field by name."""
        return next((field for field in self.fields if field.name == name), None)

    def examples(self) -> Mapping[str, Any]:
        """Give a legal value for every field."""
        return {field.name: field.example for field in self.fields}
