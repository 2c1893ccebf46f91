"""From what the compose screen posts to a draft's content, and from content to the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broadcaster.alerts import wordings
from broadcaster.alerts.content import AlertClass, ChannelName, Content, Lang, Source
from broadcaster.alerts.exercise import bare
from broadcaster.alerts.template_store import Chosen
from broadcaster.errors import Refused
from broadcaster.web.console import moments, places
from broadcaster.web.console.moments import moment_of
from broadcaster.web.console.numbers import MOST
from broadcaster.web.console.places import Covered
from broadcaster.web.formats import HANOI
from broadcaster.web.geography import Atlas
from targeting.errors import AreaError
from templates.catalogue import Catalogue, Event
from templates.catalogue import Field as EventField
from templates.mail import html_of_text
from templates.render import render
from templates.rivers import alarm_number, names_alarm

EMPTY_AREA: dict[str, Any] = {"units": [], "groups": [], "polygons": [], "circles": []}
PIECES = (
    "push.title",
    "push.body",
    "sms.text",
    "email.subject",
    "email.text",
    "page.headline",
    "page.description",
    "page.instructions",
)
"""Pieces of a wording an official may write in place of the template's words."""
NOT_SAID = " "
"""Posted as `scheduled_for` where “at a time” is chosen and no time is typed yet."""


Variant = Literal["update_wording", "left_wording", "prepared.cancel", "prepared.correction"]
"""Words beside the alert's own."""


class PostedSource(BaseModel):
    """The bulletin an alert relays, as typed."""

    model_config = ConfigDict(extra="forbid")
    issuer: str = ""
    number: str = ""
    time: str = ""


class Posted(BaseModel):
    """One save of the compose screen. Times are local ISO 8601 without an offset: Hanoi's.

    A time that cannot be read is posted as it was typed.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    version: int = Field(ge=0, le=MOST)
    state: str = ""
    """What the screen takes the alert for: an edit must not take back what it does not know of."""
    alert_class: AlertClass = Field(alias="class")
    values: dict[str, Any]
    area: dict[str, Any]
    languages: tuple[Lang, ...]
    own: dict[Lang, dict[str, str]] = Field(default_factory=dict)
    own_follow_ups: dict[Variant, dict[Lang, dict[str, str]]] = Field(default_factory=dict)
    own_places: bool = False
    expires: str = ""
    scheduled_for: str = ""
    risk_level: int | None = None
    river_alarm: int | None = None
    source: PostedSource = PostedSource()
    channels: tuple[ChannelName, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One text of a wording in the form: what it says, and whether an official wrote it."""

    name: str
    text: str
    own: bool


def parse(document: Any) -> Posted:
    """Read a posted draft; Refused when it has not the form this screen posts."""
    try:
        return Posted.model_validate(document)
    except ValidationError as error:
        raise unreadable(error) from error


def unreadable(error: ValidationError) -> Refused:
    """Return the refusal for a document with the wrong shape, naming its first wrong place."""
    where = ".".join(str(step) for step in error.errors()[0]["loc"])
    return Refused(
        "unreadable",
        f"Không đọc được “{where}”. Tải lại trang rồi sửa ô đó.",
        f"“{where}” cannot be read. Reload the page and correct that field.",
        where=where,
    )


def own_area(atlas: Atlas, unit_id: int) -> dict[str, Any]:
    """Return the area a unit's draft begins with: a commune itself, of any wider unit nothing."""
    key = atlas.map.keys.get(unit_id)
    if key is None or atlas.map.by_code.get(key.code) != unit_id:
        return EMPTY_AREA
    return {**EMPTY_AREA, "units": [{"code": key.code, "vintage": str(key.vintage)}]}


def new_content(
    chosen: Chosen, now: datetime, atlas: Atlas | None = None, unit_id: int = 0
) -> Content:
    """Return the content a draft begins with: the event's defaults and the template's words.

    With the atlas, in the issuing unit's own ground where it is a commune.
    """
    event = chosen.event
    expires = _whole_minutes(now) + event.default_expiry
    area = own_area(atlas, unit_id) if atlas else EMPTY_AREA
    values: dict[str, Any] = {"until": expires.isoformat()} if event.field("until") else {}
    named = _names(atlas, area) if atlas and area["units"] else None
    if named:
        values |= {field.name: named for field in event.fields if field.fill == "area"}
    content = Content.model_validate(
        {
            "event": event.code,
            "class": event.default_class,
            "values": values,
            "area": area,
            "expires": expires,
            "urgency": event.urgency,
            "severity": event.severity,
            "certainty": event.certainty,
            "channels": event.channels,
            "template": chosen.used,
        }
    )
    return wordings.with_prepared(_with_words(content, {}, chosen.catalogue), "alert")


def _whole_minutes(moment: datetime) -> datetime:
    local = moment.astimezone(HANOI).replace(second=0, microsecond=0)
    return local - timedelta(minutes=local.minute % 5)


def content_of(posted: Posted, before: Content, chosen: Chosen, atlas: Atlas) -> Content:
    """Make the next version's content out of what was posted."""
    event = chosen.event
    expires = moment_of(posted.expires)
    values = _values(posted, event, atlas, expires)
    document = {
        **before.to_json(),
        "class": posted.alert_class,
        "values": values,
        "area": posted.area,
        "languages": posted.languages or ("vi",),
        "expires": expires,
        "scheduled_for": moment_of(posted.scheduled_for),
        "risk_level": posted.risk_level,
        "river_alarm": alarm_number(event, values) if names_alarm(event) else posted.river_alarm,
        "source": Source(
            issuer=posted.source.issuer or named_source(values),
            number=posted.source.number,
            time=moment_of(posted.source.time),
        ),
        "channels": posted.channels,
        "wording": {},
        "unread": _unread(posted),
    }
    try:
        return _with_words(Content.model_validate(document), posted.own, chosen.catalogue)
    except ValidationError as error:
        raise unreadable(error) from error


def named_source(values: Mapping[str, Any]) -> str:
    """Return the source as the words name it, so that it is typed once; empty where they do not."""
    said = values.get("source")
    named = said.get("vi") if isinstance(said, Mapping) else said
    return named.strip() if isinstance(named, str) else ""


def own_issuer(content: Content) -> str:
    """Return the issuer as its field holds it: empty while it is what the words name."""
    issuer = content.source.issuer
    return "" if issuer == named_source(content.values) else issuer


def _unread(posted: Posted) -> dict[str, str]:
    """Return what was typed as a time of the alert itself and is none, by its field."""
    typed = {
        "expires": posted.expires,
        "scheduled_for": posted.scheduled_for,
        "source.time": posted.source.time,
    }
    return {
        name: text[: moments.MOST_LETTERS]
        for name, text in typed.items()
        if text and moment_of(text) is None
    }


def _values(posted: Posted, event: Event, atlas: Atlas, expires: datetime | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in event.fields:
        value = posted.values.get(field.name)
        if field.fill == "expires":
            value = expires.isoformat() if expires else None
        elif field.fill == "area" and not posted.own_places:
            value = _names(atlas, posted.area)
        elif field.type == "places":
            value = _listed(value)
        elif field.type == "time":
            value = moments.stored(value)
        elif field.type == "period":
            value = moments.stored_period(value)
        if value not in (None, "", [], {}):
            values[field.name] = value
    return values


def _names(atlas: Atlas, area: dict[str, Any]) -> dict[str, list[str]] | None:
    try:
        return places.place_names(atlas, places.cover(atlas, area), area)
    except AreaError:
        return None


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    return {
        lang: [name.strip() for name in str(text).split(",") if name.strip()]
        for lang, text in value.items()
    }


def _with_words(
    content: Content, own: Mapping[Any, Mapping[str, str]], known: Catalogue
) -> Content:
    return Content.model_validate({**content.to_json(), "wording": _worded(content, own, known)})


def _worded(
    content: Content, own: Mapping[Any, Mapping[str, str]], known: Catalogue
) -> dict[str, Any]:
    """Return the wording of every language: the template's words, and an official's over them."""
    result: dict[str, Any] = {}
    for lang in content.languages:
        words = template_words(content, lang, known)
        for name, text in own.get(lang, {}).items():
            if name in PIECES:
                put(words, name, text)
        if "email.text" in own.get(lang, {}):
            words["email"]["html"] = html_of_text(words["email"]["text"])
        result[lang] = words
    return result


def template_words(content: Content, lang: str, known: Catalogue | None = None) -> dict[str, Any]:
    """Return what the template says with these values, in one language; else what ships."""
    return render(content.event, lang, content.values, catalogue=known).as_dict()


def put(words: dict[str, Any], name: str, text: str) -> None:
    """Write one piece into a wording's plain values; instructions are a step a line."""
    channel, part = name.split(".")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words[channel][part] = lines if part == "instructions" else text


def get(words: Mapping[str, Any], name: str) -> str:
    """Read one piece of a wording's plain values as the form holds it."""
    channel, part = name.split(".")
    value = words[channel][part]
    return "\n".join(value) if part == "instructions" else str(value)


def pieces(content: Content, lang: str, known: Catalogue) -> dict[str, Piece]:
    """Return the texts of one language for the form, each marked when it is not the template's."""
    template = template_words(content, lang, known)
    written = content.wording.get(lang)  # type: ignore[call-overload]
    stored = bare(written).model_dump(mode="json") if written else template
    return {
        name: Piece(name, get(stored, name), get(stored, name) != get(template, name))
        for name in PIECES
    }


def has_own_places(content: Content, atlas: Atlas, covered: Covered) -> bool:
    """Tell whether the places named are not those the map proposes."""
    named = content.values.get("places")
    if not named:
        return False
    return bool(named != places.place_names(atlas, covered, content.area))


def shown_value(field: EventField, content: Content, lang: str) -> str:
    """Return a field's value as its input holds it."""
    value = content.values.get(field.name)
    if value is None:
        return ""
    if field.type == "time":
        return moments.shown(value)
    if isinstance(value, dict):
        value = value.get(lang, "")
    if isinstance(value, list):
        return ", ".join(value)
    return str(value)


def shown_period(field: EventField, content: Content) -> dict[str, str]:
    """Return both moments of a period as their inputs hold them."""
    value = content.values.get(field.name)
    return {end: moments.shown(one) for end, one in moments.ends(value).items()}


def shown_time(name: str, content: Content) -> str:
    """Return a time of the alert itself (expires, scheduled_for, source.time) for its input."""
    if name in content.unread:
        return content.unread[name].strip()
    if name == "source.time":
        return moments.shown(content.source.time)
    return moments.shown(content.expires if name == "expires" else content.scheduled_for)
