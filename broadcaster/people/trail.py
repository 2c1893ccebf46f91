"""The trail as it is looked through: who did what, in the units somebody watches over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import Actor, reach_so_far

ROLES = ("admin", "monitor")
PAGE = 50
_FILE_PAGE = 1_000

_ROW = (
    "SELECT t.audit_id, t.at, t.action, t.subject, t.subject_id, t.detail, t.official_id,"
    " o.name AS by, o.login,"
    " CASE t.subject WHEN 'alert' THEN (SELECT code FROM alert WHERE alert_id = t.subject_id)"
    "  WHEN 'incident' THEN (SELECT code FROM incident WHERE incident_id = t.subject_id)"
    "  WHEN 'official' THEN (SELECT login FROM official WHERE official_id = t.subject_id)"
    " END AS about,"
    " CASE t.subject WHEN 'official' THEN"
    "  (SELECT name FROM official WHERE official_id = t.subject_id)"
    "  WHEN 'alert' THEN (SELECT title FROM alert WHERE alert_id = t.subject_id)"
    "  WHEN 'unit' THEN (SELECT name FROM unit WHERE unit_id = t.subject_id)"
    "  WHEN 'provider' THEN (SELECT name FROM provider WHERE provider_id = t.subject_id)"
    "  WHEN 'scenario' THEN (SELECT code FROM scenario WHERE scenario_id = t.subject_id)"
    "  WHEN 'template' THEN (SELECT code FROM template WHERE template_id = t.subject_id)"
    " END AS about_name"
    " FROM {source} LEFT JOIN official o ON o.official_id = t.official_id"
)
# Of some units: what officials did whose every role lies in them, what was done to these, and
# whatever was done about the units' alerts, by anybody.
_OF_UNITS = """
WITH theirs AS MATERIALIZED (
    SELECT r.official_id FROM official_role r
    WHERE r.unit_id = ANY($1)
        OR EXISTS (SELECT FROM unit_group_member m WHERE m.group_id = r.group_id)
        AND NOT EXISTS (SELECT FROM unit_group_member m
            WHERE m.group_id = r.group_id AND m.unit_id <> ALL($1))
    GROUP BY r.official_id
    HAVING count(*) = (SELECT count(*) FROM official_role a WHERE a.official_id = r.official_id)
), mine AS MATERIALIZED (
    SELECT t.audit_id FROM audit t WHERE t.official_id IN (SELECT official_id FROM theirs) {where}
    UNION
    SELECT t.audit_id FROM audit t WHERE t.subject = 'official'
        AND t.subject_id IN (SELECT official_id FROM theirs) {where}
    UNION
    SELECT t.audit_id FROM audit t WHERE t.subject = 'alert'
        AND t.subject_id IN (SELECT alert_id FROM alert WHERE unit_id = ANY($1)) {where}
)
"""
_ORDER = " ORDER BY t.at DESC, t.audit_id DESC LIMIT {limit}"


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the trail."""

    audit_id: int
    at: datetime
    action: str
    subject: str
    subject_id: int | None
    detail: dict[str, Any]
    official_id: int | None
    by: str | None
    """A name; None: the service itself."""
    login: str | None
    about: str | None
    """Code of the alert or incident, login of the official, that it was done to."""
    about_name: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: the next one is older."""

    at: datetime
    audit_id: int


@dataclass(frozen=True, slots=True)
class Filters:
    """Which acts."""

    official_id: int | None = None
    unit_ids: Collection[int] | None = None
    action: str | None = None
    alert_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some acts, newest first."""

    acts: tuple[Act, ...]
    before: Cursor | None
    """Where the next page begins; None: this is the last."""


async def acts(
    conn: Conn, actor: Actor, filters: Filters, before: Cursor | None = None, limit: int = PAGE
) -> Page:
    """Return a page of the trail, of the units an administrator or a monitor answers for."""
    units, whole = await reach_so_far(conn, actor, *ROLES)
    if filters.unit_ids is not None:
        units, whole = units & frozenset(filters.unit_ids), False
    given: list[Any] = []
    of_units = "" if whole else _OF_UNITS.replace("$1", _named(given, list(units)))
    where = _where(filters, before, given)
    order = _ORDER.format(limit=_named(given, limit + 1))
    if whole:
        query = f"{_ROW.format(source='audit t')} WHERE true{where}{order}"
    else:
        source = "mine JOIN audit t USING (audit_id)"
        query = of_units.format(where=where) + _ROW.format(source=source) + order
    rows = await conn.fetch(query, *given)
    found = tuple(Act(**row) for row in rows[:limit])
    last = found[-1] if len(rows) > limit else None
    return Page(found, Cursor(last.at, last.audit_id) if last else None)


def _named(given: list[Any], value: Any) -> str:
    """Add a value to those of a question; returns its name there."""
    given.append(value)
    return f"${len(given)}"


def _where(filters: Filters, before: Cursor | None, given: list[Any]) -> str:
    """Return what is asked for: only that, so that a plan for any values uses its index."""
    asked = (
        ("t.official_id = {}", filters.official_id),
        ("t.action = {}", filters.action),
        ("t.subject = 'alert' AND t.subject_id = {}", filters.alert_id),
        ("t.at >= {}", filters.since),
        ("t.at < {}", filters.until),
    )
    parts = [text.format(_named(given, value)) for text, value in asked if value is not None]
    if before is not None:
        at, number = _named(given, before.at), _named(given, before.audit_id)
        parts.append(f"(t.at, t.audit_id) < ({at}, {number})")
    return "".join(f" AND {part}" for part in parts)


async def every(conn: Conn, actor: Actor, filters: Filters) -> AsyncIterator[tuple[Act, ...]]:
    """Give all that fits, piece by piece: somebody who goes on working adds nothing to it."""
    before: Cursor | None = None
    while True:
        page = await acts(conn, actor, filters, before, _FILE_PAGE)
        yield page.acts
        if page.before is None:
            return
        before = page.before


async def act(conn: Conn, actor: Actor, audit_id: int) -> Act:
    """Return one row of the trail; raises NotFound where it is beyond reach."""
    at = await conn.fetchval("SELECT at FROM audit WHERE audit_id = $1", audit_id)
    if at is not None:
        page = await acts(
            conn, actor, Filters(since=at), Cursor(at, audit_id + 1), limit=1
        )  # fmt: skip
        if page.acts and page.acts[0].audit_id == audit_id:
            return page.acts[0]
    raise NotFound(
        "no_act",
        "Không có dòng nhật ký này trong phạm vi của bạn.",
        "There is no such row of the trail within your reach.",
    )


async def kinds(conn: Conn) -> list[str]:
    """Return every kind of act that stands in the trail, one index look-up each."""
    rows = await conn.fetch(
        "WITH RECURSIVE one AS ((SELECT action FROM audit ORDER BY action LIMIT 1)"
        " UNION ALL SELECT (SELECT action FROM audit WHERE action > one.action"
        "  ORDER BY action LIMIT 1) FROM one WHERE one.action IS NOT NULL)"
        " SELECT action FROM one WHERE action IS NOT NULL"
    )
    return [row["action"] for row in rows]


async def guarded(conn: Conn) -> bool:
    """Say whether the database refuses to change, delete or empty the trail at this moment."""
    standing: int = await conn.fetchval(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'audit'::regclass"
        " AND tgname IN ('audit_is_final', 'audit_stays') AND tgenabled IN ('O', 'A')"
    )
    return standing == 2
