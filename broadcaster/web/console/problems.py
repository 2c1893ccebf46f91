"""What the checks found, as an official reads it: each thing once, what is empty in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from broadcaster.web import i18n
from broadcaster.web.console import remedies
from broadcaster.web.console.remedies import Remedy
from broadcaster.web.i18n import gettext, ngettext
from templates.catalogue import Event
from templates.render import validate
from templates.values import GAP_OPENS

_MISSING = "field.missing"
_NO_AREA = "empty_area"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to correct, or to look at, in the language of this request."""

    blocking: bool
    field: str
    text: str
    remedy: Remedy | None = None
    """What can be done about it on the compose screen."""


def findings(
    problems: list[Problem], content: Content, event: Event, now: datetime | None = None
) -> list[Finding]:
    """Return the problems, blocking first; with `now`, what can be done about each.

    A field without a value leaves a gap in every channel and language: it is named once, as the
    field, and not a dozen times as its gaps or as a line that a gap makes too long.
    """
    faults = validate(event.code, "vi", content.values)
    no_area = any(problem.code == _NO_AREA for problem in problems)
    mapped = {
        field.name
        for field in event.fields
        if (field.fill == "area" and no_area) or (field.fill == "expires" and not content.expires)
    }
    empty = [
        fault.field for fault in faults if fault.code == _MISSING and fault.field not in mapped
    ]
    found = [_empty(event, empty)] if empty else []
    found += [
        Finding(
            True,
            f"values.{fault.field}",
            _say(fault.message_vi, fault.message_en),
            _way(f"values.{fault.field}"),
        )
        for fault in faults
        if fault.code != _MISSING
    ]
    english = list(_without_english(content, event)) if not faults else []
    found += english
    for problem in problems:
        if (faults or english) and _has_gap(content, problem.field):
            continue
        text = _say(problem.message_vi, problem.message_en)
        done = remedies.remedy(problem, content, event, now) if now else None
        one = Finding(problem.blocking, problem.field, text, done)
        if all(one.text != other.text for other in found):
            found.append(one)
    return sorted(found, key=lambda one: not one.blocking)


def _without_english(content: Content, event: Event) -> Iterator[Finding]:
    """Say which fields have Vietnamese words only: their English ones are a gap in every piece."""
    if "en" not in content.languages:
        return
    for fault in validate(event.code, "en", content.values):
        field = event.field(fault.field)
        value = content.values.get(fault.field)
        if field is None or field.type != "text" or not isinstance(value, dict):
            continue
        path = f"{remedies.path_of(f'values.{field.name}')}/en"
        text = gettext(
            "“%(name)s” has no English words. Write them, take the Vietnamese ones, or send no"
            " English."
        ) % {"name": field.label[i18n.language()]}
        words = gettext("Take the Vietnamese words")
        yield Finding(True, f"values.{field.name}", text, Remedy(words, path, value["vi"]))


def _has_gap(content: Content, where: str) -> bool:
    """Tell whether the piece of wording at `where` (wording.vi.push.title) is still unfinished."""
    if not where.startswith("wording."):
        return False
    _, lang, channel, part, *_ = [*where.split("."), "", ""]
    wording = content.wording.get(lang)  # type: ignore[call-overload]
    text = getattr(getattr(wording, channel, None), part, "")
    return GAP_OPENS in str(text)


def _empty(event: Event, names: list[str]) -> Finding:
    lang = i18n.language()
    labels = [field.label[lang] for field in event.fields if field.name in names]
    text = ngettext(
        "Fill in one more field: %(names)s.", "Fill in %(num)d more fields: %(names)s.", len(labels)
    ) % {"num": len(labels), "names": ", ".join(labels)}
    return Finding(True, "values", text, _way(f"values.{names[0]}"))


def _way(field: str) -> Remedy:
    return Remedy(gettext("Go to the field"), remedies.path_of(field))


def passed(problems: list[Problem], content: Content, event: Event) -> list[str]:
    """Return what was looked at and is fine."""
    return remedies.passed(problems, bool(validate(event.code, "vi", content.values)))


def _say(vietnamese: str, english: str) -> str:
    return vietnamese if i18n.language() == "vi" else english
