"""Whose approval a class of alerts needs, and who is asked when nobody answers: data.

Each class has a policy in versions; the newest is in force. What a policy cannot do is in the code:
an emergency is confirmed by a second factor whatever the policy says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broadcaster import audit
from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.db import Conn
from broadcaster.errors import Conflict, Refused
from broadcaster.fanout.channel_policy import Fault, require_city_admin
from broadcaster.people.officials import Actor

LONGEST_WAIT = 24 * 60
"""Minutes after which asking somebody else comes too late for any alert."""


class Who(StrEnum):
    """What an approver's role has to reach, the narrowest first."""

    UNIT = "unit"
    """The unit that issues the alert."""
    AREA = "area"
    """That unit and every one the alert covers."""
    CITY = "city"
    """The whole city."""


class Asked(StrEnum):
    """Who is asked next."""

    SUPERIOR = "superior"
    """The nearest approvers above those asked so far."""
    SUBSTITUTES = "substitutes"
    """Those named to stand in for the issuing unit's approvers."""
    ALL = "all"
    """Everybody who may approve it, once more."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EscalationStep(_Frozen):
    """Some minutes after the alert was sent for approval, others are asked."""

    after_minutes: int = Field(ge=1, le=LONGEST_WAIT)
    ask: tuple[Asked, ...] = Field(min_length=1)


class Policy(_Frozen):
    """Who approves one class of alerts: by how far it reaches."""

    own: Who = Who.UNIT
    """One commune, or less."""
    several: Who = Who.AREA
    city: Who = Who.CITY
    city_share: float = Field(0.5, gt=0, le=1)
    """From this share of the city's residents on, an alert counts as one to the whole city."""
    second_factor: bool = False
    escalation: tuple[EscalationStep, ...] = Field((), max_length=6)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as they are stored."""
        return self.model_dump(mode="json")


def _steps(asked: tuple[Asked, ...], *minutes: int, last: int) -> tuple[EscalationStep, ...]:
    steps = [EscalationStep(after_minutes=one, ask=asked) for one in minutes]
    return (*steps, EscalationStep(after_minutes=last, ask=(Asked.ALL,)))


_OTHERS = (Asked.SUPERIOR, Asked.SUBSTITUTES)
DEFAULTS: dict[AlertClass, Policy] = {
    "emergency": Policy(second_factor=True, escalation=_steps(_OTHERS, 3, 6, last=9)),
    "warning": Policy(escalation=_steps(_OTHERS, 10, 20, last=40)),
    "information": Policy(several=Who.UNIT, escalation=_steps(_OTHERS, 60, last=240)),
}
"""What the service comes with: the first versions in the database say the same."""

_WIDTH = {who: width for width, who in enumerate(Who)}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a class's policy."""

    alert_class: AlertClass
    version: int
    policy: Policy
    saved_by: str | None
    """Name of the official; None: what the service comes with."""
    saved_at: datetime


def faults(alert_class: AlertClass, policy: Policy) -> Iterator[Fault]:
    """Find what makes no sense although every field by itself is right."""
    if alert_class == "emergency" and not policy.second_factor:
        yield Fault(
            "second_factor",
            "Tin khẩn cấp luôn cần xác thực hai bước. Bật lại.",
            "An emergency always needs a second factor. Turn it on.",
        )
    for narrow, wide in (("own", "several"), ("several", "city")):
        if _WIDTH[getattr(policy, wide)] < _WIDTH[getattr(policy, narrow)]:
            yield Fault(
                wide,
                "Tin phủ rộng hơn không thể cần người duyệt hẹp hơn. Chọn phạm vi rộng hơn.",
                "What reaches further cannot need a narrower approver. Choose a wider one.",
            )
    for number, step in enumerate(policy.escalation[1:], 1):
        if step.after_minutes <= policy.escalation[number - 1].after_minutes:
            yield Fault(
                f"escalation.{number}.after_minutes",
                "Bước sau phải muộn hơn bước trước. Tăng số phút.",
                "A step comes after the one before it. Give it more minutes.",
            )


def parse(alert_class: AlertClass, document: Any) -> Policy:
    """Read a policy somebody wrote; raises Refused naming each field, with what to do."""
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        found = [
            Fault(
                ".".join(str(part) for part in one["loc"]),
                "Giá trị này không dùng được. Sửa lại.",
                f"This value cannot be used: {one['msg']}. Correct it.",
            )
            for one in error.errors()
        ]
        raise _refused(found) from error
    if found := list(faults(alert_class, policy)):
        raise _refused(found)
    return policy


def _refused(found: list[Fault]) -> Refused:
    return Refused(
        "bad_approval_policy",
        f"{found[0].field}: {found[0].message_vi}",
        f"{found[0].field}: {found[0].message_en}",
        where=found[0].field,
        problems=[
            {"field": one.field, "message_vi": one.message_vi, "message_en": one.message_en}
            for one in found
        ],
    )


_SELECT = (
    "SELECT p.class::text AS alert_class, p.version, p.policy, o.name AS saved_by, p.saved_at"
    " FROM approval_policy p LEFT JOIN official o ON o.official_id = p.saved_by"
    " WHERE p.class = $1::alert_class ORDER BY p.version DESC LIMIT $2"
)


async def history(conn: Conn, alert_class: AlertClass, limit: int = 50) -> list[Version]:
    """Return the versions of a class's policy, the newest first."""
    rows = await conn.fetch(_SELECT, alert_class, limit)
    return [
        Version(
            row["alert_class"],
            row["version"],
            Policy.model_validate(row["policy"]),
            row["saved_by"],
            row["saved_at"],
        )
        for row in rows
    ]


async def in_force(conn: Conn, alert_class: AlertClass) -> Version:
    """Return the newest version of a class's policy; raises LookupError where there is none."""
    found = await history(conn, alert_class, 1)
    if not found:
        raise LookupError(f"class {alert_class} has no approval policy")
    return found[0]


async def save(
    conn: Conn, actor: Actor, now: datetime, alert_class: AlertClass, based_on: int, policy: Policy
) -> Version:
    """Make a policy the one in force, as a new version on top of `based_on`.

    Raises NotAllowed (only an admin of the whole city), Refused (faults), Conflict (somebody
    saved another version meanwhile).
    """
    await require_city_admin(conn, actor)
    if found := list(faults(alert_class, policy)):
        raise _refused(found)
    async with conn.transaction():
        saved = await conn.fetchval(
            "INSERT INTO approval_policy (class, version, policy, saved_by, saved_at)"
            " SELECT $1::alert_class, $2 + 1, $3, $4, $5"
            " WHERE $2 = (SELECT max(version) FROM approval_policy WHERE class = $1::alert_class)"
            " ON CONFLICT DO NOTHING RETURNING version",
            alert_class, based_on, policy.to_json(), actor.official_id, now,
        )  # fmt: skip
        if saved is None:
            raise Conflict(
                "newer_policy",
                "Người khác vừa lưu bản mới của quy định này. Tải lại để xem.",
                "Somebody else has just saved a newer version of this policy. Reload to see it.",
            )
        await audit.record(
            conn, actor.official_id, now, "approval_policy.saved", "approval_policy",
            LANES[alert_class], **{"class": alert_class, "version": saved},
        )  # fmt: skip
    return await in_force(conn, alert_class)
