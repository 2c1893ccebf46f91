import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import shapely

from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people.moving import Moved
from broadcaster.people.officials import Role, authority, find_actor, root_ids
from broadcaster.people.register import Place, register
from broadcaster.people.unit_import import import_units
from broadcaster.people.units import (
    UnitMap,
    groups_of,
    load_map,
    map_stamp,
    seed_units,
    tree,
    units_of,
)
from tests.unit.broadcaster.city import (
    BA_DINH,
    BA_DINH_POINT,
    NGOC_HA,
    NOW,
    official,
    registration,
    unit_id,
)

REFORM, LATER = date(2025, 7, 1), date(2026, 9, 1)


def write_units(path: Path, units: UnitMap, *features: dict[str, object]) -> Path:
    """A file with the drawn outlines, but for what each feature changes."""
    changed = {str(feature["code"]): feature for feature in features}
    document = []
    for key in units.outlines.lowest:
        unit = units.outlines.units[key]
        shape = changed.get(key.code, {}).get("shape", units.outlines.unit(key))
        facts = {"code": key.code, "name": unit.name, "parent_code": "01", "population": 9}
        facts |= {k: v for k, v in changed.get(key.code, {}).items() if k != "shape"}
        geometry = shapely.geometry.mapping(shape)
        document.append({"type": "Feature", "properties": facts, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": document}))
    return path


async def test_seeding_twice_adds_nothing(conn: Conn, units: UnitMap) -> None:
    assert await seed_units(conn, NOW) == 0
    rows = await units_of(conn)
    assert len(rows) == 127
    [city] = tree(rows)[None]
    assert len(tree(rows)[city.unit_id]) == 126
    groups = await groups_of(conn)
    assert len(groups) == 30
    assert all(0 < share <= 1 for group in groups for share in group.shares.values())


async def test_the_map_finds_the_unit_of_a_point(conn: Conn, units: UnitMap) -> None:
    assert units.approximate
    centroids = [(row.unit_id, row.lon, row.lat) for row in await units_of(conn)]
    known = np.array([c for c in centroids if c[0] in units.lowest_ids])
    found = units.locate_many(known[:, 1:])
    assert found.tolist() == known[:, 0].astype(int).tolist()
    assert units.locate(100.0, 10.0) is None


@pytest.mark.slow
async def test_real_outlines_replace_the_drawn_ones(
    conn: Conn, units: UnitMap, boundaries: Path
) -> None:
    before = await map_stamp(conn)
    groups = await groups_of(conn)
    done = await import_units(conn, None, NOW, boundaries / "hanoi_communes_2025.geojson", REFORM)
    assert (done.added, done.updated, done.closed) == (0, 126, 0)
    assert await map_stamp(conn) != before
    real = await load_map(conn)
    assert not real.approximate
    assert real.ids == units.ids
    assert await groups_of(conn) == groups
    assert real.outlines.whole.symmetric_difference(units.outlines.whole).area > 0


async def test_people_with_a_point_follow_the_outlines(
    conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    """Ba Đình and Ngọc Hà swap their outlines; somebody known by unit only stays."""
    by_code = units.outlines.units
    shapes = {key.code: units.outlines.unit(key) for key in by_code if key.code != "01"}
    file = write_units(
        tmp_path / "swap.geojson", units,
        {"code": BA_DINH, "shape": shapes[NGOC_HA]}, {"code": NGOC_HA, "shape": shapes[BA_DINH]},
    )  # fmt: skip
    for phone, home in (
        ("0912345678", Place(*BA_DINH_POINT)),
        ("0912345679", Place(unit_code=BA_DINH)),
    ):
        await register(conn, keyring, units, NOW, registration(("sms", phone), home=home))
    done = await import_units(conn, None, NOW, file, REFORM)
    assert done.people == Moved(by_point=1)
    rows = await conn.fetch("SELECT by_unit_only, unit_id FROM person_place ORDER BY person_id")
    assert [tuple(row) for row in rows] == [
        (False, await unit_id(conn, NGOC_HA)), (True, await unit_id(conn, BA_DINH)),
    ]  # fmt: skip


async def test_a_later_vintage_ends_the_former_and_hands_on_what_stays(
    conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    [root] = await root_ids(conn)
    ward, reused = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    await official(conn, "quantri", Role("admin", root))
    await official(conn, "badinh", Role("author", ward))
    await official(conn, "ngocha", Role("author", reused))
    for code in (BA_DINH, NGOC_HA):
        home = Place(unit_code=code)
        await register(conn, keyring, units, NOW, registration(("sms", "0912345678"), home=home))
    file = write_units(
        tmp_path / "later.geojson", units, {"code": NGOC_HA, "name": "Phường Tên Khác"}
    )
    done = await import_units(conn, await find_actor(conn, "quantri"), NOW, file, LATER)
    assert (done.added, done.closed, done.people) == (126, 127, Moved(by_table=1, lost=1))
    ended = await conn.fetchval("SELECT valid_to FROM unit WHERE unit_id = $1", ward)
    assert ended == LATER
    heir = await conn.fetchval(
        "SELECT unit_id FROM unit WHERE code = $1 AND vintage = $2", BA_DINH, LATER
    )
    assert await authority(conn, await find_actor(conn, "badinh"), "author") == {heir}
    # The code was given to another ward: whoever had the old one has nothing there.
    assert await authority(conn, await find_actor(conn, "ngocha"), "author") == frozenset()
    assert len(await authority(conn, await find_actor(conn, "quantri"), "admin")) == 127
    homes = await conn.fetch("SELECT unit_id FROM person_place ORDER BY person_id")
    assert [row["unit_id"] for row in homes] == [heir, reused]
    assert {unit_id for g in await groups_of(conn) for unit_id in g.shares} <= set(
        (await load_map(conn)).keys
    )


async def test_an_earlier_vintage_is_history_at_once(
    conn: Conn, units: UnitMap, tmp_path: Path
) -> None:
    file = write_units(tmp_path / "early.geojson", units)
    await import_units(conn, None, NOW, file, date(2024, 1, 1))
    early = await conn.fetch("SELECT DISTINCT valid_to FROM unit WHERE vintage = '2024-01-01'")
    assert [row["valid_to"] for row in early] == [REFORM]
    assert (await load_map(conn)).ids == units.ids


async def test_a_bad_file_changes_nothing_and_says_why(
    conn: Conn, units: UnitMap, tmp_path: Path
) -> None:
    before = await map_stamp(conn)
    broken = write_units(tmp_path / "broken.geojson", units, {"code": BA_DINH, "name": ""})
    town = write_units(
        tmp_path / "town.geojson",
        units,
        {"code": BA_DINH, "name": "Thôn Ba Đình", "kind": "hamlet"},
    )
    for path, day, words in (
        (broken, REFORM, "name"), (town, REFORM, "hamlet"), (town, date(2027, 1, 1), "2027"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=words):
            await import_units(conn, None, NOW, path, day)
    actor = await official(conn, "phuong", Role("admin", await unit_id(conn, BA_DINH)))
    with pytest.raises(NotAllowed):
        await import_units(conn, actor, NOW, broken, REFORM)
    assert await map_stamp(conn) == before
