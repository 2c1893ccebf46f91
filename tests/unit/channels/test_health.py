"""When a provider is taken out, tried and given back."""

from __future__ import annotations

import pytest

from channels.base import Action, Outcome, Result
from channels.health import (
    MOVES,
    Breaker,
    Finding,
    Health,
    finding,
    is_fault,
    is_throttle,
    wait,
    weight_share,
)


@pytest.mark.parametrize(
    ("channel", "outcome", "fault"),
    [
        ("push", Outcome(0, Result.UNKNOWN, "TIMED_OUT"), True),
        ("push", Outcome(0, Result.TEMPORARY, "UNAVAILABLE"), True),
        ("push", Outcome(0, Result.TEMPORARY, "CONNECT_FAILED", action=Action.AWAY), True),
        ("push", Outcome(0, Result.PERMANENT, "UNREGISTERED", action=Action.RETIRE), False),
        ("push", Outcome(0, Result.TEMPORARY, "UNAUTHENTICATED", action=Action.PAUSE), False),
        ("push", Outcome(0, Result.TEMPORARY, "QUOTA_EXCEEDED", retry_after=60.0), False),
        ("sms", Outcome(0, Result.TEMPORARY, "0x00000058", retry_after=1.0), False),
        ("sms", Outcome(0, Result.TEMPORARY, "0x00000008"), True),
        ("email", Outcome(0, Result.TEMPORARY, "450 4.2.0"), False),
        ("email", Outcome(0, Result.TEMPORARY, "connection lost"), True),
        ("email", Outcome(0, Result.UNKNOWN, "no answer"), True),
        ("email", Outcome(0, Result.ACCEPTED), False),
    ],
)
def test_only_what_the_carrier_is_to_blame_for_counts(
    channel: str, outcome: Outcome, fault: bool
) -> None:
    assert is_fault(channel, outcome) is fault


def test_a_throttle_is_no_fault() -> None:
    assert is_throttle(Outcome(0, Result.TEMPORARY, "429", retry_after=0.0))
    assert not is_throttle(Outcome(0, Result.TEMPORARY, "503"))


@pytest.mark.parametrize(
    ("breaker", "health", "how", "found"),
    [
        (Breaker.CLOSED, Health(), {}, None),
        (Breaker.CLOSED, Health(19, 18), {}, None),
        (Breaker.CLOSED, Health(5, 5), {}, Finding.BAD),
        (Breaker.CLOSED, Health(20, 10), {}, Finding.BAD),
        (Breaker.CLOSED, Health(1000, 200), {}, None),
        (Breaker.CLOSED, Health(1000, 10, late_tried=10, late_faults=10), {}, Finding.BAD),
        (Breaker.CLOSED, Health(1000, 10, late_tried=11, late_faults=10), {}, None),
        (Breaker.CLOSED, Health(100, 0, 100), {}, None),
        (Breaker.CLOSED, Health(20, 0, seconds=120.0), {}, Finding.BAD),
        (Breaker.OPEN, Health(), {}, None),
        (Breaker.OPEN, Health(), {"wait_over": True}, Finding.TRY),
        (Breaker.OPEN, Health(), {"wait_over": True, "tested": True}, None),
        (Breaker.OPEN, Health(), {"tested": True, "good_tests": 1}, None),
        (Breaker.OPEN, Health(), {"wait_over": True, "tested": True, "good_tests": 1}, Finding.TRY),
        (Breaker.HALF_OPEN, Health(), {}, None),
        (Breaker.HALF_OPEN, Health(20, 3), {}, Finding.GOOD),
        (Breaker.HALF_OPEN, Health(20, 4), {}, None),
        (Breaker.HALF_OPEN, Health(5, 5), {}, Finding.BAD),
        (Breaker.HALF_OPEN, Health(2), {"good_tests": 2, "tested": True}, Finding.GOOD),
    ],
)
def test_findings(breaker: Breaker, health: Health, how: dict[str, int], found: Finding) -> None:
    given = {"wait_over": False, "tested": False, "good_tests": 0} | how
    assert finding("push", breaker, health, **given) is found  # type: ignore[arg-type]


def test_the_breaker_moves_by_its_table_only() -> None:
    assert {(was.value, why.value): now.value for (was, why), now in MOVES.items()} == {
        ("closed", "bad"): "open",
        ("open", "try"): "half_open",
        ("half_open", "good"): "closed",
        ("half_open", "bad"): "open",
    }


def test_it_stays_open_longer_each_time_to_a_minute() -> None:
    assert [wait(opened) for opened in (1, 2, 3, 4, 5, 50)] == [5, 10, 20, 40, 60, 60]


def test_errors_shift_traffic_before_it_breaks() -> None:
    assert weight_share(Health(10, 5)) == 1.0
    assert weight_share(Health(100, 20)) == pytest.approx(0.6)
    assert weight_share(Health(100, 49)) == pytest.approx(0.1)
