"""Two people's changes to one draft: what only one changed is kept, what both changed is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts.merging import Clash, flat, merge, whole

NAMES = st.sampled_from(["river", "crest", "phone"])
FIELDS = st.dictionaries(NAMES, st.text("ab", max_size=2), max_size=3)
DOCUMENTS = st.fixed_dictionaries({"class": st.sampled_from(["warning", "emergency"])}).flatmap(
    lambda head: FIELDS.map(lambda values: {**head, "values": values})
)
HONG = {"code": "1", "vintage": "2025"}
DA = {"code": "2", "vintage": "2025"}
DUONG = {"code": "3", "vintage": "2025"}
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}
WIDER = {"type": "Polygon", "coordinates": [[[0, 0], [0, 2], [1, 1], [0, 0]]]}
HIGHER = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 3], [0, 0]]]}


def area(*units: Any, polygons: tuple[Any, ...] = (), out: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {"area": {"units": list(units), "polygons": list(polygons), "exclusions": {
        "units": list(out)}}}  # fmt: skip


@given(DOCUMENTS, DOCUMENTS)
def test_who_changed_nothing_gets_what_the_other_wrote(base: Any, other: Any) -> None:
    for first, second in ((base, other), (other, base)):
        merged, clashes = merge(base, first, second)
        assert flat(merged) == flat(other)
        assert clashes == []


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_no_change_of_either_is_lost_without_a_word(base: Any, mine: Any, theirs: Any) -> None:
    merged, clashes = merge(base, mine, theirs)
    before, one, other, result = map(flat, (base, mine, theirs, merged))
    told = {clash.path for clash in clashes}
    for path in {*before, *one, *other} - told:
        wanted = one.get(path) if one.get(path) != before.get(path) else other.get(path)
        assert result.get(path) == wanted
    for path in told:
        assert one.get(path) != other.get(path)
        assert before.get(path) not in (one.get(path), other.get(path))


@given(DOCUMENTS)
def test_a_document_is_its_fields(document: Any) -> None:
    again = whole(flat(document))
    assert {**again, "values": again.get("values", {})} == document


def test_two_who_draw_at_two_ends_of_an_area_are_joined() -> None:
    merged, clashes = merge(
        area(HONG, DUONG), area(HONG, DUONG, DA), area(HONG, polygons=(SQUARE,))
    )
    assert clashes == []
    assert merged["area"]["units"] == [HONG, DA]
    assert merged["area"]["polygons"] == [SQUARE]


def test_one_shape_that_both_moved_is_for_them_to_settle() -> None:
    before = area(polygons=(SQUARE,))
    _, clashes = merge(before, area(polygons=(WIDER,)), area(polygons=(HIGHER,)))
    assert [clash.path for clash in clashes] == [("area",)]


def test_a_place_that_one_adds_and_the_other_takes_out_is_for_them_to_settle() -> None:
    _, clashes = merge(area(DA), area(DA, HONG), area(DA, out=(HONG,)))
    assert [clash.path for clash in clashes] == [("area",)]


def test_what_one_emptied_and_the_other_rewrote_is_told_with_nothing_on_one_side() -> None:
    base = {"values": {"phone": "114"}}
    _, clashes = merge(base, {"values": {}}, {"values": {"phone": "1022"}})
    assert clashes == [Clash(("values", "phone"), None, "1022")]
