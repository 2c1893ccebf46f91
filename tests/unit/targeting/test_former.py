"""The former communes that ship with the project."""

from collections import Counter

from targeting.former import FormerUnit, former_units
from targeting.units import UnitKey, read_groups, read_units


def named(name: str) -> list[FormerUnit]:
    return [former for former in former_units() if former.name == name]


def test_the_526_former_communes_have_successors_among_todays_units():
    former = former_units()
    today = {unit.key for unit in read_units()}
    assert len(former) == len({f.code for f in former}) == 526
    assert sum(len(f.successors) > 1 for f in former) == 200
    assert all(f.keys and set(f.keys) <= today for f in former)
    assert {key.code for f in former for key in f.keys} == {k.code for k in today} - {"01"}


def test_kinds_follow_the_names():
    kinds = Counter((f.name.removesuffix(f.short_name), f.kind) for f in former_units())
    expected = {("Phường ", "ward"): 160, ("Xã ", "commune"): 345, ("Thị trấn ", "township"): 21}
    assert kinds == expected


def test_every_former_commune_was_in_one_of_the_30_districts():
    districts = {group.code for group in read_groups()}
    assert {f.district_code for f in former_units()} == districts


def test_communes_of_one_name_differ_by_district():
    known = Counter((f.name, f.district_code) for f in former_units())
    assert set(known.values()) == {1}
    assert [f.district_code for f in named("Phường Quang Trung")] == ["006", "268"]


def test_a_code_of_today_was_another_commune_before():
    (truc_bach,) = named("Phường Trúc Bạch")
    (today,) = [unit for unit in read_units() if unit.code == truc_bach.code]
    assert today.name == "Phường Ba Đình"
    assert truc_bach.keys == (UnitKey("00004", today.vintage),)
