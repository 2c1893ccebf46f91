"""A draft's content as the compose screen would post it: to be filled in, compared and joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broadcaster.alerts.content import Content
from broadcaster.alerts.template_store import Chosen
from broadcaster.web import formats, i18n
from broadcaster.web.console import compose_form, follow_up_form, moments, places
from broadcaster.web.console.follow_up_form import NAMES
from broadcaster.web.console.places import Covered
from broadcaster.web.geography import Atlas
from broadcaster.web.i18n import gettext
from broadcaster.web.labels import label, mark
from targeting.errors import AreaError
from templates.event import Event
from templates.rivers import names_alarm

PIECE_NAMES: Mapping[str, str] = {
    "push.title": mark("First line: what to do"),
    "push.body": mark("Push"),
    "sms.text": mark("SMS"),
    "email.subject": mark("Mail, subject"),
    "email.text": mark("Mail, text"),
    "page.headline": mark("Page, headline"),
    "page.description": mark("Page, description"),
    "page.instructions": mark("Page, what to do"),
}
_NAMES: Mapping[str, str] = {
    "class": mark("Class"),
    "area": mark("Where"),
    "languages": mark("Languages"),
    "expires": mark("Ends"),
    "scheduled_for": mark("Send at"),
    "risk_level": mark("Disaster risk level"),
    "river_alarm": mark("River alarm"),
    "channels": mark("Channels"),
    "own_places": mark("Places named in the words"),
    "source.issuer": mark("Bulletin issued by"),
    "source.number": mark("Bulletin's number"),
    "source.time": mark("Bulletin issued at"),
}
_ENDS: Mapping[str, str] = {"from": mark("From"), "to": mark("To")}


def document_of(
    content: Content, kind: str, before: Content | None, chosen: Chosen, atlas: Atlas
) -> dict[str, Any]:
    """Return the document that would be posted for a content; only what is not empty.

    `before` is what was approved before an update.
    """
    times = {
        "expires": moments.posted(content.expires),
        "scheduled_for": moments.posted(content.scheduled_for),
        "source.time": moments.posted(content.source.time),
    } | content.unread
    own_places = compose_form.has_own_places(content, atlas, _covered(atlas, content.area))
    source = content.source
    return {
        "class": content.alert_class,
        "values": {
            field.name: value
            for field in chosen.event.fields
            if field.fill != "expires" and (field.fill != "area" or own_places)
            and (value := _posted(field.type, content.values.get(field.name))) is not None
        },
        "area": content.area,
        "languages": list(content.languages),
        "own": _own(
            {lang: compose_form.pieces(content, lang, chosen.catalogue)
             for lang in content.languages}
        ),
        "own_follow_ups": {
            variant: _own(pieces)
            for variant, pieces in follow_up_form.pieces(content, kind, before).items()
        },
        "own_places": own_places,
        "expires": times["expires"],
        "scheduled_for": times["scheduled_for"],
        "risk_level": content.risk_level,
        "river_alarm": None if names_alarm(chosen.event) else content.river_alarm,
        "source": {
            "issuer": compose_form.own_issuer(content),
            "number": source.number,
            "time": times["source.time"],
        },
        "channels": list(content.channels),
    }  # fmt: skip


def _covered(atlas: Atlas, area: dict[str, Any]) -> Covered:
    try:
        return places.cover(atlas, area)
    except AreaError:
        return Covered()


def _own(by_lang: Mapping[str, Mapping[str, compose_form.Piece]]) -> dict[str, dict[str, str]]:
    return {
        lang: {name: piece.text for name, piece in pieces.items() if piece.own}
        for lang, pieces in by_lang.items()
    }


def _posted(kind: str, value: Any) -> Any:
    if value in (None, "", [], {}):
        return None
    if kind == "time":
        return moments.posted(value)
    if kind == "period":
        return {
            end: text for end, one in moments.ends(value).items() if (text := moments.posted(one))
        }
    if kind == "places" and isinstance(value, dict):
        return {lang: ", ".join(names) for lang, names in value.items() if names}
    if isinstance(value, dict):
        return {lang: text for lang, text in value.items() if text}
    return str(value)


def name_of(path: tuple[str, ...], event: Event) -> str:
    """Return what the compose screen calls a field, in the language of this request."""
    match path:
        case ("values", name, *rest):
            field = event.field(name)
            words = field.label[i18n.language()] if field else name
            if rest and rest[0] in _ENDS:
                return f"{words}: {gettext(_ENDS[rest[0]])}"
            return _in_language(words, rest)
        case ("own", lang, piece):
            return _in_language(gettext(PIECE_NAMES.get(piece, piece)), [lang])
        case ("own_follow_ups", variant, lang, piece):
            words = f"{gettext(NAMES[variant])}: {gettext(PIECE_NAMES.get(piece, piece))}"
            return _in_language(words, [lang])
    name = ".".join(path)
    return gettext(_NAMES.get(name, name))


def _in_language(name: str, rest: list[str]) -> str:
    return f"{name} ({i18n.LANGUAGES[rest[0]]})" if rest and rest[0] != "vi" else name


def shown_value(path: tuple[str, ...], value: Any) -> str:
    """Return a field's posted value as an official reads it; the area in numbers."""
    if value in (None, "", [], {}):
        return "–"
    if path == ("area",):
        parts = [
            len(side.get(kind) or [])
            for side in (value, value.get("exclusions") or {})
            for kind in ("units", "groups", "polygons", "circles", "lines")
        ]
        return i18n.ngettext("%(num)d part", "%(num)d parts", sum(parts)) % {"num": sum(parts)}
    if path == ("class",):
        return label(str(value), "class")
    if path == ("channels",):
        return ", ".join(label(one, "channel") for one in value)
    if path == ("languages",):
        return ", ".join(i18n.LANGUAGES[one] for one in value)
    if path in (("expires",), ("scheduled_for",), ("source", "time")):
        moment = moments.moment_of(value)
        return formats.moment(moment) if moment else value.strip() or "–"
    return str(value)
