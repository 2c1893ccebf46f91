"""Units of 2024 and 2025 side by side: people, roles and rules follow."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.keyring import Keyring
from broadcaster.people import moving
from broadcaster.people.moving import Moved
from broadcaster.people.officials import Role, authority, find_actor
from broadcaster.people.register import Place
from broadcaster.people.selection import Selector
from broadcaster.people.unit_import import import_units
from broadcaster.people.units import groups_of, load_map, map_stamp
from targeting.former import former_units
from targeting.units import read_units
from tests.conftest import TEMPLATE
from tests.unit.broadcaster.city import NOW, official
from tests.unit.broadcaster.reform import (
    AFTER,
    NEW,
    OLD,
    at,
    found_city,
    reform,
    resident,
    unit,
    write,
)


@pytest.fixture
def template() -> str:
    return TEMPLATE


@pytest.fixture
async def city(conn: Conn, tmp_path: Path) -> None:
    await found_city(conn, tmp_path)


async def where(conn: Conn) -> dict[int, str]:
    """The code of each home's unit, with its candidates in brackets."""
    rows = await conn.fetch(
        "SELECT p.person_id, u.code, ARRAY(SELECT c.code FROM place_candidate k JOIN unit c"
        " USING (unit_id) WHERE k.person_id = p.person_id AND k.place_no = p.place_no"
        " ORDER BY c.code) AS candidates FROM person_place p JOIN unit u USING (unit_id)"
        " WHERE p.place_no = 0 ORDER BY p.person_id"
    )
    return {
        row["person_id"]: row["code"] + ("".join(f" [{c}]" for c in row["candidates"]))
        for row in rows
    }


@pytest.mark.usefixtures("city")
async def test_people_follow_their_units(conn: Conn, keyring: Keyring, tmp_path: Path) -> None:
    homes = {
        "moved": Place(unit_code="00004"), "same name": Place(unit_code="00031"),
        "split": Place(unit_code="00016"), "split by table": Place(unit_code="00028"),
        "by outline": Place(unit_code="90001"), "lost": Place(unit_code="90002"),
        "east": Place(*at(2.5, 1)), "west": Place(*at(1.5, 1)), "border": Place(*at(2, 1)),
        "outside": Place(*at(51, 1)),
    }  # fmt: skip
    people = {name: await resident(conn, keyring, home) for name, home in homes.items()}
    done = await reform(conn, tmp_path)
    assert (done.added, done.updated, done.closed) == (5, 0, 8)
    assert done.people == Moved(by_point=3, outside=1, by_table=3, split=2, lost=1)
    found = await where(conn)
    assert {name: found[person_id] for name, person_id in people.items()} == {
        "moved": "00004", "same name": "00025",
        # 10 of its 18 parts lie in today's Ngọc Hà.
        "split": "00008 [00004] [00008]",
        # The table says three, though the outlines know of one.
        "split by table": "00025 [00004] [00008] [00025]",
        "by outline": "90009", "lost": "90002",
        "east": "00004", "west": "00008", "border": "00004", "outside": "90002",
    }  # fmt: skip
    # Everybody but those nobody can place is alerted: the split under each of their candidates.
    selector = Selector()
    for code, expected in (("00004", 5), ("00008", 4), ("00025", 2)):
        area = {"units": [{"code": code, "vintage": NEW.isoformat()}]}
        assert (await selector.count(conn, NOW, area)).people == expected


@pytest.mark.usefixtures("city")
async def test_the_same_import_twice_changes_nothing(
    conn: Conn, keyring: Keyring, tmp_path: Path
) -> None:
    for code in ("00004", "00016", "90002"):
        await resident(conn, keyring, Place(unit_code=code))
    settled = await resident(conn, keyring, Place(unit_code="00028"))
    await reform(conn, tmp_path)
    await conn.execute("DELETE FROM place_candidate WHERE person_id = $1", settled)
    await conn.execute("DELETE FROM place_question WHERE person_id = $1", settled)
    await conn.execute("UPDATE place_question SET times = 2")
    before = await where(conn), await conn.fetch("SELECT * FROM unit_successor ORDER BY 1, 2")
    again = await reform(conn, tmp_path)
    assert (again.added, again.updated, again.closed) == (0, 5, 0)
    assert again.people == Moved(lost=1)
    assert before == (
        await where(conn), await conn.fetch("SELECT * FROM unit_successor ORDER BY 1, 2")
    )  # fmt: skip
    assert await conn.fetchval("SELECT sum(times) FROM place_question") == 2


@pytest.mark.usefixtures("city")
async def test_a_further_reform_takes_candidates_along(
    conn: Conn, keyring: Keyring, tmp_path: Path
) -> None:
    both = await resident(conn, keyring, Place(unit_code="00016"))
    three = await resident(conn, keyring, Place(unit_code="00028"))
    await reform(conn, tmp_path)
    merged = [("70001", "Phường Bắc", 0, 0, 4, 2, ""), AFTER[2], AFTER[3]]
    table = tmp_path / "later.csv"
    rows = [("00004", "Phường Ba Đình", "70001"), ("00008", "Phuong Ngoc Ha", "70001")]
    write_table(table, rows)
    later = date(2026, 9, 1)
    file = write(tmp_path / "later.geojson", merged)
    done = await import_units(conn, None, NOW, file, later, table)
    assert (done.people.by_table, done.people.split) == (1, 1)
    found = await where(conn)
    assert (found[both], found[three]) == ("70001", "00025 [00025] [70001]")
    former = await conn.fetchval(
        "SELECT u.name FROM place_question JOIN unit u ON u.unit_id = former_id"
    )
    assert former == "Phường Kim Mã"


def write_table(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("old_code", "old_name", "new_code"), *rows])
    return path


@pytest.mark.usefixtures("city")
async def test_a_table_of_ones_own_maps_who_was_lost(
    conn: Conn, keyring: Keyring, tmp_path: Path
) -> None:
    person = await resident(conn, keyring, Place(unit_code="90002"))
    assert (await reform(conn, tmp_path)).people.lost == 1
    table = write_table(tmp_path / "own.csv", [("90002", "Xã Biệt Lập", "90009")])
    assert (await reform(conn, tmp_path, table=table)).people == Moved(by_table=1)
    assert (await where(conn))[person] == "90009"


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("00004", "Phường Ba Đình", "00004")], "line 2: 00004 Phường Ba Đình"),
        ([("00004", "Phường Trúc Bạch", "00999")], "line 2: 00999"),
        ([("00004", "", "00004")], "line 2"),
        ([("00004", "Phường Trúc Bạch", "00004")] * 2, "line 2"),
        ([("00004", "Trúc Bạch", "00004"), ("00004", "Kim Mã", "00008")], "line 3: 00004 Kim Mã"),
        ([], "0"),
    ],
)
async def test_a_table_that_does_not_fit_changes_nothing(
    conn: Conn, keyring: Keyring, tmp_path: Path, rows: list[tuple[str, str, str]], words: str
) -> None:
    await resident(conn, keyring, Place(unit_code="00016"))
    before = await map_stamp(conn), await where(conn)
    with pytest.raises(Refused, match="nothing was changed") as refused:
        await reform(conn, tmp_path, table=write_table(tmp_path / "own.csv", rows))
    assert words in refused.value.message_en
    assert before == (await map_stamp(conn), await where(conn))
    assert not await conn.fetchval("SELECT EXISTS (SELECT FROM unit WHERE vintage = $1)", NEW)


@pytest.mark.usefixtures("city")
async def test_an_import_that_breaks_late_changes_nothing(
    conn: Conn, keyring: Keyring, tmp_path: Path
) -> None:
    await resident(conn, keyring, Place(unit_code="00016"))
    await resident(conn, keyring, Place(*at(2.5, 1)))
    before = await map_stamp(conn), await where(conn)
    await conn.execute("ALTER TABLE place_candidate ADD CONSTRAINT none CHECK (false)")
    with pytest.raises(Exception, match="none"):
        await reform(conn, tmp_path)
    assert before == (await map_stamp(conn), await where(conn))


@pytest.mark.usefixtures("city")
async def test_whoever_registers_by_the_old_map_meanwhile_is_taken_along(
    conn: Conn, keyring: Keyring, tmp_path: Path
) -> None:
    await reform(conn, tmp_path)
    late = await resident(conn, keyring, Place(unit_code="00008"))
    pointed = await resident(conn, keyring, Place(*at(2.5, 1)))
    await conn.execute("UPDATE person_place SET unit_id = $1", await unit(conn, "00016", OLD))
    assert await moving.left_behind(conn)
    async with conn.transaction():
        done = await moving.follow(conn, NOW, await load_map(conn), everybody=False)
    assert done == Moved(by_point=1, split=1)
    assert await where(conn) == {late: "00008 [00004] [00008]", pointed: "00004"}
    assert not await moving.left_behind(conn)


@pytest.mark.usefixtures("city")
async def test_roles_groups_rules_and_duty_go_on_with_one_successor(
    conn: Conn, tmp_path: Path
) -> None:
    ids = {code: await unit(conn, code, OLD) for code in ("00004", "00016", "00031", "01")}
    await official(conn, "bach", Role("author", ids["00004"]), Role("staff", ids["00031"]))
    await official(conn, "ha", Role("author", ids["00016"]))
    await official(conn, "pho", Role("admin", ids["01"]))
    await conn.execute(
        "INSERT INTO cadence_rule (kind, count, period_hours, unit_id, classes, valid_from)"
        " VALUES ('at_least', 1, 24, $1, '{warning}', $2)",
        ids["00004"], NOW,
    )  # fmt: skip
    done = await reform(conn, tmp_path)
    ba_dinh, giang_vo = await unit(conn, "00004", NEW), await unit(conn, "00025", NEW)
    bach = await find_actor(conn, "bach")
    assert await authority(conn, bach, "author") == {ba_dinh}
    assert await authority(conn, bach, "staff") == {giang_vo}
    assert len(await authority(conn, await find_actor(conn, "pho"), "admin")) == 5
    assert await authority(conn, await find_actor(conn, "ha"), "author") == frozenset()
    [left] = done.left_roles
    assert (left.login, left.role, left.code) == ("ha", "author", "00016")
    assert left.successors == ("Phường Ba Đình", "Phường Ngọc Hà")
    rules = await conn.fetch("SELECT unit_id FROM cadence_rule WHERE unit_id IS NOT NULL")
    assert [row["unit_id"] for row in rules] == [ba_dinh]
    # The group keeps its ground: all of today's Ngọc Hà and Ba Đình, nothing else.
    [group] = await groups_of(conn)
    assert {unit_id: round(share, 2) for unit_id, share in group.shares.items()} == {
        ba_dinh: 1.0, await unit(conn, "00008", NEW): 1.0,
    }  # fmt: skip


async def test_all_of_hanoi(conn: Conn, tmp_path: Path, boundaries: Path) -> None:
    """Every old commune where its heirs are, its own outline not being known to anybody here."""
    heirs = {row.code: row for row in read_units()}
    old, (west, south) = former_units(), at(0, 0)
    corners = [(heirs[one.successors[0]].lon - west, heirs[one.successors[0]].lat - south)
               for one in old]  # fmt: skip
    small = [
        (one.code, one.name, x * 100, y * 100, x * 100 + 0.1, y * 100 + 0.1, "")
        for one, (x, y) in zip(old, corners, strict=True)
    ]
    await import_units(conn, None, NOW, write(tmp_path / "old.geojson", small), OLD)
    people = await residents_by_unit(conn)
    file = boundaries / "hanoi_communes_2025_vnsdi_light.geojson"
    done = await import_units(conn, None, NOW, file, NEW)
    assert (done.added, done.closed) == (126, 527)
    assert done.people == Moved(by_table=326, split=200)
    found = await where(conn)
    for one in old:
        codes = [code.strip("[]") for code in found[people[one.code]].split()[1:]]
        assert codes == (sorted(one.successors) if len(one.successors) > 1 else [])
    counted = await conn.fetchval(
        "SELECT count(DISTINCT successor_id) FROM unit_successor s JOIN unit u USING (unit_id)"
        " WHERE u.kind <> 'city'"
    )
    assert counted == 126


async def residents_by_unit(conn: Conn) -> dict[str, int]:
    """Somebody known by unit only in each old commune."""
    rows = await conn.fetch(
        "WITH made AS (INSERT INTO person (created_at) SELECT $1 FROM unit WHERE kind <> 'city'"
        "  RETURNING person_id), each AS ("
        "  SELECT person_id, row_number() OVER (ORDER BY person_id) AS n FROM made), old AS ("
        "  SELECT unit_id, code, row_number() OVER (ORDER BY code) AS n FROM unit"
        "  WHERE kind <> 'city') SELECT person_id, unit_id, code FROM each JOIN old USING (n)",
        NOW,
    )
    await conn.executemany(
        "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
        " VALUES ($1, 0, $2, true)",
        [(row["person_id"], row["unit_id"]) for row in rows],
    )
    return {row["code"]: row["person_id"] for row in rows}
