from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.cadence.rules import (
    CITY_TIME,
    Notice,
    Rule,
    Status,
    first_day,
    most_pressing,
    stand,
)

START = datetime(2024, 1, 1, tzinfo=CITY_TIME)
ALL = frozenset({"emergency", "warning", "information"})
DUTY = Rule(1, timedelta(hours=72), timedelta(hours=24), ALL, START)
SECOND = timedelta(seconds=1)


def at(moment: datetime) -> list[Notice]:
    return [Notice(moment, "information")]


@pytest.mark.parametrize(
    "last",
    [
        datetime(2026, 9, 10, 14, 30, 15, tzinfo=CITY_TIME),
        datetime(2026, 9, 10, 0, 0, 0, tzinfo=CITY_TIME),
        datetime(2026, 9, 10, 17, 0, 0, tzinfo=UTC),  # midnight in the city
        datetime(2026, 12, 30, 12, 0, 0, tzinfo=CITY_TIME),  # due in the new year
        datetime(2028, 2, 27, 23, 59, 59, tzinfo=CITY_TIME),  # over 29 February
        datetime(2026, 3, 28, 12, 0, 0, tzinfo=CITY_TIME),  # clocks change elsewhere, not here
    ],
)
def test_a_unit_is_overdue_from_the_second_72_hours_are_full(last: datetime) -> None:
    due = last + timedelta(hours=72)
    for now, status in (
        (last, Status.ON_TIME),
        (due - timedelta(hours=24) - SECOND, Status.ON_TIME),
        (due - timedelta(hours=24), Status.DUE_SOON),
        (due - SECOND, Status.DUE_SOON),
        (due, Status.OVERDUE),
        (due + timedelta(days=400), Status.OVERDUE),
    ):
        standing = stand(DUTY, at(last), START, now)
        assert (standing.status, standing.due, standing.last) == (status, due, last)


def test_more_notices_are_never_too_many() -> None:
    """The rule is a minimum: a hundred notices in an hour leave a unit on time."""
    now = datetime(2026, 9, 10, tzinfo=UTC)
    many = [Notice(now - timedelta(seconds=36 * n), "warning") for n in range(100)]
    standing = stand(DUTY, many, START, now)
    assert standing.status is Status.ON_TIME
    assert standing.due == now + timedelta(hours=72)


def test_a_notice_in_the_very_second_it_is_due_makes_the_unit_whole() -> None:
    last = datetime(2026, 9, 10, tzinfo=UTC)
    due = last + timedelta(hours=72)
    standing = stand(DUTY, [*at(last), *at(due)], START, due)
    assert standing.status is Status.ON_TIME


def test_a_unit_that_never_issued_is_due_from_its_first_midnight() -> None:
    since = first_day(date(2025, 7, 1))
    assert since == datetime(2025, 6, 30, 17, 0, tzinfo=UTC)
    due = datetime(2025, 7, 4, tzinfo=CITY_TIME)
    assert stand(DUTY, [], since, due - SECOND).status is Status.DUE_SOON
    standing = stand(DUTY, [], since, due)
    assert (standing.status, standing.due, standing.last) == (Status.OVERDUE, due, None)


def test_a_rule_younger_than_the_unit_starts_its_own_first_period() -> None:
    rule = Rule(1, timedelta(hours=72), timedelta(0), ALL, START + timedelta(days=100))
    old = START + timedelta(days=10)
    standing = stand(rule, at(old), START, rule.valid_from)
    assert (standing.status, standing.due) == (
        Status.ON_TIME,
        rule.valid_from + timedelta(hours=72),
    )


def test_only_classes_of_the_rule_and_the_past_count() -> None:
    rule = Rule(1, timedelta(hours=72), timedelta(0), frozenset({"warning"}), START)
    now = START + timedelta(days=30)
    notices = [
        Notice(now - timedelta(hours=1), "information"),
        Notice(now + timedelta(hours=1), "warning"),
        Notice(now - timedelta(hours=80), "warning"),
    ]
    standing = stand(rule, notices, START, now)
    assert (standing.status, standing.last) == (Status.OVERDUE, notices[2].at)


def test_of_two_rules_the_one_due_first_decides() -> None:
    now = START + timedelta(days=30)
    daily = Rule(1, timedelta(hours=24), timedelta(hours=2), ALL, START)
    standings = [stand(rule, at(now), START, now) for rule in (DUTY, daily)]
    decided = most_pressing(standings)
    assert decided is not None
    assert decided.due == now + timedelta(hours=24)
    assert most_pressing([]) is None


def test_a_rule_holds_from_its_first_moment_to_just_before_its_last() -> None:
    rule = Rule(1, timedelta(hours=72), timedelta(0), ALL, START, START + timedelta(days=1))
    assert not rule.in_force(START - SECOND)
    assert rule.in_force(START)
    assert rule.in_force(START + timedelta(days=1) - SECOND)
    assert not rule.in_force(START + timedelta(days=1))


@given(
    count=st.integers(1, 3),
    period=st.integers(1, 12),
    hours=st.lists(st.integers(0, 60), max_size=12),
    now=st.integers(0, 60),
)
def test_the_engine_agrees_with_counting_hour_by_hour(
    count: int, period: int, hours: list[int], now: int
) -> None:
    """Brute force: at every hour, count the notices in the period that ends there."""
    rule = Rule(count, timedelta(hours=period), timedelta(0), ALL, START)
    notices = [Notice(START + timedelta(hours=hour), "warning") for hour in hours]
    standing = stand(rule, notices, START, START + timedelta(hours=now))
    past = [hour for hour in hours if hour <= now]

    def complies(hour: int) -> bool:
        return hour < period or sum(hour - period < h <= hour for h in past) >= count

    assert (standing.status is not Status.OVERDUE) == complies(now)
    lapses = next(hour for hour in range(now, 200) if not complies(hour))
    if standing.status is Status.OVERDUE:
        assert standing.due <= START + timedelta(hours=now)
    else:
        assert standing.due == START + timedelta(hours=lapses)
