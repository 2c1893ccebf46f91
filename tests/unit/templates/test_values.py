from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from templates.catalogue import load
from templates.render import Problem, validate
from templates.values import ShownPlaces, read


def shown(event: str, field: str, lang: str, raw: Any) -> str:
    found = load().events[event].field(field)
    assert found is not None
    value = read(found, lang, raw)
    assert not isinstance(value, Problem), value
    return str(value)


def problem(event: str, field: str, raw: Any) -> Problem:
    found = load().events[event].field(field)
    assert found is not None
    value = read(found, "vi", raw)
    assert isinstance(value, Problem), value
    assert value.field == field
    assert value.message_vi.startswith(found.label.vi)
    assert value.message_en.startswith(found.label.en)
    return value


@pytest.mark.parametrize(
    ("at", "vi", "en"),
    [
        (datetime(2026, 9, 9, 23, 0, tzinfo=UTC), "06:00 10/09", "06:00, 10 Sep"),
        (datetime(2026, 9, 9, 16, 59, tzinfo=UTC), "23:59 09/09", "23:59, 9 Sep"),
        (datetime(2026, 9, 9, 17, 0, tzinfo=UTC), "00:00 10/09", "00:00, 10 Sep"),
        (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), "00:00 01/01", "00:00, 1 Jan"),
        ("2026-09-10T06:00:00+07:00", "06:00 10/09", "06:00, 10 Sep"),
        (
            datetime(2026, 9, 10, 1, tzinfo=timezone(timedelta(hours=2))),
            "06:00 10/09",
            "06:00, 10 Sep",
        ),
    ],
)
def test_times_show_on_hanois_clock(at: Any, vi: str, en: str) -> None:
    assert shown("storm", "start", "vi", at) == vi
    assert shown("storm", "start", "en", at) == en


def test_a_time_needs_its_zone() -> None:
    assert problem("storm", "start", datetime(2026, 9, 10, 6)).code == "field.naive_time"  # noqa: DTZ001
    assert problem("storm", "start", "2026-09-10T06:00").code == "field.naive_time"
    assert problem("storm", "start", "sáu giờ").code == "field.type"
    assert problem("storm", "start", 6).code == "field.type"


def test_numbers_follow_the_language() -> None:
    for raw in (11.7, "11,7", "11.70", " 11.7 "):
        assert shown("flood", "crest_level", "vi", raw) == "11,70"
        assert shown("flood", "crest_level", "en", raw) == "11.70"
    assert shown("heavy_rain", "rain", "vi", 1200) == "1.200"
    assert shown("heavy_rain", "rain", "en", 1200) == "1,200"


@pytest.mark.parametrize("raw", ["mười", True, "NaN", float("inf"), [9], {"vi": 9}])
def test_what_is_not_a_number_is_said_so(raw: Any) -> None:
    assert problem("storm", "wind", raw).code == "field.type"


@pytest.mark.parametrize("raw", [5, 17.5, -9, "1e9"])
def test_a_number_out_of_range_is_told_the_range(raw: Any) -> None:
    found = problem("storm", "wind", raw)
    assert found.code == "field.range"
    assert "6 đến 17" in found.message_vi
    assert "6 to 17" in found.message_en


def test_choices_are_codes_shown_by_label() -> None:
    assert shown("flood", "river", "vi", "hong") == "Hồng"
    assert shown("flood", "river", "en", "hong") == "Red River"
    assert problem("flood", "river", "mekong").code == "field.choice"
    assert problem("flood", "river", ["hong"]).code == "field.choice"


def test_text_is_normalised_to_one_line_without_its_full_stop() -> None:
    assert shown("storm", "storm", "vi", "  bão\n số   3. ") == "bão số 3"
    assert shown("storm", "storm", "vi", "ba\u0303o") == "bão"


def test_text_may_differ_by_language() -> None:
    raw = {"vi": "bão số 3", "en": "typhoon Yagi"}
    assert shown("storm", "storm", "vi", raw) == "bão số 3"
    assert shown("storm", "storm", "en", raw) == "typhoon Yagi"
    codes = [p.code for p in validate("storm", "en", _storm(storm={"vi": "bão số 3"}))]
    assert codes == ["field.missing"]


def test_text_too_long_says_by_how_much() -> None:
    found = problem("storm", "storm", "b" * 20)
    assert found.code == "field.too_long"
    assert "Bớt 6 chữ" in found.message_vi
    # An ellipsis becomes three full stops in an SMS.
    assert problem("storm", "storm", "b" * 12 + "…b").code == "field.too_long"


@pytest.mark.parametrize(
    ("letter", "named"),
    [("😀", "😀"), ("中", "中"), ("€", "€"), ("[", "["), ("‹", "‹"), ("\x1b", "U+001B")],
)
def test_text_sms_cannot_carry_cheaply_is_refused(letter: str, named: str) -> None:
    found = problem("storm", "storm", f"bão {letter} 3")
    assert found.code == "field.character"
    assert f"“{named}”" in found.message_vi


@pytest.mark.parametrize("raw", [None, "", "   ", {}, "..."])
def test_a_required_field_left_empty_is_missing(raw: Any) -> None:
    assert problem("storm", "storm", raw).code == "field.missing"


def test_an_optional_field_left_empty_is_nothing() -> None:
    field = load().events["storm"].field("gust")
    assert field is not None
    assert read(field, "vi", None) is None
    assert read(field, "vi", "") is None


@pytest.mark.parametrize("raw", [[], [""], ["Hồng Hà", " "]])
def test_places_need_names(raw: Any) -> None:
    assert problem("storm", "places", raw).code == "field.missing"


def test_places_of_the_wrong_kind() -> None:
    assert problem("storm", "places", [1, 2]).code == "field.type"
    assert problem("storm", "places", 7).code == "field.type"
    assert problem("storm", "places", ["x" * 41]).code == "field.too_long"


def test_a_list_of_places_never_cuts_a_name() -> None:
    names = ("Hồng Hà", "Phú Thượng", "Bồ Đề", "Lĩnh Nam", "Long Biên", "Bát Tràng")
    assert ShownPlaces(names, "vi").within(40) == "Hồng Hà, Phú Thượng, Bồ Đề và 3 nơi khác"
    assert ShownPlaces(names, "vi").within(39) == "Hồng Hà, Phú Thượng và 4 nơi khác"
    assert ShownPlaces(names, "en").within(40) == "Hồng Hà, Phú Thượng, Bồ Đề and 3 more"
    assert ShownPlaces(names, "vi").within(400) == ", ".join(names)
    assert ShownPlaces(("Ễ" * 40, "Ễ" * 40), "vi").within(40) == "2 nơi"
    assert ShownPlaces(("Ễ" * 40,), "vi").within(40) == "Ễ" * 40


@pytest.mark.parametrize("raw", ["114", "1022", "19001234", "024 3825 3536", "+84 912.345.678"])
def test_phones_that_can_be_called(raw: str) -> None:
    assert shown("public_notice", "phone", "vi", raw).strip("+").isdigit()


@pytest.mark.parametrize("raw", ["1", "12345", "gọi phường", 1022, "0912"])
def test_phones_that_cannot(raw: Any) -> None:
    assert problem("public_notice", "phone", raw).code == "field.type"


def _storm(**changed: Any) -> dict[str, Any]:
    return {**load().events["storm"].examples(), **changed}


def test_every_problem_of_a_form_is_listed_at_once() -> None:
    values = _storm(wind="to", places=[], colour="đỏ")
    found = {p.field: p.code for p in validate("storm", "vi", values)}
    assert found == {
        "wind": "field.type",
        "places": "field.missing",
        "colour": "field.unknown",
    }
    assert validate("storm", "vi", _storm()) == []
