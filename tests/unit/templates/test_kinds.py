"""What a field is: rivers with their alarm levels, periods, and the bounds a kind brings."""

from __future__ import annotations

from typing import Any

import pytest

from templates.catalogue import load
from templates.event import Field
from templates.kinds import expanded, kinds
from templates.longest import fills, longest
from templates.pieces import Problem
from templates.render import render, validate
from templates.rivers import disagreements, rivers
from templates.values import read


def field(code: str, name: str) -> Field:
    found = load().events[code].field(name)
    assert found is not None
    return found


def test_a_kind_spells_out_its_type_and_bounds() -> None:
    depth = field("urban_flooding", "depth")
    assert (depth.kind, depth.type, depth.minimum, depth.maximum, depth.unit) == (
        "depth", "number", 5, 300, "cm",
    )  # fmt: skip
    assert [option.code for option in field("flood", "alarm").options] == [
        "I", "II", "III", "above_III",
    ]  # fmt: skip
    assert field("missing_person", "phone").type == "phone"
    assert field("flood", "leave_by").kind == "deadline"


def test_an_event_may_narrow_its_kind() -> None:
    cold = field("cold", "temperature")
    assert (cold.minimum, cold.maximum) == (-5, 16)
    assert expanded({"type": "rain", "maximum": 90})["maximum"] == 90
    assert expanded("no field") == "no field"


def test_every_kind_is_of_a_type_that_can_be_read() -> None:
    assert {kind["type"] for kind in kinds().values()} <= {"choice", "number", "phone", "time"}


def test_the_rivers_of_the_flood_are_those_of_the_data() -> None:
    assert [option.code for option in field("flood", "river").options] == list(rivers())
    hanoi = rivers()["hong"].gauges[0]
    assert [hanoi.reached(level) for level in (9.49, 9.5, 10.7, 11.5, 13.0)] == [
        "", "I", "II", "III", "III",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"river": "hong", "alarm": "III", "crest_level": 11.7}, False),
        ({"river": "hong", "alarm": "III", "crest_level": "10,2"}, True),
        ({"river": "hong", "alarm": "II", "crest_level": 13.5}, False),  # at Sơn Tây it is
        ({"river": "nhue", "alarm": "III", "crest_level": 1}, False),  # no gauge
        ({"river": "hong", "alarm": "III"}, False),
        ({"river": "hong", "alarm": "III", "crest_level": "high"}, False),
    ],
)
def test_a_level_that_is_not_the_alarm_is_said(values: dict[str, Any], said: bool) -> None:
    found = disagreements(load().events["flood"], values)
    assert bool(found) is said
    for one in found:
        assert one.field == "alarm"
        assert "Hà Nội" in one.message_vi


def test_only_events_with_a_river_are_asked() -> None:
    assert disagreements(load().events["fog"], {}) == []


PERIOD = "2026-09-10T08:00:00+07:00/2026-09-10T17:00:00+07:00"


@pytest.mark.parametrize(
    ("raw", "vi", "en"),
    [
        (PERIOD, "08:00 đến 17:00 10/09", "08:00 to 17:00, 10 Sep"),
        ("08:00 10/09/2026 - 17:00 10/09/2026", "08:00 đến 17:00 10/09", "08:00 to 17:00, 10 Sep"),
        (
            {"from": "2026-12-31T22:00:00+07:00", "to": "2027-01-01T02:00:00+07:00"},
            "22:00 31/12 đến 02:00 01/01",
            "22:00, 31 Dec to 02:00, 1 Jan",
        ),
        # The day is Hanoi's: 17:30 UTC is past midnight there.
        (
            {"from": "2026-09-09T17:30:00+00:00", "to": "2026-09-09T18:30:00+00:00"},
            "00:30 đến 01:30 10/09",
            "00:30 to 01:30, 10 Sep",
        ),
    ],
)
def test_a_period_is_read_in_three_ways(raw: Any, vi: str, en: str) -> None:
    period = field("outage", "period")
    assert str(read(period, "vi", raw)) == vi
    assert str(read(period, "en", raw)) == en


@pytest.mark.parametrize(
    ("raw", "code", "word"),
    [
        ("08:00", "field.type", "beginning"),
        ({"from": "2026-09-10T08:00:00+07:00"}, "field.type", "its end is missing"),
        ({"from": "", "to": "2026-09-10T08:00:00+07:00"}, "field.type", "its beginning is missing"),
        ({"from": "2026-09-10T08:00:00+07:00", "to": "25:00 10/9"}, "field.type", "“25:00 10/9”"),
        ("32:00 10/09/2026 - 17:00 10/09/2026", "field.type", "beginning"),
        ("17:00 10/09/2026 - 08:00 10/09/2026", "field.period", "not after"),
        ("08:00 10/09/2026 - 08:00 10/11/2026", "field.period", "31 days"),
        ("2026-09-10T08:00:00/2026-09-10T17:00:00", "field.naive_time", "time zone"),
        (7, "field.type", "beginning"),
        ("", "field.missing", "empty"),
    ],
)
def test_a_wrong_period_is_said(raw: Any, code: str, word: str) -> None:
    problem = read(field("outage", "period"), "en", raw)
    assert isinstance(problem, Problem)
    assert problem.code == code
    assert word in problem.message_en


def test_a_half_filled_period_shows_its_gap() -> None:
    values = {**load().events["outage"].examples(), "period": None}
    assert "‹" in render("outage", "vi", values).push.title


@pytest.mark.parametrize("code", sorted(load().events))
def test_the_longest_values_are_legal(code: str) -> None:
    event = load().events[code]
    for values in fills(event):
        for lang in ("vi", "en"):
            assert validate(code, lang, values) == []
    assert all(longest(one) for one in event.fields)
