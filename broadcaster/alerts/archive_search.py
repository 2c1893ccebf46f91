"""The archive: alerts of an official's reach by what they say, where, when, and by whom.

Newest first, page by page from the last line of the page before: whatever comes in meanwhile, no
line is told twice and none is left out. Reads only.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broadcaster.alerts import draft
from broadcaster.alerts.archive_terms import MOMENT, Terms, conditions
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import Actor

COUNTED = 1_000
"""More than so many are not counted: nobody reads them, and counting them takes longest."""
_LOOKED_THROUGH = 1_000
"""Of the newest, so many are read for words that many alerts have."""
_FEW = 1_000
"""So many alerts' words are sooner read one by one than by their index."""
_AT_ONCE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile("([0-9]{1,17})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Scope:
    """The units whose alerts an official may see; None: those of every unit there ever was."""

    unit_ids: tuple[int, ...] | None

    def condition(self, first: int) -> tuple[str, list[Any]]:
        """Return SQL about alert `a` and its arguments from $first on."""
        if self.unit_ids is None:
            return "true", []
        return f"a.unit_id = ANY(${first}::integer[])", [self.unit_ids]


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of what was found; `after` is the cursor of the next one, None at the end."""

    alerts: list[Alert]
    after: str | None


async def scope_of(conn: Conn, actor: Actor) -> Scope:
    """Return whose alerts an official finds."""
    visible = await draft.visible_units(conn, actor)
    # To look through all alerts for those of all units would take longer than to find them.
    if len(visible) == await conn.fetchval("SELECT count(*) FROM unit"):
        return Scope(None)
    return Scope(tuple(visible))


async def find(
    conn: Conn,
    scope: Scope,
    now: datetime,
    terms: Terms,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """Return a page of what fits; raises NotFound for a cursor that none of ours is."""
    where, arguments = _where(scope, now, terms)
    if after is not None:
        last = len(arguments) + 1
        where += f" AND ({MOMENT}, a.alert_id) < (${last}, ${last + 1})"
        arguments += _position(after)
    # Found first and read afterwards: to plan both at once takes far longer than either.
    async with _planned(conn):
        rows = await conn.fetch(
            f"SELECT a.alert_id FROM alert a WHERE {where}"
            f" ORDER BY {MOMENT} DESC, a.alert_id DESC LIMIT {limit + 1:d}",
            *arguments,
        )
    return _cut(await _rows(conn, [row["alert_id"] for row in rows]), limit)


async def count(conn: Conn, scope: Scope, now: datetime, terms: Terms, most: int = COUNTED) -> int:
    """Return how many fit; `most` + 1 stands for more than `most`."""
    few = await _few(conn, scope, now, terms) if terms.words else None
    if few is not None:
        return min(len(await _with_words(conn, few, terms.words)), most + 1)
    where, arguments = _where(scope, now, terms)
    async with _planned(conn):
        found: int = await conn.fetchval(
            f"SELECT count(*) FROM (SELECT FROM alert a WHERE {where} LIMIT {most + 1:d}) counted",
            *arguments,
        )
    return found


@asynccontextmanager
async def _planned(conn: Conn) -> AsyncIterator[None]:
    """Have a search planned for what it asks for: one word is in two alerts, another in all."""
    async with conn.transaction(readonly=True):
        await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield


def _where(scope: Scope, now: datetime, terms: Terms) -> tuple[str, list[Any]]:
    sql, arguments = scope.condition(first=1)
    more, values = conditions(terms, now, first=len(arguments) + 1)
    return sql + more, [*arguments, *values]


async def find_and_count(
    conn: Conn, scope: Scope, now: datetime, terms: Terms, after: str | None, limit: int
) -> tuple[Page, int]:
    """Return a page of what fits, and how many fit at all, as `find` and `count` say.

    A search by words finds all its alerts before it can order them, so they are counted there.
    """
    if not terms.words:
        page = await find(conn, scope, now, terms, after, limit)
        return page, await count(conn, scope, now, terms)
    few = await _few(conn, scope, now, terms)
    if few is not None:
        return await _among(conn, few, terms.words, after, limit)
    if await _is_common(conn, terms.words):
        newest = await _newest(conn, scope, now, terms, after, limit)
        if newest is not None:
            return newest, await _count_common(conn, scope, now, terms)
    where, arguments = _where(scope, now, terms)
    beyond = ""
    if after is not None:
        beyond = f" WHERE (moment, alert_id) < (${len(arguments) + 1}, ${len(arguments) + 2})"
        arguments += _position(after)
    async with _planned(conn):
        row = await conn.fetchrow(
            f"WITH hits AS MATERIALIZED (SELECT a.alert_id, {MOMENT} AS moment FROM alert a"
            f" WHERE {where}) SELECT (SELECT count(*) FROM hits) AS counted,"
            f" ARRAY(SELECT alert_id FROM hits{beyond}"
            f" ORDER BY moment DESC, alert_id DESC LIMIT {limit + 1:d}) AS ids",
            *arguments,
        )
    if row is None:
        raise LookupError("a query without FROM has a row")
    return _cut(await _rows(conn, row["ids"]), limit), min(row["counted"], COUNTED + 1)


async def _few(conn: Conn, scope: Scope, now: datetime, terms: Terms) -> list[int] | None:
    """Return what fits but for the words, where that is few enough to read the words of each.

    A commune's own storms of half a year are two alerts, and the words are in a thousand.
    """
    others = replace(terms, words="")
    if scope.unit_ids is None and others == Terms():
        return None
    where, arguments = _where(scope, now, others)
    async with _planned(conn):
        rows = await conn.fetch(
            f"SELECT a.alert_id FROM alert a WHERE {where} LIMIT {_FEW + 1:d}", *arguments
        )
    return [row["alert_id"] for row in rows] if len(rows) <= _FEW else None


async def _among(
    conn: Conn, ids: list[int], words: str, after: str | None, limit: int
) -> tuple[Page, int]:
    """Return a page of those alerts that have these words, and how many have them."""
    rows = await _with_words(conn, ids, words)
    last = _position(after) if after is not None else None
    found = [
        row["alert_id"] for row in rows if last is None or [row["moment"], row["alert_id"]] < last
    ]
    return _cut(await _rows(conn, found[: limit + 1]), limit), len(rows)


async def _with_words(conn: Conn, ids: list[int], words: str) -> list[Any]:
    """Return id and moment of those alerts that have these words, in the archive's order."""
    return await conn.fetch(
        f"SELECT a.alert_id, {MOMENT} AS moment FROM alert a JOIN alert_search s USING (alert_id)"
        " WHERE a.alert_id = ANY($1::bigint[])"
        " AND s.words @@ to_tsquery('pg_catalog.simple', $2)"
        " ORDER BY moment DESC, a.alert_id DESC",
        ids,
        words,
    )


async def _is_common(conn: Conn, words: str) -> bool:
    """Say whether more alerts than are counted have these words."""
    found: int = await conn.fetchval(
        "SELECT count(*) FROM (SELECT FROM alert_search"
        f" WHERE words @@ to_tsquery('pg_catalog.simple', $1) LIMIT {COUNTED + 1:d}) counted",
        words,
    )
    return found > COUNTED


async def _newest(
    conn: Conn, scope: Scope, now: datetime, terms: Terms, after: str | None, limit: int
) -> Page | None:
    """Find a page of words that many alerts have among the next thousand that fit otherwise.

    None where these do not fill it: such words may all be of one season years ago.
    """
    where, arguments = _where(scope, now, replace(terms, words=""))
    if after is not None:
        where += f" AND ({MOMENT}, a.alert_id) < (${len(arguments) + 1}, ${len(arguments) + 2})"
        arguments += _position(after)
    async with _planned(conn):
        rows = await conn.fetch(
            f"SELECT n.alert_id FROM (SELECT a.alert_id, {MOMENT} AS moment FROM alert a"
            f" WHERE {where} ORDER BY {MOMENT} DESC, a.alert_id DESC LIMIT {_LOOKED_THROUGH:d}) n"
            " JOIN LATERAL (SELECT FROM alert_search s WHERE s.alert_id = n.alert_id"
            f"  AND s.words @@ to_tsquery('pg_catalog.simple', ${len(arguments) + 1})) w ON true"
            f" ORDER BY n.moment DESC, n.alert_id DESC LIMIT {limit + 1:d}",
            *arguments,
            terms.words,
        )
    if len(rows) <= limit:
        return None
    return _cut(await _rows(conn, [row["alert_id"] for row in rows]), limit)


async def _count_common(conn: Conn, scope: Scope, now: datetime, terms: Terms) -> int:
    """Count what fits; of words alone, for whoever sees everything, it is known to be too many."""
    if scope.unit_ids is None and terms == Terms(words=terms.words):
        return COUNTED + 1
    return await count(conn, scope, now, terms)


async def _rows(conn: Conn, ids: list[int]) -> list[Alert]:
    """Read alerts by their ids, in the archive's order."""
    return await draft.select(
        conn,
        f"WHERE a.alert_id = ANY($1::bigint[]) ORDER BY {MOMENT} DESC, a.alert_id DESC",
        ids,
    )


def _cut(found: list[Alert], limit: int) -> Page:
    shown = found[:limit]
    return Page(shown, _cursor(shown[-1]) if len(found) > limit else None)


async def every(
    conn: Conn, scope: Scope, now: datetime, terms: Terms
) -> AsyncIterator[list[Alert]]:
    """Yield all that fits, some at a time, none of them twice."""
    page = await find(conn, scope, now, terms, limit=_AT_ONCE)
    while page.alerts:
        yield page.alerts
        if page.after is None:
            return
        page = await find(conn, scope, now, terms, page.after, _AT_ONCE)


def _cursor(alert: Alert) -> str:
    moment = alert.started_at or alert.created_at
    return f"{(moment - _EPOCH) // timedelta(microseconds=1)}-{alert.alert_id}"


def _position(after: str) -> list[Any]:
    cursor = _CURSOR.fullmatch(after)
    if cursor is None:
        raise NotFound(
            "bad_cursor",
            "Không có trang này. Tìm lại từ đầu.",
            "There is no such page. Search again from the beginning.",
        )
    microseconds, alert_id = (int(number) for number in cursor.groups())
    try:
        return [_EPOCH + timedelta(microseconds=microseconds), alert_id]
    except OverflowError:
        return [datetime.max.replace(tzinfo=UTC), alert_id]
