"""Pasted lists of places: every spelling means one thing, or is not taken and says why."""

import string
import unicodedata

import pytest
from anyascii import anyascii
from hypothesis import given
from hypothesis import strategies as st

from targeting.errors import MESSAGES as PROBLEMS
from targeting.errors import AreaError
from targeting.former import former_units
from targeting.names import PlaceNames
from targeting.place_list import PlaceList, ReadLine, read_place_list
from targeting.place_text import MAX_CHARACTERS, MAX_ENTRIES
from targeting.place_words import MESSAGES
from targeting.units import UnitKey, read_groups, read_units

UNITS, GROUPS, FORMER = read_units(), read_groups(), former_units()
NAMES = PlaceNames(UNITS, GROUPS, FORMER)
COMMUNES = [unit for unit in UNITS if unit.kind != "city"]


def read(text: str) -> PlaceList:
    return read_place_list(text, NAMES)


def test_a_district_split_long_ago_suggests_its_halves_and_nothing_far_off_is_suggested():
    suggested = only("huyện Từ Liêm").suggestions
    assert set(suggested[:2]) == {"Quận Nam Từ Liêm (cũ)", "Quận Bắc Từ Liêm (cũ)"}
    assert "Phường Hoàn Kiếm" in only("phường Hoàn Kim").suggestions
    for nothing_like_it in ("khong co noi nay", "chợ Mơ", "xyz abc"):
        assert only(nothing_like_it).suggestions == ()


def only(text: str) -> ReadLine:
    (line,) = read(text).lines
    return line


def taken(line: ReadLine) -> list[str]:
    return [key.code if isinstance(key, UnitKey) else key for key in line.taken]


@pytest.mark.parametrize(
    ("text", "codes", "assumed"),
    [
        ("Phường Ba Đình", ["00004"], None),
        ("PHƯỜNG BA ĐÌNH.", ["00004"], None),
        ("P. Ba Đình", ["00004"], None),
        ("p.ba đình", ["00004"], None),
        ("P Ba Đình", ["00004"], None),
        ("1. P. Ba Đình", ["00004"], None),
        ("12) P. Ba Đình", ["00004"], None),
        ("a) P. Ba Đình", ["00004"], None),
        ("- phường Ba Đình;", ["00004"], None),
        ("• “Phường Ba Đình”", ["00004"], None),
        ("UBND phường Ba Đình", ["00004"], None),
        ("toàn bộ phường Ba Đình", ["00004"], None),
        ("Phường Ba Đình (mới)", ["00004"], None),
        ("Phường Ba Đình (toàn bộ)", ["00004"], None),
        ("Phường Ba Đình (00004)", ["00004"], None),
        ("00004 Phường Ba Đình", ["00004"], None),
        ("00004\tPhường Ba Đình\t65.023", ["00004"], None),
        ("Ba Dinh Ward", ["00004"], None),
        ("phuong ba dinh", ["00004"], "no_marks"),
        ("phuong Ba Dình", ["00004"], "no_marks"),
        ("Ba Đình", ["00004"], "today_unit"),
        ("ba dinh", ["00004"], "today_unit"),
        ("quận Ba Đình", ["001"], "former_district"),
        ("Q. Ba Đình", ["001"], "former_district"),
        ("quan ba dinh cu", ["001"], "former_district"),
        ("Ba Đình (cũ)", ["001"], "former_district"),
        ("Former Ba Dinh District", ["001"], "former_district"),
        ("quan hoan kiem", ["002"], "former_district"),
        ("Hoan Kiem District", ["002"], "former_district"),
        ("Q.HBT", ["007"], "former_district"),
        ("quận NTL", ["019"], "former_district"),
        ("TX Sơn Tây", ["269"], "former_district"),
        ("thị xã Sơn Tây", ["269"], "former_district"),
        ("huyen soc son", ["016"], "former_district"),
        ("Nam Từ Liêm", ["019"], "former_district"),
        ("001", ["001"], "former_district"),
        ("Phường Trúc Bạch", ["00004"], "former_commune"),
        ("truc bach", ["00004"], "former_commune"),
        ("Trúc Bạch (quận Ba Đình)", ["00004"], "former_commune"),
        ("00004 - Phường Trúc Bạch", ["00004"], "former_commune"),
        ("thị trấn Văn Điển", ["00337", "00640", "00664"], "split_commune"),
        ("TT Văn Điển", ["00337", "00640", "00664"], "split_commune"),
        ("xã Quang Trung", ["09910", "10003"], "split_commune"),
        ("Mỹ Đình 1", ["00166", "00592"], "split_commune"),
        ("phường Ngọc Hà cũ", ["00004", "00008"], "split_commune"),
        ("xã Sóc Sơn (cũ)", ["00376"], "former_commune"),
        ("phường Sóc Sơn", ["00376"], "other_kind"),
        ("00004", ["00004"], "code_reused"),
        ("00004 (cũ)", ["00004"], "former_commune"),
        ("00001", ["00097"], "former_commune"),
        ("Sơn Đông", ["09616"], "former_commune"),
        ("phương liệt", ["00352"], "today_unit"),
        ("xa hoa xa", ["10417"], "no_marks"),
        ("xã Hoà Xá", ["10417"], None),
        ("Văn Miếu - Quốc Tử Giám", ["00226"], "today_unit"),
        ("phuong van mieu quoc tu giam", ["00226"], "no_marks"),
        ("hoankiem", ["00070"], "spelling"),
        ("phường Làng", ["00199"], "spelling"),
        ("phường Thượng Catt", ["00598"], "spelling"),
        ("phuong Phu Thuongg", ["00091"], "spelling"),
        ("toàn thành phố", ["01"], "whole_city"),
        ("cả Hà Nội", ["01"], "whole_city"),
        ("Hanoi", ["01"], "whole_city"),
        ("TP. HN", ["01"], "whole_city"),
        ("Thành phố Hà Nội", ["01"], "whole_city"),
        ("Hanoi City", ["01"], "whole_city"),
        ("Quang Trung", [], "ambiguous"),
        ("phường Quang Trung", [], "ambiguous"),
        ("Việt Hứng", [], "ambiguous"),
        ("00004 Phường Láng", [], "code_conflict"),
        ("Ba Đình (một phần)", [], "not_understood"),
        ("phường Láng (quận Ba Đình)", [], "not_within"),
        ("quận Phú Thượng", [], "unknown"),
        ("quận Hà Nội", [], "unknown"),
        ("Liên Hoa", [], "unknown"),
        ("Q.ĐX", [], "unknown"),
        ("HN", [], "unknown"),
        ("lang", ["00199"], "no_marks"),
        ("làng", ["00199"], "spelling"),
        ("99999", [], "unknown"),
        ("thành phố", [], "unknown"),
        ("toàn", [], "unknown"),
        ("P. Q. H.", [], "unknown"),
        ("Danh sách các xã:", [], "unknown"),
        ("Quận 1", [], "unknown"),
        ("ngập ở phường Láng", [], "unknown"),
    ],
)
def test_an_entry_means_one_thing_or_is_not_taken(text: str, codes: list[str], assumed: str | None):
    line = only(text)
    assert (taken(line), line.assumed) == (codes, assumed)
    assert line.message_vi
    assert line.message_en
    assert "{" not in line.message_vi + line.message_en


def test_what_was_assumed_is_said_in_both_languages():
    line = only("ba dinh")
    assert line.message_vi == (
        "Hiểu là Phường Ba Đình ngày nay; nếu ý bạn là Quận Ba Đình (cũ), hãy ghi rõ."
    )
    assert line.message_en == (
        "Read as Ba Dinh Ward of today; if you mean Former Ba Dinh District, write that."
    )


def test_a_former_commune_names_its_successors():
    assert only("P. Trúc Bạch").message_vi == (
        "Phường Trúc Bạch (trước 7/2025, Quận Ba Đình) nay thuộc Phường Ba Đình."
    )
    assert only("xã Quang Trung").message_en == (
        "Quang Trung Commune (before July 2025, Thach That) was split among Kieu Phu Commune,"
        " Tay Phuong Commune; all are taken."
    )


def test_what_is_unknown_gets_the_nearest_names():
    line = only("phường Thựng Cts")
    assert line.assumed == "unknown"
    assert line.suggestions[0] == "Phường Thượng Cát"
    assert line.suggestions[0] in line.message_vi
    assert only("abc xyz").suggestions == ()


def test_what_is_ambiguous_names_each_place_with_its_district():
    assert only("phường Quang Trung").suggestions == (
        "Phường Quang Trung (trước 7/2025, Quận Đống Đa)",
        "Phường Quang Trung (trước 7/2025, Quận Hà Đông)",
    )


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Ba Đình, Ngọc Hà; Giảng Võ\tLáng", ["00004", "00008", "00025", "00199"]),
        ("Ngọc Hà và Giảng Võ", ["00008", "00025"]),
        ("P. Ngọc Hà - P. Giảng Võ", ["00008", "00025"]),
        ("các phường Ba Đình, Ngọc Hà", ["00004", "00008"]),
        ("1. Ba Đình 2. Ngọc Hà 3. Láng", ["00004", "00008", "00199"]),
        ("• Ba Đình • Ngọc Hà", ["00004", "00008"]),
        ("| Ba Đình | Ngọc Hà |", ["00004", "00008"]),
        ("00004, 00008", ["00004", "00008"]),
        ("Ba Đình\r\n\r\n  \r\nNgọc Hà\n", ["00004", "00008"]),
        ("STT\tMã\tTên\n1\t00004\tPhường Ba Đình\n2\t00008\tPhường Ngọc Hà", ["00004", "00008"]),
        ("Ba Đình\nphường Ba Đình\n00004", ["00004"]),
        ("", []),
        (" \n,;\t- \n", []),
    ],
)
def test_entries_stand_on_lines_or_between_signs(text: str, codes: list[str]):
    assert [key.code for key in read(text).units] == codes


def test_units_and_groups_are_told_apart_in_the_order_of_the_list():
    places = read("quận Đống Đa\nphường Láng\nhuyện Ba Vì\nphường Bạch Mai\nquận Đống Đa")
    assert [key.code for key in places.units] == ["00199", "00292"]
    assert places.groups == ("006", "271")
    assert len(places.lines) == 5


@pytest.mark.parametrize(
    ("text", "codes", "assumed"),
    [
        ("phường Quang Trung, quận Đống Đa", ["00229", "00235"], ["split_commune"]),
        ("phường Quang Trung, quận Đống Đa, Hà Nội", ["00229", "00235"], ["split_commune"]),
        ("Phường Ba Đình, Quận Ba Đình, TP. Hà Nội", ["00004"], ["address"]),
        ("Phường Ba Đình, Hà Nội", ["00004"], [None]),
        ("Hà Nội, phường Láng", ["00199"], [None]),
        ("xã Nội Bài, huyện Mê Linh", ["00433", "250"], [None, "former_district"]),
        ("phường Láng, toàn thành phố", ["00199", "01"], [None, "whole_city"]),
    ],
)
def test_the_end_of_an_address_says_where_a_place_lies(
    text: str, codes: list[str], assumed: list[str | None]
):
    lines = read(text).lines
    assert [code for line in lines for code in taken(line)] == codes
    assert [line.assumed for line in lines] == assumed


def test_every_former_commune_resolves_with_its_district():
    districts = {group.code: group.name for group in GROUPS}
    for former in FORMER:
        line = only(f"{former.name} (cũ), {districts[former.district_code]}")
        assert line.taken == former.keys, former.name


def test_every_former_name_resolves_or_names_its_namesakes():
    alone = [former for former in FORMER if [f.name for f in FORMER].count(former.name) == 1]
    for former in alone:
        assert only(f"{former.name} (cũ)").taken == former.keys, former.name
    assert len(alone) == 526 - 28
    for former in set(FORMER) - set(alone):
        assert only(f"{former.name} (cũ)").assumed == "ambiguous"


def test_every_district_resolves_to_its_group():
    for group in GROUPS:
        assert only(group.name).taken == only(group.name_en).taken == (group.code,)
        assert only(anyascii(group.name)).taken == (group.code,)


def without_marks(name: str) -> str:
    return anyascii(name)


def some_marks(name: str) -> str:
    words = name.split()
    return " ".join([anyascii(words[0]), *words[1:]])


def decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def decorated(name: str) -> str:
    return f"  -  {name};"


@given(
    unit=st.sampled_from(COMMUNES),
    spellings=st.permutations([str.upper, str.lower, without_marks, decomposed, decorated]),
    number=st.integers(1, 4),
)
def test_any_spelling_of_a_units_name_is_that_unit(unit, spellings, number):
    name = unit.name
    for spell in spellings[:number]:
        name = spell(name)
    assert only(name).taken == (unit.key,)


@given(unit=st.sampled_from(COMMUNES))
def test_a_units_name_alone_is_that_unit(unit):
    assert only(unit.short_name).taken == (unit.key,)
    assert only(unit.name_en).taken == (unit.key,)
    assert only(some_marks(unit.name)).taken == (unit.key,)
    assert only(unit.code).taken == (unit.key,)


@given(st.text(alphabet=string.printable + "đĐưƯáạ•“”–\u00a0\u0300", max_size=80))
def test_any_text_is_read_and_what_is_taken_is_known(text: str):
    places = read(text)
    for line in places.lines:
        assert bool(line.taken) != (line.assumed in NOT_TAKEN)
        assert all(key in NAMES.units or key in NAMES.groups for key in line.taken)
        assert line.assumed is None or line.assumed in MESSAGES


NOT_TAKEN = {"unknown", "ambiguous", "code_conflict", "not_understood", "not_within"}


@pytest.mark.parametrize("text", ["a," * (MAX_ENTRIES + 1), "a" * (MAX_CHARACTERS + 1)])
def test_a_text_longer_than_any_list_is_refused(text: str):
    with pytest.raises(AreaError) as refused:
        read(text)
    assert [p.code for p in refused.value.problems] == ["text_too_long"]
    assert "text_too_long" in PROBLEMS


def test_without_former_communes_their_names_are_unknown():
    names = PlaceNames(UNITS, GROUPS)
    (line,) = read_place_list("Trúc Bạch", names).lines
    assert (line.taken, line.assumed) == ((), "unknown")


def test_a_former_commune_whose_successors_are_not_on_the_map_is_not_taken():
    names = PlaceNames([u for u in UNITS if u.code != "00004"], [], FORMER)
    (line,) = read_place_list("Trúc Bạch", names).lines
    assert (line.taken, line.assumed) == ((), "unknown")


def test_each_entry_tells_the_line_it_stands_on():
    lines = read("Ngọc Hà, Giảng Võ\n\n  \nHà Nội\nBa Đình").lines
    assert [(line.text, line.row) for line in lines] == [
        ("Ngọc Hà", 0), ("Giảng Võ", 0), ("Hà Nội", 3), ("Ba Đình", 4)
    ]  # fmt: skip
