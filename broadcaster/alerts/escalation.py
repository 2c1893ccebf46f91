"""Asking for an approval, and asking others when nobody answers.

Writes approval_ask and approval_substitute.

The first to be asked are the approvers nearest to the issuing unit; after the minutes of the
class's policy the next ones are, and whoever was named to stand in. A step is one row, written in
one transaction with its messages: a clockwork that dies has taken it or has not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from broadcaster import audit
from broadcaster.alerts import (
    approval_calls,
    approval_policy,
    approver_checks,
    authority,
    draft,
)
from broadcaster.alerts.approval_policy import Asked, EscalationStep
from broadcaster.alerts.authority import Answer, Bar, Candidate
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, Refused
from broadcaster.people.officials import Actor, require

AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Ask:
    """One step that was taken: who was asked when, and when others will be."""

    step: int
    asked_at: datetime
    names: tuple[str, ...]
    substitutes: tuple[str, ...]
    """Those among them who stand in."""
    next_at: datetime | None
    reminds: bool = False
    """All of them had been asked before."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How far the asking for one version is."""

    asks: tuple[Ask, ...]
    next_names: tuple[str, ...]
    """Who is asked at the next step, as things stand."""
    next_reminds: bool = False
    """All of them were asked already: it is a reminder, and nobody else is left."""

    @property
    def anybody(self) -> bool:
        """Whether anybody was asked at all."""
        return any(one.names for one in self.asks)

    @property
    def next_at(self) -> datetime | None:
        """When others are asked; None when nobody is left to ask."""
        return self.asks[-1].next_at if self.asks else None


@dataclass(frozen=True, slots=True)
class Planned:
    """Whom a step asks."""

    officials: tuple[int, ...]
    substitutes: tuple[int, ...]


def plan(
    answer: Answer, step: EscalationStep | None, asked: Collection[int], standing_in: Sequence[int]
) -> Planned:
    """Say whom a step asks; the first, which has no rule, asks the nearest approvers.

    `standing_in` are those named for the issuing unit. Who was asked is no next step: only a step
    that is for everybody reminds them, and one that finds nobody new asks nobody.
    """
    able = [one for one in answer.candidates if answer.bar_of(one.official_id) in _ABLE]
    if step is None:
        found = _nearest(able, -1)
        return Planned(found or tuple(standing_in), () if found else tuple(standing_in))
    known = {one.official_id: one for one in able}
    others = [one for one in standing_in if one not in asked and one not in known]
    officials: list[int] = []
    substitutes: list[int] = []
    if Asked.SUPERIOR in step.ask:
        reached = [known[one].ring for one in asked if one in known and known[one].ring >= 0]
        above = _nearest(able, max(reached, default=-1))
        officials += [one for one in above if one not in asked]
    if Asked.SUBSTITUTES in step.ask:
        substitutes = others
        officials += substitutes
    if Asked.ALL in step.ask:
        officials = list(dict.fromkeys([*officials, *known]))
    return Planned(tuple(officials), tuple(substitutes))


_ABLE = (None, Bar.NOT_ENROLLED)


def _nearest(able: Sequence[Candidate], beyond: int) -> tuple[int, ...]:
    ring = min((one.ring for one in able if one.ring > beyond), default=None)
    return tuple(one.official_id for one in able if one.ring == ring)


async def ask_due(pool: Pool, now: datetime, public_url: str) -> int:
    """Take every step that is due; returns how many. Safe in any number of processes."""
    async with pool.acquire() as conn:
        due = await conn.fetch(f"{_DUE_OF} ORDER BY a.lane, a.alert_id LIMIT $2", now, AT_ONCE)
        taken = 0
        for row in due:
            async with conn.transaction():
                taken += await _take(conn, now, public_url, row["alert_id"])
        return taken


_LAST = (
    " LEFT JOIN LATERAL (SELECT step, asked_at, next_at FROM approval_ask k"
    "  WHERE k.alert_id = a.alert_id AND k.version = a.version"
    "  ORDER BY step DESC LIMIT 1) k ON true"
)
_DUE_OF = (
    f"SELECT a.alert_id, coalesce(k.step + 1, 0) AS number FROM alert a{_LAST}"
    " WHERE a.state = 'submitted' AND (k.step IS NULL OR k.next_at <= $1)"
)


async def _take(conn: Conn, now: datetime, public_url: str, alert_id: int) -> bool:
    """Take the next step of one alert; False when it was decided on, or somebody else took it."""
    held = await conn.fetchval(
        "SELECT alert_id FROM alert WHERE alert_id = $1 AND state = 'submitted'"
        " FOR UPDATE SKIP LOCKED",
        alert_id,
    )
    # Looked at once more under the lock: another process may have taken the step just before it.
    due = await conn.fetchrow(f"{_DUE_OF} AND a.alert_id = $2", now, alert_id)
    if held is None or due is None:
        return False
    alert = await draft.find(conn, alert_id)
    case = await _case(conn, alert)
    if due["number"] > len(case.steps):
        return False
    number, planned = case.from_step(due["number"])
    asked = case.asked | set(planned.officials)
    next_at = case.next_at(number, asked, now)
    await conn.execute(
        "INSERT INTO approval_ask (alert_id, version, step, asked_at, officials, substitutes,"
        " next_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        alert_id, alert.version, number, now, list(planned.officials), list(planned.substitutes),
        next_at,
    )  # fmt: skip
    told = 0
    if planned.officials:
        told = await approval_calls.send(
            conn, now, public_url, alert, planned.officials, str(number), again=number > 0
        )
    if not planned.officials and number:
        return True
    action = "alert.approval_asked" if planned.officials else "alert.approval_nobody"
    await audit.record(
        conn, None, now, action, "alert", alert_id, version=alert.version,
        step=number, officials=list(planned.officials), messages=told,
    )  # fmt: skip
    return True


@dataclass(frozen=True, slots=True)
class _Case:
    """What decides whom the steps of one alert ask."""

    steps: tuple[EscalationStep, ...]
    answer: Answer
    asked: frozenset[int]
    standing_in: tuple[int, ...]

    def of_step(self, number: int, asked: Collection[int]) -> Planned:
        rule = self.steps[number - 1] if number else None
        return plan(self.answer, rule, asked, self.standing_in)

    def from_step(self, number: int) -> tuple[int, Planned]:
        """Return the first step from this one that asks somebody; the last where none does."""
        for one in range(number, len(self.steps) + 1):
            planned = self.of_step(one, self.asked)
            # That nobody could be asked first is for everybody to see at once.
            if planned.officials or one == 0:
                return one, planned
        return len(self.steps), Planned((), ())

    def next_at(self, number: int, asked: Collection[int], now: datetime) -> datetime | None:
        """Say when the next one is asked: a clockwork that was away does not rush on."""
        before = self.steps[number - 1].after_minutes if number else 0
        for one in range(number + 1, len(self.steps) + 1):
            # Roles change: while nobody has been asked at all every step looks anew.
            if not asked or self.of_step(one, asked).officials:
                return now + timedelta(minutes=self.steps[one - 1].after_minutes - before)
        return None


async def _case(conn: Conn, alert: Alert, answer: Answer | None = None) -> _Case:
    version = await approval_policy.in_force(conn, authority.alert_class_of(alert))
    return _Case(
        version.policy.escalation,
        answer or await authority.of_alert(conn, alert),
        await _asked(conn, alert),
        tuple(await approver_checks.standing_in(conn, alert)),
    )


async def _asked(conn: Conn, alert: Alert) -> frozenset[int]:
    rows = await conn.fetch(
        "SELECT DISTINCT unnest(officials) AS official_id FROM approval_ask"
        " WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        alert.version,
    )
    return frozenset(row["official_id"] for row in rows)


async def progress(conn: Conn, alert: Alert, answer: Answer | None = None) -> Asking:
    """Say who was asked for an alert's approval, since when, and who is next.

    `answer` is `authority.of_alert` of it, where the caller has asked that already.
    """
    rows = await conn.fetch(
        "SELECT k.step, k.asked_at, k.next_at, k.officials, k.substitutes FROM approval_ask k"
        " WHERE k.alert_id = $1 AND k.version = $2 ORDER BY k.step",
        alert.alert_id,
        alert.version,
    )
    planned: tuple[int, ...] = ()
    if rows and rows[-1]["next_at"] is not None:
        case = await _case(conn, alert, answer)
        planned = case.from_step(rows[-1]["step"] + 1)[1].officials
    named = await _names(conn, {*planned, *(one for row in rows for one in row["officials"])})
    asks: list[Ask] = []
    known: set[int] = set()
    for row in rows:
        officials = set(row["officials"])
        asks.append(
            Ask(
                row["step"],
                row["asked_at"],
                tuple(named[one] for one in row["officials"]),
                tuple(named[one] for one in row["substitutes"]),
                row["next_at"],
                reminds=bool(officials) and officials <= known,
            )
        )
        known |= officials
    return Asking(
        tuple(asks),
        tuple(named[one] for one in planned),
        next_reminds=bool(planned) and set(planned) <= known,
    )


async def _names(conn: Conn, official_ids: Collection[int]) -> dict[int, str]:
    rows = await conn.fetch(
        "SELECT official_id, name FROM official WHERE official_id = ANY($1)", list(official_ids)
    )
    return {row["official_id"]: row["name"] for row in rows}


async def name_substitute(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, official: Actor
) -> None:
    """Name who stands in for a unit's approvers once they have not answered.

    Raises NotAllowed (no admin there), Refused (they approve nowhere), Conflict (named already).
    """
    await require(conn, actor, "admin", [unit_id])
    if not official.holds("approver") or official.training:
        raise Refused(
            "not_an_approver",
            "Người này không có vai trò duyệt ở đâu cả. Chọn một người duyệt.",
            "This person approves nowhere. Choose an approver.",
        )
    await _change_substitute(
        conn, actor, now, unit_id, official, "approval.substitute_named",
        "INSERT INTO approval_substitute (unit_id, official_id, named_by, named_at)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING substitute_id",
        Conflict(
            "substitute_named",
            "Người này đã là người thay của đơn vị.",
            "This person stands in for the unit already.",
        ),
    )  # fmt: skip


async def end_substitute(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, official: Actor
) -> None:
    """End a stand-in's turn; raises NotAllowed, Conflict (not named)."""
    await require(conn, actor, "admin", [unit_id])
    await _change_substitute(
        conn, actor, now, unit_id, official, "approval.substitute_ended",
        "UPDATE approval_substitute SET ended_by = $3, ended_at = $4"
        " WHERE unit_id = $1 AND official_id = $2 AND ended_at IS NULL RETURNING substitute_id",
        Conflict(
            "no_substitute",
            "Người này không phải người thay của đơn vị.",
            "This person does not stand in for the unit.",
        ),
    )  # fmt: skip


async def _change_substitute(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, official: Actor,
    action: str, statement: str, otherwise: Conflict,
) -> None:  # fmt: skip
    """Write one row of who stands in where, with its line of the trail; or refuse."""
    async with conn.transaction():
        changed = await conn.fetchval(
            statement, unit_id, official.official_id, actor.official_id, now
        )
        if changed is None:
            raise otherwise
        await audit.record(
            conn, actor.official_id, now, action, "unit", unit_id, official=official.official_id
        )


async def substitutes(conn: Conn) -> list[Any]:
    """List who stands in where: rows of unit_id, unit, login, name, named_at."""
    return list(
        await conn.fetch(
            "SELECT s.unit_id, u.name AS unit, o.login, o.name, s.named_at"
            " FROM approval_substitute s JOIN unit u USING (unit_id)"
            " JOIN official o USING (official_id) WHERE s.ended_at IS NULL"
            " ORDER BY u.code, o.login"
        )
    )
