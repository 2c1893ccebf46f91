"""Five years of alerts in the real schema: written by every unit, followed up, sent and over.

Words come from the catalogue with places and times of their own. Rows are copied in as the service
would have left them; what the archive searches by is worked out by the database from these, the
words that many alerts share once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bench.years_search import write_search
from broadcaster.alerts import wordings
from broadcaster.alerts.content import LANES, Content, canonical, parse
from broadcaster.alerts.draft import HANOI
from broadcaster.db import Conn
from broadcaster.fanout import channel_policy
from templates import catalogue
from templates.catalogue import LANGS
from templates.render import render

YEARS = 5
COMMUNE = "00091"
"""Of whatever is going on, it has a part."""
_VARIANTS = 30
"""Wordings of each event; alerts of one wording differ in place, time, sender and source."""
_ROWS = 2_000
_HASH = b"\0" * 32
_CLASSES = {"fire": "emergency", "storm": "warning", "flood": "warning", "landslide": "emergency",
            "heavy_rain": "warning"}  # fmt: skip
_WEIGHTS = {"public_notice": 50, "heavy_rain": 18, "heat": 12, "storm": 8, "flood": 6}
_OVER = {"expired": 88, "stopped": 6, "rejected": 6}
_FOLLOW_UPS = {"update": 65, "all_clear": 25, "cancel": 7, "correction": 3}
# The last ones are what officials have on their hands now.
_NOW = ("draft",) * 40 + ("returned",) * 12 + ("submitted",) * 14 + ("sending", "sent") * 6
_IN_WORK = frozenset({"draft", "returned", "submitted"})
_NOT_BEGUN = _IN_WORK | {"rejected"}


@dataclass(frozen=True, slots=True)
class _Unit:
    """Who issues: a unit with its author and its approver."""

    unit_id: int
    code: str
    vintage: str
    name: str
    name_en: str
    lon: float
    lat: float
    author_id: int
    approver_id: int


@dataclass(slots=True)
class _Alert:
    """One alert to be written."""

    alert_id: int
    code: str
    kind: str
    state: str
    unit: _Unit
    document: dict[str, Any]
    created: datetime
    expires: datetime
    predecessor_id: int | None = None
    root_id: int | None = None
    sequence: int = 1
    superseded_by: int | None = None
    variant: str = ""
    """Which of the prepared contents it is made from."""

    @property
    def begun(self) -> bool:
        return self.state not in _NOT_BEGUN

    @property
    def approved(self) -> datetime:
        return self.created + timedelta(minutes=25)


async def write_years(conn: Conn, now: datetime, alerts: int, seed: int = 1) -> None:
    """Fill a seeded, otherwise empty city with so many alerts of the past five years."""
    rng = random.Random(seed)
    units = await _units(conn, now)
    groups = [row["code"] for row in await conn.fetch("SELECT code FROM unit_group ORDER BY 1")]
    contents = _contents(rng, units, now)
    # Nothing is ordered and nobody is asked: these rows are the past.
    await conn.execute("SET session_replication_role = replica")
    policies: dict[str, Any] = {
        name: channel_policy.for_snapshot(await channel_policy.in_force(conn, name))
        for name in LANES
    }
    made = list(_alerts(rng, now, alerts, units, groups, contents))
    for start in range(0, len(made), _ROWS):
        await _copy(conn, rng, made[start : start + _ROWS], policies)
    await write_search(
        conn,
        {f"{event} {n}": one for event, some in contents.items() for n, one in enumerate(some)},
        [
            (one.alert_id, one.variant, {"source": one.document["source"]}, one.document["area"])
            for one in made
        ],
    )
    await _incidents(conn, rng, now, units, made)
    for table in ("alert", "incident", "report"):
        await conn.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{table}_id'), max({table}_id))"
            f" FROM {table}"
        )
    await conn.execute("SET session_replication_role = origin")
    await conn.execute("VACUUM ANALYZE", timeout=600)


async def _units(conn: Conn, now: datetime) -> list[_Unit]:
    """Give every commune an author and an approver; the city, the last one, has its own."""
    rows = await conn.fetch(
        "SELECT unit_id, code, vintage::text, name, name_en, lon, lat, kind = 'city' AS city"
        " FROM unit WHERE valid_to IS NULL ORDER BY kind = 'city', code"
    )
    found = []
    for row in map(dict, rows):
        people = ("ha", "tuan")
        if not row.pop("city"):
            people = (f"a{row['code']}", f"b{row['code']}")
            await _officials(conn, now, row["unit_id"], row["name"], people)
        ids = [
            await conn.fetchval("SELECT official_id FROM official WHERE login = $1", login)
            for login in people
        ]
        found.append(_Unit(**row, author_id=ids[0], approver_id=ids[1]))
    return found


async def _officials(
    conn: Conn, now: datetime, unit_id: int, name: str, logins: tuple[str, str]
) -> None:
    for login, role in zip(logins, ("author", "approver"), strict=True):
        await conn.execute(
            "WITH made AS (INSERT INTO official (login, name, title, password_hash, created_at)"
            "  VALUES ($1, $2, $3, '', $4) RETURNING official_id)"
            " INSERT INTO official_role (official_id, role, unit_id)"
            " SELECT official_id, $5, $6 FROM made",
            login, f"Nguyễn Văn {login.upper()}", name, now, role, unit_id,
        )  # fmt: skip


def _contents(
    rng: random.Random, units: Sequence[_Unit], now: datetime
) -> dict[str, list[dict[str, Any]]]:
    """Return by event some complete contents, without area and end."""
    found = {}
    for event in catalogue.load().events.values():
        variants = []
        for number in range(_VARIANTS):
            unit = rng.choice(units)
            places = {"vi": [unit.name], "en": [unit.name_en]}
            values = dict(event.examples()) | {
                field.name: places if field.fill == "area" else now.isoformat()
                for field in event.fields if field.fill in ("area", "expires")
            }  # fmt: skip
            if event.code == "storm":
                values["storm"] = {
                    "vi": f"bão số {number % 9 + 1}",
                    "en": f"storm {number % 9 + 1}",
                }
            variants.append(_content(event, values).to_json())
        found[event.code] = variants
    return found


def _content(event: Any, values: dict[str, Any]) -> Content:
    made = parse(
        {
            "event": event.code,
            "class": _CLASSES.get(event.code, "information"),
            "values": values,
            "wording": {lang: render(event.code, lang, values).as_dict() for lang in LANGS},
            "urgency": event.urgency,
            "severity": event.severity,
            "certainty": event.certainty,
        }
    )
    return wordings.with_prepared(made, "alert")


def _alerts(
    rng: random.Random,
    now: datetime,
    count: int,
    units: Sequence[_Unit],
    groups: Sequence[str],
    contents: dict[str, list[dict[str, Any]]],
) -> Iterator[_Alert]:
    """Yield alerts from the oldest on; a tenth follows one before it."""
    numbers: Counter[str] = Counter()
    last: dict[int, _Alert] = {}
    weights = {name: _WEIGHTS.get(name, 1) for name in sorted(contents)}
    gap = timedelta(days=365 * YEARS) / count
    for number in range(1, count + 1):
        left = count - number
        created = now - gap * (left + 1) - timedelta(minutes=30)
        state = _NOW[left] if left < len(_NOW) else _pick(rng, _OVER)
        unit = units[-1] if rng.random() < 0.3 else rng.choice(units)
        if left < len(_NOW) and left % 3 == 0:
            unit = next(one for one in units if one.code == COMMUNE)
        day = created.astimezone(HANOI).strftime("HN-%Y-%m%d-")
        numbers[day] += 1
        event = _pick(rng, weights)
        chosen = rng.randrange(len(contents[event]))
        expires = created + timedelta(hours=12)
        if state in ("sending", "sent") or state in _IN_WORK:
            created, expires = now - timedelta(minutes=40 + left), now + timedelta(hours=9)
        document = contents[event][chosen] | {
            "area": _area(rng, unit, units, groups),
            "expires": expires.isoformat(),
            "source": {"issuer": "Đài KTTV Bắc Bộ", "number": f"{number}/BTB", "time": None},
        }
        alert = _Alert(
            number, f"{day}{numbers[day]:03}", "alert", state, unit, document, created, expires,
            variant=f"{event} {chosen}",
        )  # fmt: skip
        if unit.unit_id in last and alert.begun and left >= len(_NOW) and rng.random() < 0.12:
            _follow(rng, alert, last.pop(unit.unit_id))
        if alert.begun and alert.kind in ("alert", "update"):
            last[unit.unit_id] = alert
        yield alert


def _pick(rng: random.Random, weights: Mapping[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _follow(rng: random.Random, alert: _Alert, before: _Alert) -> None:
    alert.kind = _pick(rng, _FOLLOW_UPS)
    alert.predecessor_id, alert.root_id = before.alert_id, before.root_id or before.alert_id
    alert.sequence, before.superseded_by = before.sequence + 1, alert.alert_id
    if alert.kind != "update":
        alert.state = "expired"


def _area(
    rng: random.Random, unit: _Unit, units: Sequence[_Unit], groups: Sequence[str]
) -> dict[str, Any]:
    """Return the issuer's own ground, some units, a former district or a circle."""
    chance = rng.random()
    if chance < 0.1:
        return {"groups": [rng.choice(groups)]}
    if chance < 0.13:
        return {"circles": [{"lon": unit.lon, "lat": unit.lat, "metres": 900}]}
    chosen = [unit] if chance < 0.7 else rng.sample(units[:-1], rng.randint(2, 12))
    return {"units": [{"code": one.code, "vintage": one.vintage} for one in chosen]}


async def _copy(
    conn: Conn, rng: random.Random, alerts: Sequence[_Alert], policies: dict[str, Any]
) -> None:
    begun = [one for one in alerts if one.begun]
    for table, columns, rows in (
        ("alert", _ALERT, map(_alert_row, alerts)),
        ("alert_version", "alert_id version content saved_by saved_at problems", (
            (one.alert_id, 1, one.document, one.unit.author_id, one.created, []) for one in alerts
        )),
        ("alert_snapshot", "alert_id version canonical content_hash approved_at", (
            (one.alert_id, 1, *canonical(_document(one, policies)), one.approved) for one in begun
        )),
        ("audience", "alert_id people ids ids_hash chain_hash frozen_at expanded_at", (
            (one.alert_id, rng.randint(500, 900_000), b"", _HASH, _HASH, one.approved, one.approved)
            for one in begun
        )),
        ("progress", "alert_id channel pending handed_off confirmed seen failed", (
            (one.alert_id, channel, 900 if one.state == "sending" else 0,
             *(rng.randint(0, 90_000) for _ in range(3)), rng.randint(0, 900))
            for one in begun for channel in ("push", "sms", "email")
        )),
        ("notice", "unit_id alert_id class event at", (
            (one.unit.unit_id, one.alert_id, one.document["class"], one.document["event"],
             one.approved) for one in begun if one.kind in ("alert", "update", "all_clear")
        )),
        ("audit", "at official_id action subject subject_id", _trail(alerts)),
    ):  # fmt: skip
        await conn.copy_records_to_table(
            table, columns=columns.split(), records=list(rows), timeout=600
        )


_ALERT = (
    "alert_id code cap_identifier kind state class lane event title unit_id author_id"
    " predecessor_id root_id sequence created_at updated_at submitted_by submitted_at"
    " approved_version approved_by approved_at expires started_at first_handoff_at sent_at"
    " ended_by ended_at ended_reason superseded_by"
)


def _alert_row(one: _Alert) -> tuple[Any, ...]:
    content, decided = one.document, one.state in ("returned", "rejected", "stopped")
    submitted = one.state != "draft"
    approved = one.approved if one.begun else None
    ended = one.approved + timedelta(minutes=3) if decided else None
    return (
        one.alert_id, one.code, f"urn:hanoi-alerts:{one.code}", one.kind, one.state,
        content["class"], LANES[content["class"]], content["event"],
        content["wording"]["vi"]["page"]["headline"], one.unit.unit_id, one.unit.author_id,
        one.predecessor_id, one.root_id, one.sequence, one.created, one.approved,
        one.unit.author_id if submitted else None, one.created if submitted else None,
        1 if one.begun else None, one.unit.approver_id if one.begun else None, approved,
        one.expires, approved, approved, approved if one.state in ("sent", "expired") else None,
        one.unit.approver_id if decided else None, ended, "Thêm giờ và nơi." if decided else None,
        one.superseded_by,
    )  # fmt: skip


def _document(one: _Alert, policies: dict[str, Any]) -> dict[str, Any]:
    """Return what was approved, as `approval` writes it."""
    return {
        "alert_id": one.alert_id, "code": one.code,
        "cap_identifier": f"urn:hanoi-alerts:{one.code}", "status": "Actual", "kind": one.kind,
        "root_id": one.root_id or one.alert_id, "sequence": one.sequence,
        "predecessor_id": one.predecessor_id, "unit_id": one.unit.unit_id,
        "unit_name": one.unit.name, "unit_name_en": one.unit.name_en, "version": 1,
        "approved_at": one.approved.isoformat(), "vintage": one.unit.vintage,
        "content": one.document, "policy": policies[one.document["class"]],
    }  # fmt: skip


def _trail(alerts: Iterable[_Alert]) -> Iterator[tuple[Any, ...]]:
    for one in alerts:
        yield one.created, one.unit.author_id, "alert.created", "alert", one.alert_id
        if one.begun:
            yield one.created, one.unit.author_id, "alert.submitted", "alert", one.alert_id
            yield one.approved, one.unit.approver_id, "alert.approved", "alert", one.alert_id
            for action in ("alert.sending", "alert.sent", "alert.expired"):
                yield one.approved, None, action, "alert", one.alert_id


_INCIDENT = (
    "incident_id code state category urgency title alert_id unit_id x y place_source opened_at"
    " updated_at"
)
_REPORT = (
    "report_id code channel received_at text alert_id match_reason unit_id x y place_source"
    " place_confidence"
)


async def _incidents(
    conn: Conn, rng: random.Random, now: datetime, units: Sequence[_Unit], alerts: Sequence[_Alert]
) -> None:
    """Write what came back: an incident of two reports for every fifth alert, 300 still open."""
    answered = [one for one in alerts[::5] if one.begun]
    urgencies = ("life_threatening", "urgent", "normal")
    incidents, reports, links = [], [], []
    for number, one in enumerate(answered, 1):
        state = "received" if number > len(answered) - 300 else "closed"
        unit, at = rng.choice(units[:-1]), one.approved
        x, y = int(unit.lon * 100_000), int(unit.lat * 100_000)
        incidents.append((number, f"SC-{number}", state, "flooded", rng.choice(urgencies),
                          "Ngập 0,5 m, xe chết máy", one.alert_id, unit.unit_id, x, y, "given",
                          at, at))  # fmt: skip
        for report in (2 * number - 1, 2 * number):
            reports.append((report, f"PA-{report}", "app", at, "Ngõ 84 ngập 0,5 m, xe chết máy",
                            one.alert_id, "named", unit.unit_id, x, y, "given", 0.9))  # fmt: skip
            links.append((report, number, at))
    for table, columns, rows in (
        ("incident", _INCIDENT, incidents),
        ("report", _REPORT, reports),
        ("incident_report", "report_id to_incident at", links),
    ):
        await conn.copy_records_to_table(table, columns=columns.split(), records=rows, timeout=600)
