"""Rules that hold a draft back, asked one by one."""

from __future__ import annotations

import pytest

from broadcaster.alerts.checks import check_audience
from targeting.index import Counts


def counts(people: int) -> Counts:
    return Counts(people=people, by_channel={}, by_lang={}, by_unit={}, by_unit_only=0)


@pytest.mark.parametrize(
    ("kind", "alert_class", "blocks"),
    [
        ("alert", "emergency", True),
        ("alert", "warning", True),
        ("alert", "information", False),
        ("update", "warning", False),
    ],
)
def test_nobody_inside_holds_back_a_first_warning_only(
    kind: str, alert_class: str, blocks: bool
) -> None:
    [found] = check_audience(counts(0), kind, alert_class)
    assert (found.code, found.blocking) == ("no_one_inside", blocks)


def test_one_person_is_enough() -> None:
    assert list(check_audience(counts(1), "alert", "emergency")) == []
