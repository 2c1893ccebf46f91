"""Dead letters as officials see them: what lies there, why, in which groups, and as a file.

Letters of alerts are for those whose roles reach the issuing unit; those of direct messages
(codes, acknowledgements, reminders) for admins of the whole city.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reasons import MEANINGS, Family, Meaning
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.people.addresses import masked
from broadcaster.people.officials import Actor, is_city_admin

PAGE = 50
MOST_GROUPS = 100
STATES = ("failed", "unknown")


@dataclass(frozen=True, slots=True)
class Scope:
    """What an official may see: alerts of these units, and whether direct messages too."""

    units: frozenset[int]
    direct: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters; what is None or empty does not narrow."""

    alert_id: int | None = None
    direct: bool = False
    """Direct messages alone."""
    channel: str | None = None
    provider_id: int | None = None
    family: str | None = None
    reason: str | None = None
    state: str | None = None
    in_force: bool = True
    """Only what could still be sent again: alerts and messages that are not over."""
    letter_ids: tuple[int, ...] = ()
    """These and no others."""
    until: datetime | None = None
    """Only those that lay there by then."""


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one alert with one code, of one provider and channel, that ended alike."""

    alert_code: str | None
    """None: direct messages."""
    channel: str
    provider_id: int | None
    provider: str
    """Name and account; empty where no carrier had it."""
    family: str
    reason: str
    state: str
    count: int
    usable: int
    """Of them, letters of alerts in force whose endpoints are in use: those a replay takes."""
    retired: int
    """Of them, in force, with retired endpoints: those a replay takes only when told to."""
    newest: datetime

    @property
    def meaning(self) -> Meaning:
        """Return the reason in words."""
        return meaning_of(self.family)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; its address is masked."""

    letter_id: int
    alert_code: str | None
    """None for a direct message."""
    purpose: str | None
    """Of a direct message."""
    channel: str
    provider: str
    address: str
    state: str
    family: str
    reason: str
    at: datetime
    replays: int
    usable: bool
    endpoint_retired: bool

    @property
    def meaning(self) -> Meaning:
        """Return the reason in words."""
        return meaning_of(self.family)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of letters, the newest first; `after` asks for the next, None at the end."""

    letters: list[Letter]
    after: int | None


def meaning_of(family: str) -> Meaning:
    """Return a family's words; one that an older program wrote is told as `other`."""
    known = family in Family.__members__.values()
    return MEANINGS[Family(family) if known else Family.OTHER]


async def scope_of(conn: Conn, actor: Actor) -> Scope:
    """Return what an official may see."""
    return Scope(await draft.visible_units(conn, actor), await is_city_admin(conn, actor))


async def whole(conn: Conn) -> Scope:
    """Return the scope of whoever may read the database itself: the command line."""
    rows = await conn.fetch("SELECT unit_id FROM unit")
    return Scope(frozenset(row["unit_id"] for row in rows), direct=True)


# An alert that something newer has taken the place of is not sent again, whatever its end. The few
# alerts in force are found once, not for each letter.
_IN_FORCE = """(m.expires > $1 OR l.alert_id IN (
    SELECT o.alert_id FROM alert o WHERE o.expires > $1 AND o.state IN ('sending', 'sent')
        AND NOT EXISTS (SELECT FROM alert n WHERE n.root_id = coalesce(o.root_id, o.alert_id)
            AND n.sequence > o.sequence AND n.started_at IS NOT NULL)))"""
FROM = """
FROM dead_letter l LEFT JOIN alert a USING (alert_id) LEFT JOIN direct_message m USING (message_id)
LEFT JOIN endpoint e ON e.endpoint_id = l.endpoint_id
LEFT JOIN provider p ON p.provider_id = l.provider_id
"""
_PROVIDER = "coalesce(p.name || ' ' || p.account, '')"


def where(scope: Scope, filters: Filters, now: datetime) -> tuple[str, list[Any]]:
    """Return the condition on `l`, `a` and `m`, and its values; the first value is `now`."""
    values: list[Any] = [now]

    def place(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    # The moment is always asked for, so that the first value has a type in every question.
    parts = ["l.replayed_at IS NULL", "$1::timestamptz IS NOT NULL"]
    units = place(list(scope.units))
    parts.append(f"(a.unit_id = ANY({units}::int[]) OR (l.message_id IS NOT NULL AND"
                 f" {place(scope.direct)}::boolean))")  # fmt: skip
    if filters.direct:
        parts.append("l.message_id IS NOT NULL")
    if filters.in_force:
        parts.append(_IN_FORCE)
    for column, value in (
        ("l.alert_id", filters.alert_id),
        ("l.channel::text", filters.channel),
        ("l.provider_id", filters.provider_id),
        ("l.family", filters.family),
        ("l.reason", filters.reason),
        ("l.state::text", filters.state),
    ):
        if value is not None:
            parts.append(f"{column} = {place(value)}")
    if filters.letter_ids:
        parts.append(f"l.letter_id = ANY({place(list(filters.letter_ids))}::bigint[])")
    if filters.until is not None:
        parts.append(f"l.at <= {place(filters.until)}")
    return " AND ".join(parts), values


async def groups(conn: Conn, now: datetime, scope: Scope, filters: Filters) -> list[Group]:
    """Return the letters in groups by alert, reason, provider and channel, the largest first."""
    condition, values = where(scope, filters, now)
    rows = await conn.fetch(
        "SELECT a.code AS alert_code, l.channel::text AS channel, l.provider_id,"
        f" {_PROVIDER} AS provider, l.family,"
        " l.reason, l.state::text AS state, count(*)::int AS count,"
        f" (count(*) FILTER (WHERE e.state = 'active' AND {_IN_FORCE}))::int AS usable,"
        f" (count(*) FILTER (WHERE e.state = 'retired' AND {_IN_FORCE}))::int AS retired,"
        f" max(l.at) AS newest {FROM} WHERE {condition}"
        " GROUP BY a.code, l.channel, l.provider_id, p.name, p.account, l.family, l.reason, l.state"
        f" ORDER BY count(*) DESC, 1, 2, 3, 6 LIMIT {MOST_GROUPS}",
        *values,
    )
    return [Group(**dict(row)) for row in rows]


async def letters(
    conn: Conn,
    keyring: Keyring,
    now: datetime,
    scope: Scope,
    filters: Filters,
    *,
    after: int | None = None,
    limit: int = PAGE,
) -> Page:
    """Return a page of letters, the newest first."""
    condition, values = where(scope, filters, now)
    values += [after, limit + 1]
    rows = await conn.fetch(
        "SELECT l.letter_id, a.code AS alert_code, m.purpose, l.channel::text AS channel,"
        f" {_PROVIDER} AS provider, l.state::text AS state, l.family, l.reason, l.at, l.replays,"
        f" coalesce(e.state = 'active' AND {_IN_FORCE}, false) AS usable,"
        " coalesce(e.state = 'retired', true) AS endpoint_retired, l.endpoint_id, e.address_enc"
        f" {FROM} WHERE {condition}"
        f" AND (${len(values) - 1}::bigint IS NULL OR l.letter_id < ${len(values) - 1})"
        f" ORDER BY l.letter_id DESC LIMIT ${len(values)}",
        *values,
    )
    found = [_letter(keyring, dict(row)) for row in rows[:limit]]
    return Page(found, found[-1].letter_id if len(rows) > limit else None)


def _letter(keyring: Keyring, row: dict[str, Any]) -> Letter:
    endpoint_id, sealed = row.pop("endpoint_id"), row.pop("address_enc")
    try:
        opened = keyring.unseal(sealed or b"", "endpoint", "address_enc", endpoint_id).decode()
        address = masked(row["channel"], opened)
    except UndecipherableError:
        address = "…"
    return Letter(**row, address=address)


async def every(
    conn: Conn, keyring: Keyring, now: datetime, scope: Scope, filters: Filters
) -> AsyncIterator[Sequence[Letter]]:
    """Give all letters, some at a time, for a file; what arrives meanwhile is left out."""
    bound, after = replace(filters, until=filters.until or now), None
    while True:
        page = await letters(conn, keyring, now, scope, bound, after=after, limit=2_000)
        yield page.letters
        after = page.after
        if after is None:
            return


async def filters_of(
    conn: Conn, actor: Actor | None, given: Mapping[str, str], until: datetime | None = None
) -> Filters:
    """Read filters as addresses and the command line write them; raises NotFound, Refused.

    `alert` is a code or `direct`; `show=all` also shows what cannot be sent again. Without an
    actor any alert may be named.
    """
    alert = given.get("alert", "").strip()
    alert_id = None
    if alert and alert != "direct":
        found = await (draft.find(conn, alert) if actor is None else _visible(conn, actor, alert))
        alert_id = found.alert_id
    return Filters(
        alert_id=alert_id,
        direct=alert == "direct",
        channel=_one_of(given, "channel", CHANNELS),
        provider_id=_number(given, "provider"),
        family=_one_of(given, "family", tuple(Family)),
        reason=given.get("reason"),
        state=_one_of(given, "state", STATES),
        in_force=given.get("show") != "all",
        until=until,
    )


async def _visible(conn: Conn, actor: Actor, code: str) -> Alert:
    found = await draft.find(conn, code)
    if found.unit_id not in await draft.visible_units(conn, actor):
        raise draft.no_such_alert(code)
    return found


def _number(given: Mapping[str, str], name: str) -> int | None:
    value = given.get(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) < 5):
        raise Refused(
            f"bad_{name}",
            f"Tham số {name} phải là một số.",
            f"The parameter {name} has to be a number.",
        )
    return int(value) if value else None


def _one_of(given: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    value = given.get(name, "")
    if value and value not in known:
        raise Refused(
            f"bad_{name}",
            f"Không có {name} “{value}”. Chọn một trong: {', '.join(known)}.",
            f"There is no {name} “{value}”. Choose one of {', '.join(known)}.",
        )
    return value or None
