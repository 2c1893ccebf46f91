"""Which template holds for a unit, and units' own copies of what ships with the service.

The catalogue that ships is in no table: an upgrade brings newer words and touches no unit's copy.
What holds for a unit is its own copy in force, else that of the nearest unit above it, else what
ships. A copy is a whole document, so a later version of what ships never changes it; the list says
when there is one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from broadcaster.alerts import shelf
from broadcaster.alerts.content import Content, TemplateUsed
from broadcaster.alerts.shelf import Item, Version
from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.people.officials import Actor
from templates import catalogue, document, lint
from templates.catalogue import Catalogue
from templates.document import Document
from templates.event import Event
from templates.files import CatalogueError
from templates.finding import Finding
from templates.lint import Report
from templates.sms_text import strip_diacritics

GROUPS = ("water", "weather", "fire", "health", "daily", "follow", "other")
"""Shelves of the list, the most urgent hazards first."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The template that holds: which it is, and the catalogue to fill it from."""

    used: TemplateUsed
    document: Document
    catalogue: Catalogue
    """The one that ships, with this template in place of its event's."""

    @property
    def event(self) -> Event:
        """The event's defaults and fields."""
        return self.catalogue.events[self.used.code]


@dataclass(frozen=True, slots=True)
class Entry:
    """One hazard in the list: what ships, and the copies on the shelves one sees."""

    event: Event
    copies: tuple[Item, ...]


@cache
def shipped(code: str) -> Chosen:
    """Return what ships for an event; raises NotFound."""
    known = catalogue.load()
    if code not in known.events:
        raise NotFound(
            "template_not_found",
            f"Không có mẫu “{code}”. Chọn trong danh mục.",
            f"There is no template “{code}”. Choose one from the catalogue.",
        )
    written = document.shipped(code)
    used = TemplateUsed(
        code=code, id=None, version=known.events[code].version, digest=written.digest()
    )
    return Chosen(used, written, known)


def _of_version(code: str, found: Version) -> Chosen:
    written, overlaid = _compiled(json.dumps(found.document))
    used = TemplateUsed(code=code, id=found.item_id, version=found.version, digest=written.digest())
    return Chosen(used, written, overlaid)


@lru_cache(maxsize=256)
def _compiled(text: str) -> tuple[Document, Catalogue]:
    """Compile a reviewed document once: it takes tens of milliseconds and never changes."""
    written = document.from_json(json.loads(text))
    return written, document.overlaid(written)


async def in_force(conn: Conn, unit_id: int, code: str) -> Chosen:
    """Return the template of an event that holds for a unit; raises NotFound."""
    here = shipped(code)
    line = await shelf.above(conn, unit_id)
    copies = {
        item.unit_id: item
        for item in await shelf.listing(conn, "template", line)
        if item.code == code and item.in_force is not None
    }
    for unit in line:
        item = copies.get(unit)
        if item is not None and item.in_force is not None:
            return _of_version(
                code, await shelf.version(conn, "template", item.item_id, item.in_force)
            )
    return here


async def exactly(conn: Conn, used: TemplateUsed) -> Chosen | None:
    """Return the very template a content was made from; None when it is kept no more.

    What ships is kept in its present version only: of an earlier one the words stand in the alert.
    """
    if used.id is None:
        here = shipped(used.code) if used.code in catalogue.load().events else None
        return here if here and here.used.digest == used.digest else None
    try:
        return _of_version(used.code, await shelf.version(conn, "template", used.id, used.version))
    except NotFound:
        return None


async def of_content(conn: Conn, content: Content, unit_id: int) -> Chosen:
    """Return the template a draft is filled from: its own, else the one that holds today."""
    if content.template is not None:
        found = await exactly(conn, content.template)
        if found is not None:
            return found
    return await in_force(conn, unit_id, content.event)


async def newer(conn: Conn, content: Content, unit_id: int) -> Chosen | None:
    """Return the template that holds today where it is another than the draft's."""
    if content.template is None:
        return None
    holds = await in_force(conn, unit_id, content.event)
    return None if content.template.digest == holds.used.digest else holds


async def listing(conn: Conn, actor: Actor, *, search: str = "", group: str = "") -> list[Entry]:
    """Return the catalogue with the copies an official sees; accents in the search may be left."""
    units = await shelf.readable(conn, actor)
    copies: dict[str, list[Item]] = {}
    for item in await shelf.listing(conn, "template", units):
        copies.setdefault(item.code, []).append(item)
    wanted = _plain(search)
    found = [
        Entry(event, tuple(copies.get(event.code, ())))
        for event in catalogue.load().events.values()
        if (not group or event.group == group) and wanted in _searched(event, copies)
    ]
    return sorted(found, key=lambda entry: (GROUPS.index(entry.event.group), entry.event.name.vi))


def _plain(text: str) -> str:
    return " ".join(strip_diacritics(text).lower().split())


def _searched(event: Event, copies: Mapping[str, Sequence[Item]]) -> str:
    shelves = " ".join(f"{item.unit_name} {item.folder}" for item in copies.get(event.code, ()))
    return _plain(f"{event.code} {event.name.vi} {event.name.en} {shelves}")


async def read(conn: Conn, actor: Actor, template_id: int, number: int | None = None) -> tuple[
    Item, Version
]:  # fmt: skip
    """Return a copy and one of its versions: that number, else what is open, else in force."""
    item = await shelf.find(conn, "template", template_id)
    await shelf.require_readable(conn, actor, "template", item)
    wanted = number or item.open_version or item.in_force
    if wanted is None:
        wanted = (await shelf.history(conn, "template", template_id))[0].version
    return item, await shelf.version(conn, "template", template_id, wanted)


async def copy(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, code: str, *, folder: str = ""
) -> Item:
    """Begin a unit's own copy with the words that hold for it now; raises NotAllowed, Conflict."""
    holds = await in_force(conn, unit_id, code)
    return await shelf.create(
        conn, actor, now, "template", unit_id, code, holds.document.as_json(), folder=folder
    )


async def bring_in(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, written: Document
) -> Item:
    """Take a document from a file as a draft of the unit: a new copy, or its next version."""
    shipped(written.code)
    read_through(written)
    here = [
        item
        for item in await shelf.listing(conn, "template", [unit_id])
        if item.code == written.code
    ]
    if not here:
        return await shelf.create(
            conn, actor, now, "template", unit_id, written.code, written.as_json()
        )
    await shelf.revise(conn, actor, now, "template", here[0].item_id, written.as_json())
    return await shelf.find(conn, "template", here[0].item_id)


def read_through(written: Document) -> None:
    """Raise Refused unless the document can be read and filled at all."""
    try:
        document.overlaid(written)
    except CatalogueError as error:
        raise Refused(
            "unreadable",
            f"Không đọc được mẫu: {error}. Sửa chỗ này rồi lưu lại.",
            f"The template cannot be read: {error}. Correct it and save again.",
        ) from error


async def edit(conn: Conn, actor: Actor, now: datetime, template_id: int) -> Version:
    """Begin the next version with the words in force."""
    item, newest = await read(conn, actor, template_id)
    if newest.is_open:
        return newest
    return await shelf.revise(conn, actor, now, "template", item.item_id, newest.document)


async def save(
    conn: Conn,
    actor: Actor,
    now: datetime,
    template_id: int,
    number: int,
    revision: int,
    words: Mapping[str, Mapping[str, str]],
    approvals: Mapping[str, str] | None = None,
) -> Version:
    """Save a draft's words, right or wrong: what is wrong is said, and kept from review.

    `approvals` are the ids under which operators registered the text message.
    """
    before = await shelf.version(conn, "template", template_id, number)
    event = dict(before.document["event"])
    if approvals is not None:
        event["approvals"] = {name: text for name, text in approvals.items() if text}
    written = document.from_json({"event": event, "words": words})
    return await shelf.save(
        conn, actor, now, "template", template_id, number, revision, written.as_json()
    )


async def restore(
    conn: Conn, actor: Actor, now: datetime, template_id: int, number: int
) -> Version:
    """Begin the next version with the words of an earlier one; it is reviewed like any other."""
    earlier = await shelf.version(conn, "template", template_id, number)
    return await shelf.revise(
        conn, actor, now, "template", template_id, earlier.document, restored_from=number
    )


def linted(written: Mapping[str, Any] | Document, operators: Sequence[str] | None = None) -> Report:
    """Return what the linter says of a document or of its stored form."""
    whole = written if isinstance(written, Document) else document.from_json(dict(written))
    return lint.lint(whole, operators=operators)


async def linted_aside(written: Document) -> Report:
    """Lint off the event loop: every longest value filled in takes tens of milliseconds."""
    return await asyncio.to_thread(lint.lint, written)


async def submit(
    conn: Conn, actor: Actor, now: datetime, template_id: int, number: int, revision: int,
    operators: Sequence[str] | None = None,
) -> Version:  # fmt: skip
    """Send a draft for review; raises Refused while the linter blocks it."""
    waiting = await shelf.version(conn, "template", template_id, number)
    _require_clean(linted(waiting.document, operators))
    return await shelf.submit(conn, actor, now, "template", template_id, number, revision)


async def put_in_force(
    conn: Conn, actor: Actor, now: datetime, template_id: int, number: int, revision: int
) -> Version:
    """Review a version and put it in force; raises NotAllowed, Conflict, Refused."""
    waiting = await shelf.version(conn, "template", template_id, number)
    _require_clean(linted(waiting.document))
    code = str(waiting.document["event"]["code"])
    basis = shipped(code).used.model_dump()
    return await shelf.put_in_force(
        conn, actor, now, "template", template_id, number, revision, basis
    )


def _require_clean(report: Report) -> None:
    blocking: list[Finding] = [one for one in report.findings if one.blocking]
    if blocking:
        first = blocking[0]
        raise Refused(
            "template_not_clean",
            f"Còn {len(blocking)} chỗ phải sửa: {first.message_vi} {first.remedy_vi}",
            f"{len(blocking)} to mend first: {first.message_en} {first.remedy_en}",
        )


def outdated(version: Version) -> bool:
    """Say whether what ships changed since this version was reviewed."""
    digest = version.basis.get("digest")
    code = str(version.document["event"]["code"])
    return bool(digest) and code in catalogue.load().events and digest != shipped(code).used.digest
