"""From what the scenario screens post to values and documents, and back to the form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from multidict import MultiDictProxy

from broadcaster.alerts.scenario_form import Name, Scenario
from broadcaster.web import formats
from broadcaster.web.console import places
from broadcaster.web.formats import HANOI
from broadcaster.web.geography import Atlas
from targeting.errors import AreaError
from templates.event import LANGS, Event, Field

Fields = MultiDictProxy[Any]
_TYPED = re.compile(r"(\d{1,2})[:hg](\d{2})\s+(\d{1,2})/(\d{1,2})(?:/(\d{4}))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of the template as the form shows it."""

    field: Field
    ask: bool
    texts: Mapping[str, str]
    """By language; a period has `from` and `to`, anything else only `vi`."""
    wrong: str = ""


def typed_moment(text: str, now: datetime) -> str | None:
    """Read 06:00 10/09 as Hanoi's, in the year that lies nearest; None where it is no time."""
    found = _TYPED.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, day, month = (int(part) for part in found.groups()[:4])
    years = [int(found[5])] if found[5] else [now.year - 1, now.year, now.year + 1]
    moments = []
    for year in years:
        try:
            moments.append(datetime(year, month, day, hour, minute, tzinfo=HANOI))
        except ValueError:
            continue
    if not moments:
        return None
    return min(moments, key=lambda moment: abs(moment - now)).isoformat()


def value_of(field: Field, posted: Mapping[str, Any], now: datetime) -> Any:
    """Read one posted field as the template takes it; what cannot be read is kept as typed."""
    text = str(posted.get(f"v.{field.name}", "")).strip()
    if field.type == "time":
        return (typed_moment(text, now) or text) or None
    if field.type == "period":
        ends = {end: str(posted.get(f"v.{field.name}.{end}", "")).strip() for end in ("from", "to")}
        if not any(ends.values()):
            return None
        return {end: typed_moment(typed, now) or typed for end, typed in ends.items()}
    if field.type in ("text", "places"):
        both = {lang: str(posted.get(f"v.{field.name}.{lang}", "")).strip() for lang in LANGS}
        if not any(both.values()):
            return None
        if field.type == "places":
            return {
                lang: [name.strip() for name in typed.split(",") if name.strip()]
                for lang, typed in both.items()
                if typed
            }
        # Who writes no English has the Vietnamese names, which are the same in both.
        return {"vi": both["vi"], "en": both["en"] or both["vi"]}
    return text or None


def shown(field: Field, value: Any) -> dict[str, str]:
    """Return a value as its inputs hold it, with a text for every input the field has."""
    if field.type == "period":
        ends = value if isinstance(value, dict) else {}
        return {end: _moment(ends.get(end)) for end in ("from", "to")}
    if field.type in ("text", "places"):
        both = value if isinstance(value, dict) else {}
        return {lang: _typed(both.get(lang, "")) for lang in LANGS}
    if field.type == "time":
        return {"vi": _moment(value)}
    return {"vi": "" if value is None else str(value)}


def _typed(text: Any) -> str:
    return ", ".join(text) if isinstance(text, list) else str(text)


def _moment(value: Any) -> str:
    try:
        return formats.field_value(datetime.fromisoformat(str(value)))
    except ValueError:
        return "" if value is None else str(value)


def entries(event: Event, scenario: Scenario, wrong: Mapping[str, str]) -> list[Entry]:
    """Return the fields an official fills in; what fills itself is left out."""
    return [
        Entry(
            field,
            field.name in scenario.ask,
            shown(field, scenario.values.get(field.name)),
            wrong.get(f"values.{field.name}", ""),
        )
        for field in event.fields
        if not field.fill
    ]


def document(posted: Fields, before: Scenario, event: Event, atlas: Atlas, now: datetime) -> Any:
    """Read the edit form as a scenario's document; numbers that are none stay as typed."""
    asked = [field.name for field in event.fields if f"ask.{field.name}" in posted]
    values = {
        field.name: value
        for field in event.fields
        if not field.fill and field.name not in asked
        for value in [value_of(field, posted, now)]
        if value is not None
    }
    area = _area(posted, before.area)
    named = _names(atlas, area)
    if named and event.field("places"):
        values["places"] = named
    text = {name: str(posted.get(name, "")).strip() for name in posted}
    return {
        "name": {"vi": text.get("name_vi", ""), "en": text.get("name_en", "")},
        "note_vi": text.get("note_vi", ""),
        "note_en": text.get("note_en", ""),
        "event": before.event,
        "class": text.get("class", ""),
        "area": area,
        "values": values,
        "ask": asked,
        "languages": ["vi", "en"] if "english" in posted else ["vi"],
        "channels": posted.getall("channels", []),
        "hours": text.get("hours", ""),
        "risk_level": text.get("risk_level") or None,
        "river_alarm": text.get("river_alarm") or None,
        "issuer": text.get("issuer", ""),
    }


def as_typed(document: dict[str, Any]) -> Scenario:
    """Return the edit form's document to be shown again, whatever of it cannot be read."""
    chosen = {
        name: int(value) if str(value).isdecimal() else None
        for name in ("risk_level", "river_alarm")
        for value in [document[name]]
    }
    return Scenario.model_construct(
        **{
            **document, **chosen, "alert_class": document["class"],
            "name": Name.model_construct(**document["name"]),
        }
    )  # fmt: skip


def _area(posted: Fields, before: Mapping[str, Any]) -> dict[str, Any]:
    """Take the units and groups ticked; what was drawn stays until it is thrown away."""
    units = [
        {"code": code, "vintage": vintage}
        for code, _, vintage in (str(one).partition("@") for one in posted.getall("units", []))
    ]
    area = {**before, "units": units, "groups": [str(one) for one in posted.getall("groups", [])]}
    if "no_shapes" in posted:
        area = {key: area[key] for key in ("units", "groups")}
    return area


def _names(atlas: Atlas, area: dict[str, Any]) -> dict[str, list[str]] | None:
    try:
        return places.place_names(atlas, places.cover(atlas, area), area)
    except AreaError:
        return None


def drawn(area: Mapping[str, Any]) -> int:
    """Count the shapes of an area that no name stands for."""
    return sum(len(shapes) for key, shapes in area.items() if key not in ("units", "groups"))
