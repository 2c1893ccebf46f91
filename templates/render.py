"""Fill a wording with an official's values, in one language, for every channel."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Template

from templates.catalogue import Catalogue, load
from templates.check import check
from templates.event import Event
from templates.exercise import as_exercise, as_real
from templates.files import Templates
from templates.mail import html_of_text
from templates.pieces import MailText, PageText, Problem, PushText, SmsText, Wording
from templates.sms_text import strip_diacritics
from templates.values import Gap, Shown, read

__all__ = [
    "MailText",
    "PageText",
    "Problem",
    "PushText",
    "SmsText",
    "UnknownWordingError",
    "Wording",
    "as_exercise",
    "as_real",
    "check",
    "fill",
    "html_of_text",
    "render",
    "validate",
]


KEPT = 256
"""Wordings kept: a screen asks four times for each of its own, and the next save for most again."""


class UnknownWordingError(LookupError):
    """No such event, or not in this language."""


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """A catalogue in the key of what is kept: that very one, not one like it."""

    catalogue: Catalogue

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.catalogue is self.catalogue

    def __hash__(self) -> int:
        return id(self.catalogue)


def validate(
    event_code: str, lang: str, values: Mapping[str, Any], *, catalogue: Catalogue | None = None
) -> list[Problem]:
    """Say what is wrong with the values typed for an event."""
    event, _ = _find(catalogue or load(), event_code, lang)
    problems = [
        shown
        for field in event.fields
        if isinstance(shown := read(field, lang, values.get(field.name)), Problem)
    ]
    strangers = sorted(values.keys() - {field.name for field in event.fields})
    return problems + [_stranger(name) for name in strangers]


def _stranger(name: str) -> Problem:
    return Problem(
        "field.unknown",
        name,
        f"Mẫu này không có ô “{name}”. Bỏ ô này.",
        f"This template has no field “{name}”. Remove it.",
    )


def render(
    event_code: str,
    lang: str,
    values: Mapping[str, Any],
    *,
    sms_diacritics: bool = False,
    catalogue: Catalogue | None = None,
) -> Wording:
    """Fill every channel's wording.

    A field without a legal value shows as ‹its label›, so that a half-filled form can be
    previewed; validate() names it and check() refuses any wording that still holds one.
    """
    known = Same(catalogue or load())
    try:
        text = json.dumps(values, sort_keys=True)
    except TypeError:
        text = ""
    # What is no JSON, or reads back as something else, is filled as it is.
    if not text or json.loads(text) != values:
        return _rendered(known.catalogue, event_code, lang, values, sms_diacritics)
    return _of_text(known, event_code, lang, text, sms_diacritics)


@lru_cache(KEPT)
def _of_text(known: Same, event_code: str, lang: str, text: str, sms_diacritics: bool) -> Wording:
    return _rendered(known.catalogue, event_code, lang, json.loads(text), sms_diacritics)


def _rendered(
    catalogue: Catalogue,
    event_code: str,
    lang: str,
    values: Mapping[str, Any],
    sms_diacritics: bool,
) -> Wording:
    event, templates = _find(catalogue, event_code, lang)
    shown = {**_shown(event, lang, values), "contacts": catalogue.contacts}
    return fill(templates, shown, sms_diacritics=sms_diacritics)


def fill(
    templates: Templates, values: Mapping[str, Any], *, sms_diacritics: bool = False
) -> Wording:
    """Fill the five files of one wording with what its placeholders show."""
    context = dict(values)
    page = _page(templates, context)
    context["page"] = page
    sms = _line(templates.sms, context)
    return Wording(
        push=PushText(_line(templates.push_title, context), _text(templates.push_body, context)),
        sms=SmsText(sms if sms_diacritics else strip_diacritics(sms)),
        email=MailText(
            subject=_line(templates.email_subject, context),
            text=_text(templates.email_text, context),
            html=templates.email_html.render(context).strip(),
        ),
        page=page,
    )


def _find(catalogue: Catalogue, event_code: str, lang: str) -> tuple[Event, Templates]:
    templates = catalogue.templates.get((event_code, lang))
    if templates is None:
        raise UnknownWordingError(f"no wording for event “{event_code}” in “{lang}”")
    return catalogue.events[event_code], templates


def _shown(event: Event, lang: str, values: Mapping[str, Any]) -> dict[str, Shown | Gap | None]:
    shown: dict[str, Shown | Gap | None] = {}
    for field in event.fields:
        value = read(field, lang, values.get(field.name))
        shown[field.name] = Gap(field.label[lang]) if isinstance(value, Problem) else value
    return shown


def _page(templates: Templates, context: Mapping[str, Any]) -> PageText:
    steps = (_line(step, context) for step in templates.instructions)
    return PageText(
        headline=_line(templates.headline, context),
        description=_text(templates.description, context),
        instructions=tuple(step for step in steps if step),
    )


def _line(template: Template, context: Mapping[str, Any]) -> str:
    return " ".join(template.render(context).split())


def _text(template: Template, context: Mapping[str, Any]) -> str:
    lines = (" ".join(line.split()) for line in template.render(context).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
