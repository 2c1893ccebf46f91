"""Who works in a unit: the accounts that an administrator sees, and how each stands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import ROLES_OF, Actor, Role
from broadcaster.people.roles import AdminReach, admin_reach

PAGE = 50
_LETTERS = 80

_ACCOUNTS = (
    "SELECT o.official_id, o.login, o.name, o.title, o.training, o.active, o.created_at,"
    " o.signed_in_at, o.password_until, f.enrolled_at,"
    " (SELECT c.expires_at FROM enrolment_code c"
    "  WHERE c.official_id = o.official_id AND c.expires_at > $1) AS code_until,"
    f" {ROLES_OF} FROM official o LEFT JOIN second_factor f USING (official_id)"
)
# Whoever has a role anywhere in reach; in the whole city also those who have none.
_SEEN = (
    "($2 OR EXISTS (SELECT FROM official_role r WHERE r.official_id = o.official_id"
    " AND (r.unit_id = ANY($3) OR r.group_id = ANY($4))))"
)


@dataclass(frozen=True, slots=True)
class Account:
    """One account as its administrator sees it."""

    official_id: int
    login: str
    name: str
    title: str
    training: bool
    active: bool
    created_at: datetime
    signed_in_at: datetime | None
    password_until: datetime | None
    """Until when the password they were given is good; None: they chose their own."""
    enrolled_at: datetime | None
    """Since when codes of a phone are asked; None: no second factor."""
    code_until: datetime | None
    """Until when the code they were given to enrol is good."""
    roles: tuple[Role, ...]
    mine: bool
    """Whether the administrator may do something to it."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which accounts."""

    words: str = ""
    """Part of a name or a login; marks may be left out."""
    unit_ids: Collection[int] | None = None
    """With a role at one of these, or at a group with one of them."""
    role: str | None = None
    without_factor: bool = False
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some accounts, by login."""

    accounts: tuple[Account, ...]
    after: str | None
    """Where the next page begins; None: this is the last."""


async def listing(
    conn: Conn, actor: Actor, now: datetime, filters: Filters, after: str = ""
) -> Page:
    """Return a page of the accounts within an administrator's reach."""
    reach = await admin_reach(conn, actor)
    rows = await conn.fetch(
        f"{_ACCOUNTS} WHERE {_SEEN} AND o.login > $5 AND o.active = NOT $6::boolean"
        " AND ($7 = '' OR unmarked(lower(o.name || ' ' || o.login)) LIKE '%' || $7 || '%')"
        " AND ($8::integer[] IS NULL OR EXISTS (SELECT FROM official_role r"
        "  WHERE r.official_id = o.official_id AND (r.unit_id = ANY($8) OR r.group_id IN"
        "   (SELECT group_id FROM unit_group_member WHERE unit_id = ANY($8)))))"
        " AND ($9::text IS NULL OR EXISTS (SELECT FROM official_role r"
        "  WHERE r.official_id = o.official_id AND r.role = $9))"
        " AND NOT ($10::boolean AND f.enrolled_at IS NOT NULL)"
        " ORDER BY o.login LIMIT $11",
        now, *_scope(reach), after, filters.retired, await _folded(conn, filters.words),
        None if filters.unit_ids is None else list(filters.unit_ids), filters.role,
        filters.without_factor, PAGE + 1,
    )  # fmt: skip
    found = tuple(_account(row, reach) for row in rows[:PAGE])
    return Page(found, found[-1].login if len(rows) > PAGE else None)


async def counts(conn: Conn, actor: Actor) -> dict[str, int]:
    """Count the accounts in use within reach: `all` of them, and those `without_factor`."""
    reach = await admin_reach(conn, actor)
    row: Any = await conn.fetchrow(
        "SELECT count(*) AS all, count(*) FILTER (WHERE f.enrolled_at IS NULL) AS without_factor"
        " FROM official o LEFT JOIN second_factor f USING (official_id)"
        " WHERE o.active AND ($1 OR EXISTS (SELECT FROM official_role r"
        "  WHERE r.official_id = o.official_id AND (r.unit_id = ANY($2) OR r.group_id = ANY($3))))",
        *_scope(reach),
    )
    return {"all": row["all"], "without_factor": row["without_factor"]}


async def one(conn: Conn, actor: Actor, now: datetime, login: str) -> Account:
    """Return one account within reach, in use or not; raises NotFound."""
    reach = await admin_reach(conn, actor)
    row = await conn.fetchrow(
        f"{_ACCOUNTS} WHERE {_SEEN} AND o.login = $5", now, *_scope(reach), login
    )
    if row is None:
        raise NotFound(
            "no_account",
            "Không có tài khoản này trong phạm vi bạn quản trị.",
            "There is no such account where you administer.",
        )
    return _account(row, reach)


def _scope(reach: AdminReach) -> tuple[bool, list[int], list[int]]:
    groups = [group for group, units in reach.members.items() if units & reach.units]
    return reach.whole, list(reach.units), groups


async def _folded(conn: Conn, words: str) -> str:
    """Return words as names are compared: without marks and capitals, none of them a wildcard."""
    if not words.strip():
        return ""
    folded: str = await conn.fetchval(
        "SELECT regexp_replace(unmarked(lower($1)), '([%_\\\\])', '\\\\\\1', 'g')",
        words.strip()[:_LETTERS],
    )
    return folded


def _account(row: Any, reach: AdminReach) -> Account:
    roles = tuple(Role(*held) for held in row["roles"])
    fields = {name: value for name, value in row.items() if name != "roles"}
    return Account(**fields, roles=roles, mine=row["active"] and reach.covers(roles))
