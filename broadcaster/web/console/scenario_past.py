"""The history of a scenario: what each version changed, in words and places."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broadcaster.alerts import scenario_form
from broadcaster.alerts.scenario_form import Scenario
from broadcaster.alerts.shelf import Version
from broadcaster.web import i18n
from broadcaster.web.console import scenario_fields
from broadcaster.web.console.differences import Row, Run, area_rows, runs
from broadcaster.web.geography import Atlas
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import label
from templates.event import LANGS, Event, Field


@dataclass(frozen=True, slots=True)
class Past:
    """One version, and how it differs from the one before; the first from nothing."""

    version: Version
    rows: list[Row]
    first: bool


async def past(history: Sequence[Version], event: Event, atlas: Atlas) -> list[Past]:
    """Hold every version (newest first) against the one before it."""
    written = [scenario_form.parse(one.document) for one in history]
    found = []
    for number, version in enumerate(history):
        if number + 1 == len(history):
            found.append(Past(version, [], True))
            continue
        before, after = written[number + 1], written[number]
        rows = list(differences(before, after, event))
        if before.area != after.area:
            rows += await asyncio.to_thread(area_rows, atlas, before.area, after.area)
        found.append(Past(version, rows, False))
    return found


def differences(before: Scenario, after: Scenario, event: Event) -> Iterator[Row]:
    """Tell two scenarios apart, all but their areas."""
    for lang in LANGS:
        yield from _row(_("Name"), before.name[lang], after.name[lang], lang)
        yield from _row(_("When to use it"), _note(before, lang), _note(after, lang), lang)
    for (name, was), (_same, now) in zip(_facts(before), _facts(after), strict=True):
        if was != now:
            yield Row(name, (Run("del", was), Run("same", " "), Run("ins", now)))
    for field in event.fields:
        if field.fill:
            continue
        shown = [_shown(field, one) for one in (before, after)]
        for lang in LANGS:
            yield from _row(field.label[i18n.language()], shown[0][lang], shown[1][lang], lang)


def _note(scenario: Scenario, lang: str) -> str:
    return scenario.note_en if lang == "en" else scenario.note_vi


def _row(name: str, was: str, now: str, lang: str) -> Iterator[Row]:
    if was != now:
        yield Row(name, runs(was, now), lang)


def _facts(scenario: Scenario) -> list[tuple[str, str]]:
    return [
        (_("Class"), label(scenario.alert_class, "class")),
        (_("Hours in force"), str(scenario.hours)),
        (_("Disaster risk level"), str(scenario.risk_level or "–")),
        (_("River alarm"), ["–", "I", "II", "III"][scenario.river_alarm or 0]),
        (_("Issuer of the bulletin"), scenario.issuer or "–"),
        (_("Channels"), ", ".join(label(one, "channel") for one in scenario.channels)),
        (_("Languages"), ", ".join(i18n.LANGUAGES[one] for one in scenario.languages)),
    ]


def _shown(field: Field, scenario: Scenario) -> dict[str, str]:
    """Return what a field holds by language; a value without one stands as the reader's own."""
    here = i18n.language()
    if field.name in scenario.ask:
        return dict.fromkeys(LANGS, "") | {here: _("asked each time")}
    texts = scenario_fields.shown(field, scenario.values.get(field.name))
    if field.type in ("text", "places"):
        return {lang: texts[lang] for lang in LANGS}
    said = " – ".join(text for text in texts.values() if text)
    if field.type == "choice":
        said = next((one.label[here] for one in field.options if one.code == said), said)
    return dict.fromkeys(LANGS, "") | {here: said}
