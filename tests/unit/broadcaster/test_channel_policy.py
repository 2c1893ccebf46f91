"""The channel policy: what may be laid down, its steps, and that no danger is ever delayed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts.content import AlertClass
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.fanout import channel_policy
from broadcaster.fanout.channel_policy import HANOI, Policy
from broadcaster.fanout.steps import Filter, Step
from broadcaster.people.officials import Role
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, official, unit_id

NOW = datetime(2026, 9, 10, 5, 0, tzinfo=UTC)
CHANNELS = ("push", "sms", "email")
CASCADE: dict[str, Any] = {
    "steps": [
        {"channels": ["push"]},
        {"channels": ["sms"], "to": "no_push"},
        {"channels": ["sms", "email"], "to": "not_acknowledged", "after_minutes": 10},
    ]
}
CLOCKS = st.times().map(lambda moment: moment.replace(second=0, microsecond=0))
MOMENTS = st.integers(0, 2 * 365 * 86_400).map(lambda after: NOW + timedelta(seconds=after))


def quiet(start: time, end: time) -> Policy:
    return Policy.model_validate(
        {**CASCADE, "quiet_hours": {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}"}}
    )


@given(CLOCKS, CLOCKS, MOMENTS)
def test_an_emergency_or_a_warning_is_never_held_back_whatever_the_policy_says(
    start: time, end: time, moment: datetime
) -> None:
    for alert_class in ("emergency", "warning"):
        policy = quiet(start, end)
        assert channel_policy.quiet_until(alert_class, policy, moment) == moment
        plan = channel_policy.plan(alert_class, policy, CHANNELS, moment)
        assert [step.due_at - moment for step in plan] == [
            timedelta(0), timedelta(0), timedelta(minutes=10),
        ]  # fmt: skip


@given(CLOCKS, CLOCKS, MOMENTS)
def test_information_leaves_outside_quiet_hours_and_within_a_day(
    start: time, end: time, moment: datetime
) -> None:
    until = channel_policy.quiet_until("information", quiet(start, end), moment)
    assert moment <= until < moment + timedelta(days=1)
    clock = until.astimezone(HANOI).time()
    if start < end:
        assert not start <= clock < end
    elif start > end:
        assert end <= clock < start
    if until != moment:
        assert clock == end


def test_quiet_hours_through_the_night_end_in_the_morning() -> None:
    policy = quiet(time(21), time(6))
    evening = datetime(2026, 9, 10, 21, 0, tzinfo=HANOI)
    assert channel_policy.quiet_until("information", policy, evening) == datetime(
        2026, 9, 11, 6, 0, tzinfo=HANOI
    )
    just_before = evening - timedelta(seconds=1)
    assert channel_policy.quiet_until("information", policy, just_before) == just_before


@pytest.mark.parametrize(
    ("channels", "steps"),
    [
        (CHANNELS, [(0, ("push",), "all"), (0, ("sms",), "no_push"),
                    (10, ("sms", "email"), "not_acknowledged")]),
        (("push", "email"), [(0, ("push",), "all"), (10, ("email",), "not_acknowledged")]),
        (("sms", "email"), [(0, ("sms", "email"), "all")]),
        (("push",), [(0, ("push",), "all")]),
        ((), []),
    ],
)  # fmt: skip
def test_steps_are_the_policy_on_the_channels_chosen(
    channels: tuple[str, ...], steps: list[tuple[int, tuple[str, ...], str]]
) -> None:
    plan = channel_policy.plan("warning", Policy.model_validate(CASCADE), channels, NOW)
    assert plan == [
        Step(NOW + timedelta(minutes=minutes), used, Filter(to)) for minutes, used, to in steps
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": []}, "steps"),
        ({"steps": [{"channels": []}]}, "steps.0.channels"),
        ({"steps": [{"channels": ["fax"]}]}, "steps.0.channels.0"),
        ({"steps": [{"channels": ["push"], "after_minutes": 5}]}, "steps.0"),
        ({"steps": [{"channels": ["push", "push"]}]}, "steps.0.channels"),
        ({"steps": [{"channels": ["sms"]}, {"channels": ["email"], "to": "no_push"}]},
         "steps.1.to"),
        ({"steps": [{"channels": ["push"]}, {"channels": ["sms"], "to": "not_acknowledged"}]},
         "steps.1.after_minutes"),
        ({"steps": [{"channels": ["push"]}, {"channels": ["sms"], "after_minutes": 9},
                    {"channels": ["email"], "after_minutes": 8}]}, "steps.2.after_minutes"),
        ({"steps": [{"channels": ["push"]}, {"channels": ["sms"], "after_minutes": "soon"}]},
         "steps.1.after_minutes"),
        ({"quiet_hours": {"from": "21:00", "to": "06:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "9 pm", "to": "06:00"}}, "quiet_hours.from"),
        ({"quiet_hours": {"from": "25:00", "to": "06:00"}}, "quiet_hours.from"),
        ({"sms_most_parts": 0}, "sms_most_parts"),
        ({"sms_part_cost": -1}, "sms_part_cost"),
        ({"cost_ceiling": "much"}, "cost_ceiling"),
        ({"over_ceiling": "shrug"}, "over_ceiling"),
        ({"unknown": 1}, "unknown"),
    ],
)  # fmt: skip
def test_what_cannot_be_laid_down_is_named_by_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refusal:
        channel_policy.parse("warning", CASCADE | changes)
    problems: Any = refusal.value.details["problems"]
    assert problems[0]["field"] == field
    assert field in refusal.value.message_en
    assert all(one["message_vi"] and one["message_en"] for one in problems)


async def test_every_class_begins_with_a_policy_that_can_be_laid_down(conn: Conn) -> None:
    found = await channel_policy.all_in_force(conn)
    assert list(found) == list(get_args(AlertClass))
    for alert_class, version in found.items():
        assert version.version == 1
        again = channel_policy.parse(alert_class, version.policy.to_json())
        assert again == version.policy
    assert found["information"].policy.quiet_hours is not None
    assert {found[one].policy.quiet_hours for one in ("emergency", "warning")} == {None}


async def test_a_change_is_a_version_of_a_city_admin_and_nobody_overwrites_another(
    conn: Conn, units: UnitMap
) -> None:
    admin = await official(conn, "quan", Role("admin", await unit_id(conn, "01")))
    ward = await official(conn, "xa", Role("admin", await unit_id(conn, BA_DINH)))
    policy = channel_policy.parse("warning", CASCADE)
    with pytest.raises(NotAllowed):
        await channel_policy.save(conn, ward, NOW, "warning", 1, policy)
    made = await channel_policy.save(conn, admin, NOW, "warning", 1, policy)
    assert (made.version, made.policy, made.saved_by) == (2, policy, admin.name)
    with pytest.raises(Conflict):
        await channel_policy.save(conn, admin, NOW, "warning", 1, policy)
    versions = await channel_policy.history(conn, "warning")
    assert [one.version for one in versions] == [2, 1]
    assert (await channel_policy.in_force(conn, "information")).version == 1
    kept = channel_policy.for_snapshot(made)
    assert channel_policy.of_snapshot({"policy": kept}) == policy
