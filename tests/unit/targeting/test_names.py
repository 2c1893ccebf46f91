"""Names of places found in what people write."""

import unicodedata

import pytest

from targeting.former import former_units
from targeting.names import LEAST_CONFIDENCE, Match, PlaceNames, find_units
from targeting.units import Unit, read_groups, read_units
from targeting.vietnamese import agreement, syllables


@pytest.fixture(scope="module")
def names() -> PlaceNames:
    return PlaceNames(read_units(), read_groups())


def found(matches: list[Match]) -> list[str]:
    return [match.place.name for match in matches]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p. phu thuong ngap 0,5m, xe chet may", ["Phường Phú Thượng"]),
        ("ngap o p phu thuong", ["Phường Phú Thượng"]),
        ("NGẬP Ở PHƯỜNG PHÚ THƯỢNG!!!", ["Phường Phú Thượng"]),
        ("quan hoan kiem mat dien", ["Quận Hoàn Kiếm"]),
        ("q.hoàn kiếm", ["Quận Hoàn Kiếm"]),
        ("phường hoan kiem", ["Phường Hoàn Kiếm"]),
        ("Hoàn Kiếm", ["Phường Hoàn Kiếm", "Quận Hoàn Kiếm"]),
        ("cây đổ ở Nam Từ Liêm", ["Quận Nam Từ Liêm"]),
        ("thi xa son tay", ["Thị xã Sơn Tây"]),
        ("xã Hoà Xá sạt lở", ["Xã Hòa Xá"]),
        ("huyen chuong my, xa tran phu", ["Huyện Chương Mỹ", "Xã Trần Phú"]),
        ("o cho dua ngap nang", ["Phường Ô Chợ Dừa"]),
        ("tp ha noi", ["Thành phố Hà Nội"]),
        ("Cháy nhà ở phường Láng", ["Phường Láng"]),
    ],
)
def test_places_are_found_however_they_are_written(
    names: PlaceNames, text: str, expected: list[str]
):
    assert found(names.find(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ngập ở phường Trúc Bạch", ["Phường Trúc Bạch"]),
        ("TT Văn Điển mất điện", ["Thị trấn Văn Điển"]),
        ("xã Tự Nhiên ngập", ["Xã Tự Nhiên"]),
        ("tự nhiên nước dâng", []),
        ("phường Ngọc Hà", ["Phường Ngọc Hà", "Phường Ngọc Hà"]),
    ],
)
def test_former_communes_are_found_behind_a_cue_word(text: str, expected: list[str]):
    matches = PlaceNames(read_units(), read_groups(), former_units()).find(text)
    assert found(matches) == expected


def test_the_unit_of_today_comes_before_the_former_of_its_name():
    names = PlaceNames(read_units(), read_groups(), former_units())
    assert isinstance(names.find("ngap o phuong ngoc ha")[0].place, Unit)


@pytest.mark.parametrize(
    "text",
    ["", "nước ngập ở làng tôi", "duong lang ngap", "nha toi mat dien", "!!!", "phu", "p. q. h."],
)
def test_nothing_is_found_where_nothing_is_named(names: PlaceNames, text: str):
    assert names.find(text) == []


def confidence(names: PlaceNames, text: str) -> float:
    return names.find(text)[0].confidence


def test_confidence_falls_with_what_is_left_out(names: PlaceNames):
    in_full = confidence(names, "phường Phú Thượng")
    no_cue = confidence(names, "Phú Thượng")
    some_marks = confidence(names, "phú thuong")
    bare = confidence(names, "phu thuong")
    street = confidence(names, "đường Phú Thượng")
    assert 1.0 == in_full > no_cue > some_marks > bare > street >= LEAST_CONFIDENCE


def test_a_place_named_twice_is_found_once_at_its_surest(names: PlaceNames):
    (match,) = names.find("phu thuong, phường Phú Thượng")
    assert match.confidence == 1.0
    assert (match.first_word, match.last_word) == (3, 4)


def test_every_unit_and_group_is_found_by_its_full_name(names: PlaceNames):
    for place in (*read_units(), *read_groups()):
        best = names.find(f"ngập ở {place.name}")[0]
        assert best.place == place
        assert best.confidence == 1.0


def test_without_preparing_the_same_is_found(names: PlaceNames):
    text = "quan hoan kiem"
    assert find_units(text, read_units(), read_groups()) == names.find(text)
    assert find_units(text, [], []) == []


@pytest.mark.parametrize(
    ("typed", "name", "expected"),
    [
        ("láng", "Láng", 1.0),
        ("lang", "Láng", 0.0),
        ("làng", "Láng", None),
        ("hoà", "Hòa", 1.0),
        ("đông đa", "Đống Đa", 0.75),
        ("dong da", "Đống Đa", 0.0),
        ("đồng đa", "Đống Đa", None),
        ("dong", "Đống Đa", None),
        ("kim anh", "Kim Anh", 1.0),
    ],
)
def test_marks_may_be_left_out_but_not_be_wrong(typed: str, name: str, expected: float | None):
    assert agreement(syllables(typed), syllables(name)) == expected


def test_decomposed_text_is_the_same_text():
    assert syllables(unicodedata.normalize("NFD", "Phú Thượng")) == syllables("Phú Thượng")
