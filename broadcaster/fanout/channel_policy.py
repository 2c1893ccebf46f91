"""Which channels a class of alerts goes by, in which steps, when not, how long and how dear: data.

Each class has a policy in versions (`alerts/class_policy.py`). An alert carries the one it was
approved under in its snapshot, so a later change alters nothing that is on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import ErrorDetails

from broadcaster.alerts import class_policy
from broadcaster.alerts.class_policy import Policies
from broadcaster.alerts.content import AlertClass, ChannelName
from broadcaster.alerts.documents import Document, Fault, place_of
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.steps import Filter, Step

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
LONGEST_WAIT = 24 * 60
"""Minutes after which nobody waits any more for a phone to answer."""
MOST_PARTS = 10
MOST_STEPS = 5
_DEAREST_PART = 1_000_000
_HIGHEST_CEILING = 10**12
_RANGES = {
    "after_minutes": (0, LONGEST_WAIT),
    "sms_most_parts": (1, MOST_PARTS),
    "sms_part_cost": (0, _DEAREST_PART),
    "cost_ceiling": (0, _HIGHEST_CEILING),
}
"""What each number may be."""


def _clock(value: object) -> object:
    """Take hours and minutes only: "21:00"."""
    if isinstance(value, str):
        parsed = time.fromisoformat(value) if len(value) == len("21:00") else None
        if parsed is None:
            raise ValueError("hours and minutes, as in 21:00")
        return parsed
    return value


Clock = Annotated[
    time, BeforeValidator(_clock), PlainSerializer(lambda moment: f"{moment:%H:%M}", str)
]


class StepRule(Document):
    """Some channels, for some of the people, some minutes after the start."""

    channels: tuple[ChannelName, ...] = Field(min_length=1)
    to: Filter = Filter.ALL
    after_minutes: int = Field(0, ge=0, le=LONGEST_WAIT)


class QuietHours(Document):
    """From one time of day to another in Hanoi; through the night where the first is later."""

    start: Clock = Field(alias="from")
    end: Clock = Field(alias="to")


class Policy(Document):
    """How one class of alerts goes out. Costs are in đồng."""

    steps: tuple[StepRule, ...] = Field(min_length=1, max_length=MOST_STEPS)
    quiet_hours: QuietHours | None = None
    sms_most_parts: int = Field(3, ge=1, le=MOST_PARTS)
    sms_part_cost: int = Field(0, ge=0, le=_DEAREST_PART)
    cost_ceiling: int | None = Field(None, ge=0, le=_HIGHEST_CEILING)
    over_ceiling: Literal["advisory", "blocking"] = "advisory"

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel that some step uses."""
        used = {channel for step in self.steps for channel in step.channels}
        return tuple(channel for channel in CHANNELS if channel in used)


TOGETHER = Policy(steps=(StepRule(channels=("push", "sms", "email")),))
"""Everything at once: what alerts approved before there were policies go by."""


def faults(alert_class: AlertClass, policy: Policy) -> Iterator[Fault]:
    """Find what makes no sense although every field by itself is right."""
    first = policy.steps[0]
    if first.to is not Filter.ALL or first.after_minutes:
        yield Fault(
            "steps.0",
            "Bước đầu phải gửi ngay và cho mọi người. Đặt “mọi người” và 0 phút.",
            "The first step goes to everybody at once. Choose “everybody” and 0 minutes.",
        )
    pushed = False
    for number, step in enumerate(policy.steps):
        where = f"steps.{number}"
        if len(set(step.channels)) < len(step.channels):
            yield Fault(
                f"{where}.channels",
                "Một kênh được chọn hai lần trong một bước. Bỏ bớt.",
                "A channel stands twice in one step. Remove one.",
            )
        if number and step.after_minutes < policy.steps[number - 1].after_minutes:
            yield Fault(
                f"{where}.after_minutes",
                "Bước sau không thể sớm hơn bước trước. Tăng số phút.",
                "A step cannot come before the one it follows. Give it more minutes.",
            )
        if step.to is not Filter.ALL and not pushed:
            yield Fault(
                f"{where}.to",
                "Chỉ chọn được theo thông báo đẩy khi bước trước đã gửi kênh đó.",
                "People can be told apart by push only after a step that sends it.",
            )
        if step.to is Filter.NOT_ACKNOWLEDGED and not step.after_minutes:
            yield Fault(
                f"{where}.after_minutes",
                "Phải chờ ít nhất 1 phút để máy kịp trả lời. Tăng số phút.",
                "Phones need a minute to answer at least. Give it more minutes.",
            )
        pushed = pushed or "push" in step.channels
    yield from _quiet_faults(alert_class, policy.quiet_hours)


def _quiet_faults(alert_class: AlertClass, quiet: QuietHours | None) -> Iterator[Fault]:
    if quiet is None:
        return
    if alert_class != "information":
        yield Fault(
            "quiet_hours",
            "Giờ yên tĩnh chỉ giữ lại tin thông tin: không gì được làm chậm tin khẩn cấp hay"
            " cảnh báo. Bỏ giờ yên tĩnh.",
            "Quiet hours hold back class information only: nothing delays an emergency or a"
            " warning. Remove them.",
        )
    if quiet.start == quiet.end:
        yield Fault(
            "quiet_hours.to",
            "Giờ bắt đầu và giờ hết trùng nhau. Đổi một giờ.",
            "They begin and end at the same time. Change one.",
        )


def _unreadable(error: ErrorDetails) -> Fault:
    """Say of a value that cannot be read what would be right."""
    last, limits = str(error["loc"][-1]) if error["loc"] else "", error.get("ctx", {})
    match error["type"], last:
        case "too_short", "steps" | "channels":
            vi = "Chưa chọn kênh nào. Chọn ít nhất một kênh ở bước 1."
            en = "No channel is chosen. Choose at least one in step 1."
        case "too_long", "steps":
            vi = f"Nhiều nhất {limits['max_length']} bước. Bỏ bớt."
            en = f"At most {limits['max_length']} steps. Remove some."
        case "missing", _:
            vi, en = "Chưa điền. Điền vào ô này.", "Nothing stands here. Fill it in."
        case "extra_forbidden", _:
            vi, en = "Không có mục này. Bỏ đi.", "There is no such field. Remove it."
        case kind, "from" | "to" if kind != "enum":
            vi, en = "Ghi giờ và phút, như 21:00.", "Write hours and minutes, as in 21:00."
        case "enum" | "literal_error", _:
            vi, en = "Chọn một giá trị trong danh sách.", "Choose one of the list."
        case _, name if name in _RANGES:
            low, high = _RANGES[name]
            vi = f"Ghi một số nguyên từ {low:,} đến {high:,}.".replace(",", ".")
            en = f"Write a whole number from {low:,} to {high:,}."
        case _:
            vi, en = "Giá trị này không dùng được. Sửa lại.", "This cannot be used. Correct it."
    return Fault(place_of(error), vi, en)


POLICIES = Policies("channel_policy", Policy, "bad_policy", "policy.saved", faults, _unreadable)
parse = POLICIES.parse
history = POLICIES.history
in_force = POLICIES.in_force
all_in_force = POLICIES.all_in_force
save = POLICIES.save
Version = class_policy.Version[Policy]


def quiet_until(alert_class: AlertClass, policy: Policy, moment: datetime) -> datetime:
    """Return when something due at `moment` may leave: the moment itself, or the quiet's end.

    Whatever a policy says, only class information is ever held back.
    """
    quiet = policy.quiet_hours
    if quiet is None or alert_class != "information" or quiet.start == quiet.end:
        return moment
    here = moment.astimezone(HANOI)
    clock = here.time().replace(tzinfo=None)
    if quiet.start < quiet.end:
        held = quiet.start <= clock < quiet.end
    else:
        held = clock >= quiet.start or clock < quiet.end
    if not held:
        return moment
    end = datetime.combine(here.date(), quiet.end, HANOI)
    return (end if clock < quiet.end else end + timedelta(days=1)).astimezone(moment.tzinfo)


def plan(
    alert_class: AlertClass, policy: Policy, channels: tuple[str, ...], start: datetime
) -> list[Step]:
    """Lay out the steps of an alert that goes by these channels and begins at `start`.

    Without push nobody can be told apart by it: its followers go to everybody at once. Empty when
    the policy uses none of the channels.
    """
    steps: list[Step] = []
    pushed = False
    for rule in policy.steps:
        used = tuple(channel for channel in rule.channels if channel in channels)
        if not used:
            continue
        to = rule.to if pushed else Filter.ALL
        waits = rule.after_minutes if to is rule.to else 0
        due = quiet_until(alert_class, policy, start + timedelta(minutes=waits))
        pushed = pushed or "push" in used
        last = steps[-1] if steps else None
        if last is not None and (last.due_at, last.to) == (due, to):
            more = tuple(channel for channel in used if channel not in last.channels)
            steps[-1] = Step(due, last.channels + more, to)
        else:
            steps.append(Step(due, used, to))
    return steps


def of_snapshot(document: Mapping[str, Any]) -> Policy:
    """Return the policy an alert was approved under."""
    kept = document.get("policy")
    return Policy.model_validate(kept["rules"]) if kept else TOGETHER


def for_snapshot(version: Version) -> dict[str, Any]:
    """Return what an approved snapshot keeps of the policy in force."""
    return {"version": version.version, "rules": version.policy.to_json()}
