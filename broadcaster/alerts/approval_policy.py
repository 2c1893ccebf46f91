"""Whose approval a class of alerts needs, and who is asked when nobody answers: data.

Each class has a policy in versions (`class_policy.py`). What a policy cannot do is in the code: an
emergency is confirmed by a second factor whatever the policy says.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from broadcaster.alerts import class_policy
from broadcaster.alerts.class_policy import Policies
from broadcaster.alerts.content import AlertClass
from broadcaster.alerts.documents import Document, Fault

LONGEST_WAIT = 24 * 60
"""Minutes after which asking somebody else comes too late for any alert."""
MOST_STEPS = 6


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
    """Everybody who may approve it; those asked already are reminded."""


class EscalationStep(Document):
    """Some minutes after the alert was sent for approval, others are asked."""

    after_minutes: int = Field(ge=1, le=LONGEST_WAIT)
    ask: tuple[Asked, ...] = Field(min_length=1)


class Policy(Document):
    """Who approves one class of alerts: by how far it reaches."""

    own: Who = Who.UNIT
    """One commune, or less."""
    several: Who = Who.AREA
    city: Who = Who.CITY
    city_share: float = Field(0.5, gt=0, le=1)
    """From this share of the city's residents on, an alert counts as one to the whole city."""
    second_factor: bool = False
    escalation: tuple[EscalationStep, ...] = Field((), max_length=MOST_STEPS)


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


POLICIES = Policies(
    "approval_policy", Policy, "bad_approval_policy", "approval_policy.saved", faults
)
parse = POLICIES.parse
history = POLICIES.history
in_force = POLICIES.in_force
save = POLICIES.save
Version = class_policy.Version[Policy]
