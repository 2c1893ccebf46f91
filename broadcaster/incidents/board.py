"""What staff see: the list, one incident with its reports and history, the map. Reads only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import geojson  # type: ignore[import-untyped]

from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import ROLES, Actor, reach_so_far
from broadcaster.states import INCIDENT_MOVES, IncidentState

DEGREES = 100_000
"""Stored coordinates are steps of 1e-5 degree."""
OPEN_STATES = tuple(
    state
    for state in IncidentState
    if state not in (IncidentState.CLOSED, IncidentState.DUPLICATE, IncidentState.OUT_OF_REMIT)
)
# As the index of the open ones says it: they are few among all there ever were.
_OPEN = " AND i.state NOT IN ('closed', 'duplicate', 'out_of_remit')"
OVERLAP = timedelta(seconds=5)
"""A change is dated when its transaction begins and seen when it ends: look back this far."""
MOST_ON_MAP = 5_000

URGENCIES = ("life_threatening", "urgent", "normal")
_CURSOR = re.compile("([1-3])-([0-9]{1,18})")
_RANK = f"array_position('{{{','.join(URGENCIES)}}}'::text[], i.urgency)"
# The newest link of a report holds: a report that was moved away is counted where it went.
_HELD = (
    "FROM incident_report l WHERE l.to_incident = i.incident_id AND NOT EXISTS"
    " (SELECT FROM incident_report m WHERE m.report_id = l.report_id AND m.link_id > l.link_id)"
)
_COLUMNS = (
    f"i.incident_id, i.code, i.state::text, i.category, i.urgency, {_RANK} AS rank, i.title,"
    " i.unit_id, u.name AS unit_name, u.name_en AS unit_name_en, i.x, i.y, i.place_source,"
    " i.opened_at, i.updated_at, i.alert_id, a.code AS alert_code, i.assigned_to, i.exercise,"
    f" o.name AS assignee, (SELECT count(*) {_HELD}) AS reports,"
    " (SELECT array_agg(DISTINCT r.channel) FROM report r WHERE r.report_id IN"
    f"  (SELECT l.report_id {_HELD})) AS channels"
)
_REACHED = " WHERE ($1 OR i.unit_id = ANY($2))"
_OF = f" FROM incident i{_REACHED}"
_FROM = (
    " FROM incident i LEFT JOIN unit u USING (unit_id) LEFT JOIN alert a USING (alert_id)"
    f" LEFT JOIN official o ON o.official_id = i.assigned_to{_REACHED}"
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which incidents; an empty filter lets everything through."""

    states: tuple[str, ...] = OPEN_STATES
    categories: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    unit_ids: tuple[int, ...] = ()
    alert_id: int | None = None
    located: bool = False
    """Only those with a point on the map."""
    exercise: bool | None = False
    """What happened, or with True what came of exercises; None: both."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One line of the list."""

    incident_id: int
    code: str
    state: IncidentState
    category: str
    urgency: str
    rank: int
    title: str
    unit_id: int | None
    unit_name: str | None
    unit_name_en: str | None
    lon: float | None
    lat: float | None
    place_source: str
    opened_at: datetime
    updated_at: datetime
    alert_id: int | None
    alert_code: str | None
    assigned_to: int | None
    exercise: bool
    assignee: str | None
    reports: int
    channels: tuple[str, ...]

    @property
    def cursor(self) -> str:
        """Give this to `list_incidents` to go on after this line."""
        return f"{self.rank}-{self.incident_id}"


@dataclass(frozen=True, slots=True)
class Report:
    """One message from one person."""

    code: str
    channel: str
    received_at: datetime
    text: str
    alert_code: str | None
    match_reason: str
    place_source: str
    place_confidence: float


@dataclass(frozen=True, slots=True)
class Event:
    """One step in an incident's history; `by` is None for the service itself."""

    at: datetime
    action: str
    by: str | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detail:
    """One incident with everything known of it."""

    incident: Incident
    reports: list[Report]
    history: list[Event]
    moves: list[IncidentState]
    """Where it may go from here."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the list; `after` is the cursor of the next one, None at the end."""

    incidents: list[Incident]
    after: str | None


async def list_incidents(
    conn: Conn, actor: Actor, filters: Filters, after: str | None = None, limit: int = 50
) -> Page:
    """Return the incidents this actor may see: danger to life first, then the newest."""
    where, arguments = _conditions(filters)
    if after is not None:
        cursor = _CURSOR.fullmatch(after)
        if cursor is None:
            raise NotFound("bad_cursor", "Không có trang này.", "There is no such page.")
        arguments += [int(number) for number in cursor.groups()]
        last = len(arguments) + 2
        where += f" AND ({_RANK}, -i.incident_id) > (${last - 1}::int, -${last}::bigint)"
    order = f" ORDER BY {_RANK}, i.incident_id DESC"
    # First the few, by what orders them alone: joined before that, twenty thousand took 40 ms.
    chosen = f"SELECT i.incident_id{_OF}{where}{order} LIMIT {limit + 1:d}"
    rows = await _select(conn, actor, f" AND i.incident_id IN ({chosen}){order}", arguments)
    return Page(rows[:limit], rows[limit - 1].cursor if len(rows) > limit else None)


async def count_incidents(conn: Conn, actor: Actor, filters: Filters) -> dict[str, int]:
    """Return how many incidents this actor may see, by urgency; an urgency with none is zero."""
    where, arguments = _conditions(filters)
    rows = await conn.fetch(
        f"SELECT i.urgency, count(*) AS number{_OF}{where} GROUP BY i.urgency",
        *await _reach(conn, actor),
        *arguments,
    )
    return dict.fromkeys(URGENCIES, 0) | {row["urgency"]: row["number"] for row in rows}


async def changed_since(conn: Conn, actor: Actor, since: datetime) -> list[Incident]:
    """Return what changed, oldest change first; the last few seconds are told again.

    The reader replaces what it holds under the same code, so being told twice does no harm.
    """
    return await _select(
        conn,
        actor,
        f" AND i.updated_at > $3 ORDER BY i.updated_at, i.incident_id LIMIT {MOST_ON_MAP:d}",
        [since - OVERLAP],
    )


async def map_features(conn: Conn, actor: Actor, filters: Filters) -> geojson.FeatureCollection:
    """Return the incidents with a place as GeoJSON points, newest first, for the map."""
    where, arguments = _conditions(filters)
    found = await _select(
        conn,
        actor,
        f"{where} AND i.x IS NOT NULL ORDER BY i.incident_id DESC LIMIT {MOST_ON_MAP:d}",
        arguments,
    )
    return geojson.FeatureCollection([feature(incident) for incident in found])


def feature(incident: Incident) -> geojson.Feature:
    """Return one incident as a GeoJSON feature; its geometry is null when nobody knows where."""
    point = None if incident.lon is None else geojson.Point((incident.lon, incident.lat))
    return geojson.Feature(
        id=incident.code,
        geometry=point,
        properties={
            "code": incident.code,
            "title": incident.title,
            "state": incident.state.value,
            "category": incident.category,
            "urgency": incident.urgency,
            "place_source": incident.place_source,
            "reports": incident.reports,
            "exercise": incident.exercise,
            "opened_at": incident.opened_at.isoformat(),
        },
    )


async def get_incident(conn: Conn, actor: Actor, code: str) -> Detail:
    """Return one incident with reports and history; NotFound also where the actor cannot see."""
    found = await _select(conn, actor, " AND i.code = $3", [code])
    if not found:
        raise NotFound("no_incident", "Không có sự cố này.", "There is no such incident.")
    incident = found[0]
    return Detail(
        incident,
        await _reports(conn, incident.incident_id),
        await _history(conn, incident.incident_id),
        sorted(INCIDENT_MOVES[incident.state], key=list(IncidentState).index),
    )


async def _reports(conn: Conn, incident_id: int) -> list[Report]:
    rows = await conn.fetch(
        "SELECT r.code, r.channel, r.received_at, r.text, a.code AS alert_code, r.match_reason,"
        " r.place_source, r.place_confidence FROM report r LEFT JOIN alert a USING (alert_id)"
        " WHERE r.report_id IN (SELECT l.report_id FROM incident_report l"
        "  WHERE l.to_incident = $1 AND NOT EXISTS (SELECT FROM incident_report m"
        "  WHERE m.report_id = l.report_id AND m.link_id > l.link_id))"
        " ORDER BY r.received_at, r.report_id",
        incident_id,
    )
    # Stored as a four-byte float, which knows two decimals and guesses the rest.
    return [
        Report(**{**row, "place_confidence": round(row["place_confidence"], 2)}) for row in rows
    ]


async def _history(conn: Conn, incident_id: int) -> list[Event]:
    rows = await conn.fetch(
        "SELECT t.at, t.action, o.name AS by, t.detail"
        " FROM audit t LEFT JOIN official o USING (official_id)"
        " WHERE t.subject = 'incident' AND t.subject_id = $1 ORDER BY t.audit_id",
        incident_id,
    )
    return [Event(**row) for row in rows]


def _conditions(filters: Filters) -> tuple[str, list[Any]]:
    """Return SQL and its arguments, numbered from $3: the first two say what the actor reaches."""
    chosen: list[tuple[str, Any]] = [
        ("i.state::text = ANY(${})", [] if filters.states == OPEN_STATES else list(filters.states)),
        ("i.category = ANY(${})", list(filters.categories)),
        ("i.urgency = ANY(${})", list(filters.urgencies)),
        ("i.unit_id = ANY(${})", list(filters.unit_ids)),
        ("i.alert_id = ${}", filters.alert_id),
        ("i.exercise = ${}", filters.exercise),
    ]
    given = [(sql, value) for sql, value in chosen if value not in ([], None)]
    where = "".join(" AND " + sql.format(number) for number, (sql, _) in enumerate(given, 3))
    where += " AND i.x IS NOT NULL" if filters.located else ""
    where += _OPEN if filters.states == OPEN_STATES else ""
    return where, [value for _, value in given]


async def _reach(conn: Conn, actor: Actor) -> tuple[bool, list[int]]:
    """Return what stands for $1 and $2: whether the actor sees everything, and which units."""
    # Whoever reaches the whole city also sees what lies nowhere or in a unit nobody took over.
    reached, everywhere = await reach_so_far(conn, actor, *ROLES)
    return everywhere, list(reached)


async def _select(conn: Conn, actor: Actor, rest: str, arguments: list[Any]) -> list[Incident]:
    reach = await _reach(conn, actor)
    rows = await conn.fetch(f"SELECT {_COLUMNS}{_FROM}{rest}", *reach, *arguments)
    return [_incident(row) for row in rows]


def _incident(row: asyncpg.Record) -> Incident:
    values = dict(row)
    x, y = values.pop("x"), values.pop("y")
    values["state"] = IncidentState(values["state"])
    values["channels"] = tuple(values["channels"] or ())
    return Incident(
        lon=None if x is None else x / DEGREES, lat=None if y is None else y / DEGREES, **values
    )
