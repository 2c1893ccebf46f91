"""What an approver has to look at: how a version differs from the last one and from its template.

Words are told apart one by one, struck out and underlined; of an area what came and what went.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.web import formats, i18n
from broadcaster.web.console import places
from broadcaster.web.console.compose_form import PIECES, get, template_words
from broadcaster.web.geography import Atlas
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import label, mark
from targeting.area import Area
from targeting.errors import AreaError
from targeting.metric import change_km2, said_km2
from templates.render import UnknownWordingError

PIECE_NAMES: Mapping[str, str] = {
    "push.title": mark("Push, title"),
    "push.body": mark("Push, text"),
    "sms.text": mark("SMS"),
    "email.subject": mark("Mail, subject"),
    "email.text": mark("Mail, text"),
    "page.headline": mark("Page, headline"),
    "page.description": mark("Page, description"),
    "page.instructions": mark("Page, what to do"),
}
_AROUND = 4
"""Words kept on each side of a change; what is further off is left out."""
_TOKEN = re.compile(r"\S+\s*|\s+")
_ALIKE = 0.5
"""Below it the texts have little in common: struck out and written anew reads better."""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text: `same`, `del` (struck out), `ins` (underlined) or `gap` (left out)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that differs."""

    name: str
    runs: tuple[Run, ...]
    lang: str = ""
    """The language of the words; empty where they are the reader's own."""


@dataclass(frozen=True, slots=True)
class Since:
    """What a version is held against."""

    number: int
    """0: the alert that this one follows."""
    returned: bool
    content: Content
    code: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """How the version on the screen differs."""

    since: Since | None
    rows: list[Row]
    area: list[Row]
    before: dict[str, Any] | None
    """The earlier area, where it was another."""
    template: list[Row]
    """Words that somebody wrote in place of the template's."""


def runs(before: str, after: str) -> tuple[Run, ...]:
    """Tell two texts apart word by word; far from a change only the first and last words stay."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    found: list[Run] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    if before and after and matcher.ratio() < _ALIKE:
        return Run("del", before), Run("same", "\n"), Run("ins", after)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            found += _kept(old[a:b], first=a == 0, last=b == len(old))
            continue
        if b > a:
            found.append(Run("del", "".join(old[a:b])))
        if d > c:
            found.append(Run("ins", "".join(new[c:d])))
    return tuple(found)


def _kept(words: list[str], *, first: bool, last: bool) -> Iterator[Run]:
    """Keep the words beside a change, and a mark for those between."""
    head, tail = (0 if first else _AROUND), (0 if last else _AROUND)
    if len(words) <= head + tail + 2:
        yield Run("same", "".join(words))
        return
    if head:
        yield Run("same", "".join(words[:head]))
    yield Run("gap", "…")
    if tail:
        yield Run("same", "".join(words[-tail:]))


async def since(conn: Conn, alert: Alert) -> Since | None:
    """Return what was last sent for approval before, else the alert that this one follows."""
    row = await conn.fetchrow(
        "SELECT v.version, v.content, EXISTS (SELECT FROM audit r WHERE r.subject = 'alert'"
        "  AND r.subject_id = $1 AND r.action = 'alert.returned'"
        "  AND (r.detail->>'version')::integer = v.version) AS returned"
        " FROM alert_version v WHERE v.alert_id = $1 AND v.version = (SELECT"
        "  max((t.detail->>'version')::integer) FROM audit t WHERE t.subject = 'alert'"
        "  AND t.subject_id = $1 AND t.action = 'alert.submitted'"
        "  AND (t.detail->>'version')::integer < $2)",
        alert.alert_id,
        alert.version,
    )
    if row is not None:
        return Since(row["version"], row["returned"], parse(row["content"]))
    if alert.predecessor_id is None:
        return None
    code = await conn.fetchval("SELECT code FROM alert WHERE alert_id = $1", alert.predecessor_id)
    before = await lifecycle.snapshot(conn, alert.predecessor_id)
    return Since(0, False, before.content, code)


async def compare(conn: Conn, alert: Alert, content: Content, atlas: Atlas) -> Compared:
    """Tell a version from the last one that was sent for approval, and from its template."""
    earlier = await since(conn, alert)
    template = list(_from_template(content))
    if earlier is None:
        return Compared(None, [], [], None, template)
    rows, area = await between(earlier.content, content, atlas)
    moved = earlier.content.area != content.area
    return Compared(earlier, rows, area, earlier.content.area if moved else None, template)


async def between(before: Content, after: Content, atlas: Atlas) -> tuple[list[Row], list[Row]]:
    """Tell two contents apart: their words and facts, and what of the area came and went."""
    rows = [*_facts(before, after), *_words(before, after)]
    if before.area == after.area:
        return rows, []
    return rows, await asyncio.to_thread(area_rows, atlas, before.area, after.area)


def _facts(before: Content, after: Content) -> Iterator[Row]:
    pairs = (
        (_("Class"), label(before.alert_class, "class"), label(after.alert_class, "class")),
        (_("Goes out"), _moment(before.scheduled_for), _moment(after.scheduled_for)),
        (_("Ends"), _moment(before.expires), _moment(after.expires)),
        (_("Disaster risk level"), str(before.risk_level or "–"), str(after.risk_level or "–")),
        (_("Channels"), _channels(before), _channels(after)),
    )
    for name, was, now in pairs:
        if was != now:
            yield Row(name, (Run("del", was), Run("same", " "), Run("ins", now)))


def _moment(value: Any) -> str:
    return formats.moment_long(value) if value else _("on approval")


def _channels(content: Content) -> str:
    return ", ".join(label(one, "channel") for one in content.channels)


def _words(before: Content, after: Content) -> Iterator[Row]:
    for lang in after.languages:
        old = before.wording[lang].model_dump() if lang in before.wording else {}
        new = after.wording[lang].model_dump() if lang in after.wording else {}
        yield from _pieces(old, new, lang)


def _from_template(content: Content) -> Iterator[Row]:
    for lang in content.languages:
        if lang not in content.wording:
            continue
        try:
            template = template_words(content, lang)
        except (UnknownWordingError, KeyError):
            continue
        yield from _pieces(template, content.wording[lang].model_dump(), lang)


def _pieces(old: dict[str, Any], new: dict[str, Any], lang: str) -> Iterator[Row]:
    for piece in PIECES:
        was = get(old, piece) if old else ""
        now = get(new, piece) if new else ""
        if was != now:
            yield Row(_(PIECE_NAMES[piece]), runs(was, now), lang)


def area_rows(atlas: Atlas, before: dict[str, Any], after: dict[str, Any]) -> list[Row]:
    """Name the units that came and went, and the ground."""
    try:
        old, new = places.cover(atlas, before), places.cover(atlas, after)
        outlines = atlas.map.outlines
        added, dropped = change_km2(
            Area.from_json(before).shape(outlines), Area.from_json(after).shape(outlines)
        )
    except AreaError:
        return []
    came = [atlas.name(one) for one in new.unit_ids if one not in old.unit_ids]
    went = [atlas.name(one) for one in old.unit_ids if one not in new.unit_ids]
    rows = []
    if went:
        rows.append(Row(_("Left out"), (Run("del", ", ".join(went)),)))
    if came:
        rows.append(Row(_("Added"), (Run("ins", ", ".join(came)),)))
    lang = i18n.language()
    ground = f"+{said_km2(added, lang)} km², −{said_km2(dropped, lang)} km²"
    return [*rows, Row(_("Ground"), (Run("same", ground),))]
