"""Sending dead letters again: chosen ones or whole groups, while their alerts are in force.

Letters are taken under the lock of their alert and marked in the transaction that moves their
deliveries and writes their batches, so that a second click finds nothing left to take.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from broadcaster import audit
from broadcaster.alerts import lifecycle
from broadcaster.db import Conn, Pool, transaction
from broadcaster.errors import NotAllowed, Refused
from broadcaster.fanout import batches, dead_letters, direct, letters, listed_only
from broadcaster.fanout.dead_letters import Filters, Scope
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.policy import CHANNELS
from broadcaster.people import endpoints, exercise_recipients
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.states import DELIVERY_REPLAYS, DeliveryState

ROLES = ("approver", "admin")
MOST = 50_000
"""Letters one request sends again; whoever has more asks again."""
_AT_ONCE = 5_000
"""Letters of one transaction: it holds the counts of their alert for a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    again: int
    """Letters under way again."""
    left: int
    """Letters of the choice that stayed: over, replaced, or their endpoints retired."""


async def replay(
    pool: Pool,
    actor: Actor,
    now: datetime,
    filters: Filters,
    *,
    retired: bool = False,
) -> Replayed:
    """Send the letters again that the filters choose and that can still reach somebody.

    With `retired` also those whose endpoints were retired on a carrier's word: these are used
    again. Letters that came to lie there after `filters.until` are not taken, so that a button
    pressed twice sends once. Raises NotAllowed without a role for it, Refused without a choice.
    """
    if filters.until is None or not (filters.letter_ids or filters.alert_id or filters.direct):
        raise nothing_chosen()
    scope = await _scope(pool, actor)
    chosen = replace(filters, in_force=True)
    again = 0
    async with pool.acquire() as conn:
        alerts = await _alerts(conn, scope, chosen, now)
    for alert_id in alerts:
        while again < MOST:
            async with transaction(pool) as conn:
                done = await _some(conn, actor, now, scope, chosen, alert_id, retired=retired)
            again += done
            if done < _AT_ONCE:
                break
    async with pool.acquire() as conn:
        condition, values = dead_letters.where(scope, replace(chosen, in_force=False), now)
        left: int = await conn.fetchval(
            f"SELECT count(*) {dead_letters.FROM} WHERE {condition}", *values
        )
    return Replayed(again, left)


def nothing_chosen() -> Refused:
    """Return the refusal of a request that names no letters."""
    return Refused(
        "nothing_chosen",
        "Chọn tin hoặc nhóm cần gửi lại, trong một cảnh báo hoặc trong các tin riêng.",
        "Choose letters or a group, of one alert or of the direct messages.",
    )


async def _scope(pool: Pool, actor: Actor) -> Scope:
    """Return whose letters the actor may send again; what carriers get is no trainee's to send."""
    if actor.training:
        raise NotAllowed(
            "training_account",
            "Gửi lại là gửi tới người thật; tài khoản tập huấn không làm được. Dùng tài khoản"
            " chính thức.",
            "Sending again reaches people, so a training account may not. Use an account on duty.",
        )
    async with pool.acquire() as conn:
        seen = await dead_letters.scope_of(conn, actor)
        units = await authority_so_far(conn, actor, *ROLES)
    if not units:
        raise NotAllowed(
            "may_not_replay",
            "Chỉ người duyệt hoặc quản trị viên được gửi lại.",
            "Only approvers and admins send again.",
        )
    return Scope(units, seen.direct)


async def _alerts(conn: Conn, scope: Scope, filters: Filters, now: datetime) -> list[int | None]:
    """Return the alerts of the choice; None stands for direct messages."""
    condition, values = dead_letters.where(scope, filters, now)
    rows = await conn.fetch(
        f"SELECT DISTINCT l.alert_id {dead_letters.FROM} WHERE {condition} ORDER BY 1", *values
    )
    return [row["alert_id"] for row in rows]


async def _some(
    conn: Conn, actor: Actor, now: datetime, scope: Scope, filters: Filters,
    alert_id: int | None, *, retired: bool,
) -> int:  # fmt: skip
    """Send some letters of one alert again, or some direct messages; returns how many."""
    # From here on nobody else replays this alert; it may also be over since the page was made.
    if alert_id is not None and not await lifecycle.reopen(conn, now, alert_id):
        return 0
    rows = await _take(conn, now, scope, filters, alert_id, retired=retired)
    if not rows:
        return 0
    back = 0
    if retired:
        back = await endpoints.bring_back(conn, [row["endpoint_id"] for row in rows])
    if alert_id is None:
        await direct.send_again(conn, now, [row["message_id"] for row in rows])
    else:
        await _again(conn, now, alert_id, rows)
    await letters.replayed(conn, now, [row["letter_id"] for row in rows])
    kind = "direct_message" if alert_id is None else "alert"
    await audit.record(
        conn, actor.official_id, now, f"{kind}.replayed", kind, alert_id,
        letters=len(rows), brought_back=back, **_said(filters),
    )  # fmt: skip
    return len(rows)


async def _take(
    conn: Conn, now: datetime, scope: Scope, filters: Filters, alert_id: int | None,
    *, retired: bool,
) -> list[asyncpg.Record]:  # fmt: skip
    chosen = replace(filters, alert_id=alert_id, direct=alert_id is None)
    condition, values = dead_letters.where(scope, chosen, now)
    values += [retired, endpoints.LEFT]
    usable = (
        f"(e.state = 'active' OR (${len(values) - 1}::boolean AND e.state = 'retired'"
        f" AND e.retired_reason <> ${len(values)}))"
        # Of an exercise, to those who are on the list still.
        " AND (NOT EXISTS (SELECT FROM alert n WHERE n.alert_id = l.alert_id"
        f"   AND n.{listed_only.NARROWED})"
        f"  OR {exercise_recipients.ENROLLED.format('e.endpoint_id')})"
    )
    return await conn.fetch(
        "SELECT l.letter_id, l.message_id, l.endpoint_id, l.channel::text AS channel,"
        f" l.state::text AS state {dead_letters.FROM} WHERE {condition} AND {usable}"
        f" ORDER BY l.endpoint_id LIMIT {_AT_ONCE} FOR UPDATE OF l",
        *values,
    )


async def _again(conn: Conn, now: datetime, alert_id: int, rows: list[asyncpg.Record]) -> None:
    """Move what failed back to pending and give every letter's delivery a batch."""
    failed = [Move(r["endpoint_id"], DeliveryState.PENDING) for r in rows if r["state"] == "failed"]
    await move(conn, now, alert_id, failed, DELIVERY_REPLAYS)
    by_channel: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_channel[row["channel"]].append(row["endpoint_id"])
    for channel in CHANNELS:
        if by_channel[channel]:
            await batches.add(conn, alert_id, channel, [(by_channel[channel], 0)])


def _said(filters: Filters) -> dict[str, Any]:
    """Return the choice for the trail."""
    chosen = {
        "channel": filters.channel,
        "provider_id": filters.provider_id,
        "family": filters.family,
        "code": filters.reason,
        "state": filters.state,
    }
    return {name: value for name, value in chosen.items() if value is not None}
