"""Providers as an official sees them, and the switch by hand.

Reads what workers wrote down; the switch is the only thing here that changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotFound, Refused
from broadcaster.people.officials import Actor, require

ROLE = "admin"
"""Held at the city: a provider serves every unit."""
SWITCHES = ("on", "auto", "off")
_REASON = 500
_SHOWN = timedelta(days=1)
"""An account that no sender has had in its settings for so long is not shown."""
_RECENT = timedelta(seconds=60)
_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Event:
    """One move of a breaker or of the switch, or a link test that turned."""

    at: datetime
    what: str
    was: str
    now: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one provider account stands."""

    provider_id: int
    channel: str
    name: str
    account: str
    weight: int
    state: str
    """off, forced, open, half_open, paused, silent, standby or well: the first that holds."""
    switch: str
    switch_reason: str | None
    switch_by: str | None
    switch_at: datetime | None
    breaker: str
    breaker_detail: dict[str, Any]
    breaker_since: datetime | None
    next_try: datetime | None
    paused_until: datetime | None
    paused_reason: str | None
    silent_until: datetime | None
    """The carrier throttled us until then."""
    rate_share: float
    """Of the configured rate, while it climbs: from 0 to 1."""
    limit_shared: bool
    """False: some worker keeps its part of the limit by itself, because Valkey is away."""
    rules: list[tuple[int, float]]
    tried: int
    """Messages in the last minute, over all workers."""
    faults: int
    throttled: int
    latency: float | None
    """Mean seconds to an answer."""
    last_fault: str | None
    test_every: float | None
    tested_at: datetime | None
    test_good: bool | None
    test_reason: str | None
    test_seconds: float | None
    events: list[Event]

    @property
    def per_second(self) -> float:
        """Messages a second over the last minute."""
        return self.tried / _RECENT.total_seconds()

    @property
    def most_per_second(self) -> float | None:
        """What its rules allow on average."""
        return min((most / seconds for most, seconds in self.rules), default=None)


_STANDING = """
SELECT p.*, p.channel::text AS channel_name, o.name AS switched_by,
    coalesce(h.tried, 0) AS tried, coalesce(h.faults, 0) AS faults,
    coalesce(h.throttled, 0) AS throttled, h.seconds, h.reason AS last_fault,
    w.silent_for, w.share, w.shared
FROM provider p
LEFT JOIN official o ON o.official_id = p.switch_by
LEFT JOIN LATERAL (
    SELECT sum(tried) AS tried, sum(faults) AS faults, sum(throttled) AS throttled,
        sum(seconds) AS seconds, (array_agg(reason ORDER BY slot DESC)
            FILTER (WHERE reason IS NOT NULL))[1] AS reason
    FROM provider_health h WHERE h.provider_id = p.provider_id AND h.slot > now() - $1::interval
) h ON true
LEFT JOIN LATERAL (
    SELECT max((limits->p.provider_id::text->>'silent_for')::float) AS silent_for,
        min((limits->p.provider_id::text->>'share')::float) AS share,
        bool_and((limits->p.provider_id::text->>'shared')::boolean) AS shared
    FROM worker WHERE lease_until > now() AND limits ? p.provider_id::text
) w ON true
WHERE p.configured_at > now() - $2::interval AND ($3::int IS NULL OR p.provider_id = $3)
ORDER BY p.channel, p.weight = 0, p.weight DESC, p.provider_id
"""


async def standings(conn: Conn, now: datetime, provider_id: int | None = None) -> list[Standing]:
    """Return every provider in use, by channel, the heaviest first."""
    rows = await conn.fetch(_STANDING, _RECENT, _SHOWN, provider_id)
    events = await _events(conn, [row["provider_id"] for row in rows])
    return [_standing(row, now, events.get(row["provider_id"], [])) for row in rows]


async def standing(conn: Conn, now: datetime, provider_id: int) -> Standing:
    """Return one provider; raises NotFound."""
    found = await standings(conn, now, provider_id)
    if not found:
        raise _no_such()
    return found[0]


async def switch(
    conn: Conn, actor: Actor, now: datetime, provider_id: int, *, was: str, to: str, reason: str
) -> None:
    """Switch a provider by hand; every sender obeys within a second.

    `was` is what the official saw. Raises NotAllowed, NotFound, Refused, or Conflict when somebody
    else switched it meanwhile.
    """
    reason = " ".join(reason.split())
    _require_usable(to, reason)
    await _require_city(conn, actor)
    async with conn.transaction():
        switched = await conn.fetchval(
            "UPDATE provider SET switch = $3, switch_reason = $4, switch_by = $5, switch_at = $6"
            " WHERE provider_id = $1 AND switch = $2 RETURNING provider_id",
            provider_id,
            was,
            to,
            reason,
            actor.official_id,
            now,
        )
        if switched is None:
            await _say_why_not(conn, provider_id)
        await conn.execute(
            "INSERT INTO provider_event (provider_id, at, what, was, now, detail)"
            " VALUES ($1, $2, 'switch', $3, $4, $5)",
            provider_id,
            now,
            was,
            to,
            {"reason": reason, "by": actor.name},
        )
        await audit.record(
            conn, actor.official_id, now, "provider_switched", "provider", provider_id,
            was=was, to=to, reason=reason,
        )  # fmt: skip


def _require_usable(to: str, reason: str) -> None:
    if to not in SWITCHES:
        raise Refused(
            "switch_unknown",
            "Chọn một trong: luôn dùng, tự động, tắt.",
            "Choose one of: on, auto, off.",
        )
    if not reason or len(reason) > _REASON:
        raise Refused(
            "switch_reason",
            f"Ghi lý do, nhiều nhất {_REASON} chữ: người trực sau sẽ đọc.",
            f"Write the reason, at most {_REASON} letters: who is on duty next will read it.",
        )


async def may_switch(conn: Conn, actor: Actor) -> bool:
    """Say whether an official is in charge of the city's providers."""
    try:
        await _require_city(conn, actor)
    except Refused:
        return False
    return True


async def _require_city(conn: Conn, actor: Actor) -> None:
    city = await conn.fetchval(
        "SELECT unit_id FROM unit WHERE parent_id IS NULL AND valid_to IS NULL"
        " AND kind = 'city' ORDER BY unit_id LIMIT 1"
    )
    await require(conn, actor, ROLE, [] if city is None else [city])


async def _say_why_not(conn: Conn, provider_id: int) -> None:
    if await conn.fetchval("SELECT true FROM provider WHERE provider_id = $1", provider_id):
        raise Conflict(
            "switched_meanwhile",
            "Người khác vừa chuyển nhà cung cấp này. Tải lại trang để xem, rồi quyết định.",
            "Somebody else has just switched this provider. Reload the page, look, then decide.",
        )
    raise _no_such()


def _no_such() -> NotFound:
    return NotFound(
        "provider",
        "Không có nhà cung cấp này; xem danh sách ở trang Nhà cung cấp.",
        "There is no such provider; see the list on the page of providers.",
    )


async def _events(conn: Conn, provider_ids: list[int]) -> dict[int, list[Event]]:
    rows = await conn.fetch(
        "SELECT e.* FROM unnest($1::int[]) AS p (provider_id) CROSS JOIN LATERAL ("
        " SELECT * FROM provider_event e WHERE e.provider_id = p.provider_id"
        " ORDER BY event_id DESC LIMIT $2) e ORDER BY e.event_id DESC",
        provider_ids,
        _EVENTS,
    )
    found: dict[int, list[Event]] = {}
    for row in rows:
        event = Event(row["at"], row["what"], row["was"], row["now"], row["detail"])
        found.setdefault(row["provider_id"], []).append(event)
    return found


def _standing(row: asyncpg.Record, now: datetime, events: list[Event]) -> Standing:
    paused = row["paused_until"] if row["paused_until"] and row["paused_until"] > now else None
    silent = now + timedelta(seconds=row["silent_for"]) if row["silent_for"] else None
    return Standing(
        provider_id=row["provider_id"],
        channel=row["channel_name"],
        name=row["name"],
        account=row["account"],
        weight=row["weight"],
        state=_state(row, paused, silent),
        switch=row["switch"],
        switch_reason=row["switch_reason"],
        switch_by=row["switched_by"],
        switch_at=row["switch_at"],
        breaker=row["breaker"],
        breaker_detail=row["breaker_detail"],
        breaker_since=row["breaker_since"],
        next_try=row["next_try"] if row["breaker"] == "open" else None,
        paused_until=paused,
        paused_reason=row["paused_reason"] if paused else None,
        silent_until=silent,
        rate_share=1.0 if row["share"] is None else row["share"],
        limit_shared=row["shared"] is not False,
        rules=[(most, seconds) for most, seconds in row["setup"].get("rules", [])],
        tried=row["tried"],
        faults=row["faults"],
        throttled=row["throttled"],
        latency=row["seconds"] / row["tried"] if row["tried"] else None,
        last_fault=row["last_fault"],
        test_every=row["setup"].get("test_every"),
        tested_at=row["tested_at"],
        test_good=row["test_good"],
        test_reason=row["test_reason"],
        test_seconds=row["test_seconds"],
        events=events,
    )


def _state(row: asyncpg.Record, paused: datetime | None, silent: datetime | None) -> str:
    """Return the one word for it: the first that holds, as the fleet judges."""
    if row["switch"] == "off":
        return "off"
    if row["switch"] == "on" and row["breaker"] != "closed":
        return "forced"
    if row["breaker"] != "closed":
        return str(row["breaker"])
    if paused:
        return "paused"
    if silent:
        return "silent"
    return "well" if row["weight"] else "standby"
