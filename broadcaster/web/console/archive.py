"""The archive: every alert of the official's area, newest first, found by any of its terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from markupsafe import Markup

from broadcaster.alerts import archive_file, archive_search, archive_terms, standing
from broadcaster.alerts.archive_search import Page, Scope
from broadcaster.alerts.archive_terms import read_terms
from broadcaster.alerts.content import LANES
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout.progress import progress_of
from broadcaster.web import formats, i18n, labels
from broadcaster.web.collation import spelled
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import total_of
from broadcaster.web.geography import Atlas, group_name, unit_name
from broadcaster.web.i18n import gettext as _
from broadcaster.web.kept import Kept
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official
from templates import catalogue

routes = web.RouteTableDef()
HERE = "/console/alerts"
_ROWS = 30
_SUGGESTED = 200
"""Of what another search would find, more are not counted."""
_lists: Kept[tuple[str, str], Markup] = Kept(8)


@dataclass(frozen=True, slots=True)
class Term:
    """One term asked for, in words, and the address of the search without it."""

    name: str
    words: str
    without: str
    found: int | None = None
    """How many would be found without it; counted where nothing is found with it."""


@routes.get(HERE)
@official()
async def archive(request: web.Request) -> web.StreamResponse:
    """Show a page of alerts that fit the terms in the address."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    given = _given(request)
    atlas = await request.app[GEOGRAPHY].atlas()
    found, counted, problem, terms = Page([], None), 0, None, _said(given, atlas)
    async with request.app[POOL].acquire() as conn:
        scope = await archive_search.scope_of(conn, actor)
        try:
            sought = await read_terms(conn, given)
        except Refused as refusal:
            problem = refusal
        else:
            after = request.query.get("after") or None
            found, counted = await archive_search.find_and_count(
                conn, scope, now, sought, after, _ROWS
            )
            if not counted:
                terms = [await _without(conn, scope, now, given, term) for term in terms]
        ids = [one.alert_id for one in found.alerts]
        counts = await progress_of(conn, ids)
        return await frame.screen(
            request,
            conn,
            "archive.html",
            "alerts",
            status_of(problem) if problem else 200,
            alerts=[(one, total_of(counts[one.alert_id])) for one in found.alerts],
            stands=await standing.stands(conn, now, ids),
            given={name: given.get(name, "") for name in archive_terms.NAMES},
            terms=terms,
            counted=counted,
            most=archive_search.COUNTED,
            suggested=_SUGGESTED,
            after=found.after,
            begins="after" not in request.query,
            address=_address,
            file=_address(given, f"{HERE}.csv"),
            problem=problem.message(i18n.language()) if problem else "",
            wrong=problem.details.get("where") if problem else None,
            **_choices(atlas),
            atlas=atlas,
        )


def _given(request: web.Request) -> dict[str, str]:
    """Return the terms that say something, in their order: one search, one address."""
    said = {name: request.query.get(name, "").strip() for name in archive_terms.NAMES}
    return {name: value for name, value in said.items() if value}


def _address(given: Mapping[str, str], here: str = HERE, **changes: str) -> str:
    """Return the address of a search with some of its terms changed; empty ones are left out."""
    terms = {name: value for name, value in {**given, **changes}.items() if value}
    return f"{here}?{urlencode(terms)}" if terms else here


async def _without(
    conn: Conn, scope: Scope, now: datetime, given: Mapping[str, str], term: Term
) -> Term:
    """Count what would be found without one of the terms."""
    sought = await read_terms(conn, {**given, term.name: ""})
    return replace(term, found=await archive_search.count(conn, scope, now, sought, _SUGGESTED))


def _choices(atlas: Atlas) -> dict[str, Any]:
    """Return what the form offers."""
    events = catalogue.load().events.values()
    return {
        "places": _places(atlas),
        "place_name": lambda code: _place(code, atlas),
        "classes": list(LANES),
        "events": sorted(events, key=lambda event: event.name[i18n.language()]),
        "kinds": archive_terms.KINDS,
    }


def _places(atlas: Atlas) -> Markup:
    """Return every unit and group as options; two lists of a hundred and fifty on each page."""
    key = atlas.stamp, i18n.language()
    found = _lists.find(key)
    if found is not None:
        return found
    units = atlas.of(atlas.units)
    city = [(unit.code, unit_name(unit)) for unit in units if unit.kind == "city"]
    communes = [(unit.code, unit_name(unit)) for unit in units if unit.kind != "city"]
    groups = sorted(
        ((one.code, group_name(one)) for one in atlas.groups), key=lambda one: spelled(one[1])
    )
    parts = [_options(city)]
    for label, options in (
        (_("Communes and wards"), communes),
        (_("Former districts and other areas"), groups),
    ):
        parts.append(Markup('<optgroup label="{}">{}</optgroup>').format(label, _options(options)))
    return _lists.keep(key, Markup().join(parts))


def _options(choices: Iterable[tuple[str, str]]) -> Markup:
    return Markup().join(Markup('<option value="{}">{}</option>').format(*one) for one in choices)


def _said(given: Mapping[str, str], atlas: Atlas) -> list[Term]:
    """Put each term into words."""
    spoken: dict[str, Callable[[str], str]] = {
        "q": lambda value: f"“{value}”",
        "place": lambda value: _("Place: %(name)s") % {"name": _place(value, atlas)},
        "from": lambda value: _("from %(day)s") % {"day": _day(value)},
        "until": lambda value: _("until %(day)s") % {"day": _day(value)},
        "class": lambda value: labels.label(value, "class"),
        "event": _event,
        "sender": lambda value: _("Sender: %(name)s") % {"name": _place(value, atlas)},
        "official": lambda value: _("Official: %(name)s") % {"name": value},
        "state": _state,
        "kind": _kind,
    }
    return [
        Term(name, spoken[name](value), _address(given, **{name: ""}))
        for name, value in given.items()
    ]


def _place(code: str, atlas: Atlas) -> str:
    for unit in atlas.units.values():
        if unit.code == code:
            return unit_name(unit)
    return next((group_name(group) for group in atlas.groups if group.code == code), code)


def _day(value: str) -> str:
    try:
        return formats.date_of(date.fromisoformat(value))
    except ValueError:
        return value


def _event(code: str) -> str:
    event = catalogue.load().events.get(code)
    return event.name[i18n.language()] if event else code


def _state(state: str) -> str:
    spoken = {
        archive_terms.LIVE: _("Going out and in force"),
        archive_terms.WORK: _("Being written"),
        archive_terms.OVER: _("Over"),
    }
    return spoken.get(state) or labels.label(state, "state")


def _kind(kind: str) -> str:
    return _("Exercise") if kind == archive_terms.EXERCISE else labels.label(kind, "kind")


@routes.get(f"{HERE}.csv")
@official()
async def file(request: web.Request) -> web.StreamResponse:
    """Give everything that fits as CSV, written while it is read."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        scope = await archive_search.scope_of(conn, actor)
        sought = await read_terms(conn, _given(request))
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="alerts.csv"',
                "Cache-Control": "no-store",
            }
        )
        await answer.prepare(request)
        await answer.write(archive_file.heading().encode())
        async for some in archive_search.every(conn, scope, now, sought):
            await answer.write((await archive_file.lines(conn, some)).encode())
    await answer.write_eof()
    return answer
