import csv
from datetime import timedelta
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people.importing import COLUMNS, import_csv
from broadcaster.people.officials import Role
from broadcaster.people.register import leave
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, official, unit_id

GOOD = {
    "external_id": "e1", "lang": "en", "lon": "105.83806", "lat": "21.03853",
    "phone": "0912345678; 0912345679", "email": "an@dan.example", "push": "fid:" + "a" * 22,
    "consent_at": "2026-01-01T08:00:00+07:00", "consent_source": "iHanoi",
    "watched": f"{NGOC_HA}; 105.81632 21.03812",
}  # fmt: skip


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


async def everything(conn: Conn) -> list[object]:
    queries = (
        "SELECT external_id, lang::text, left_at FROM person ORDER BY 1",
        "SELECT person_id, given_at, source FROM consent ORDER BY 1, 2",
        "SELECT person_id, place_no, unit_id, by_unit_only FROM person_place ORDER BY 1, 2",
        "SELECT person_id, place_no, x, y FROM person_point ORDER BY 1, 2",
        "SELECT endpoint_id, channel::text, state::text, lang::text FROM endpoint ORDER BY 1",
        "SELECT person_id, endpoint_id FROM person_endpoint ORDER BY 1, 2",
    )
    return [[tuple(row) for row in await conn.fetch(query)] for query in queries]


async def test_right_rows_are_saved_and_wrong_ones_written_down(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    bad = [
        {**GOOD, "external_id": "e2", "phone": "024 3826 1234", "email": "x"},
        {**GOOD, "external_id": "e3", "lon": "1", "consent_at": "gestern"},
        {**GOOD, "external_id": "e4", "lon": "", "lat": "", "watched": "99999"},
        {**GOOD, "external_id": "", "lon": "abc"},
        GOOD,
    ]
    told: list[int] = []
    path = write(tmp_path / "people.csv", GOOD, *bad)
    done = await import_csv(pool, keyring, units, None, NOW, path, told.append)
    assert (done.saved, done.bad, sum(told)) == (1, 5, 6)
    assert done.error_file == tmp_path / "people.csv.errors.csv"
    # It repeats addresses: nobody else on this machine may read it.
    assert done.error_file.stat().st_mode & 0o777 == 0o600
    with done.error_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["external_id"] for row in rows] == ["e2", "e3", "e4", "", "e1"]
    reasons = [row["reason_en"] for row in rows]
    for reason, words in zip(
        reasons,
        (["phone: A landline", "email: "], ["lon, lat, unit_code: ", "consent_at: "],
         ["watched[0]: ", "lon, lat, unit_code: Say"], ["external_id: ", "coordinates"],
         ["earlier row"]),
        strict=True,
    ):  # fmt: skip
        assert all(word in reason for word in words), reason
    assert "máy bàn" in rows[0]["reason"]
    ba_dinh, ngoc_ha = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    people, _, places, points, endpoints, links = await everything(conn)
    assert people == [("e1", "en", None)]
    assert [place[1:] for place in places] == [
        (0, ba_dinh, False), (1, ngoc_ha, True), (2, ngoc_ha, False),
    ]  # fmt: skip
    assert [point[1:] for point in points] == [(0, 10583806, 2103853), (2, 10581632, 2103812)]
    assert sorted(e[1:] for e in endpoints) == [
        ("email", "active", "en"), ("push", "active", "en"),
        ("sms", "active", "en"), ("sms", "active", "en"),
    ]  # fmt: skip
    assert len(links) == 4


async def test_the_same_file_twice_changes_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.csv", GOOD, {**GOOD, "external_id": "e2", "lang": "vi", "push": ""})
    await import_csv(pool, keyring, units, None, NOW, path)
    once = await everything(conn)
    assert len(once[-1]) == 7
    await import_csv(pool, keyring, units, None, NOW + timedelta(days=1), path)
    assert await everything(conn) == once


async def test_a_later_file_replaces_places_and_addresses(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    await import_csv(pool, keyring, units, None, NOW, write(tmp_path / "a.csv", GOOD))
    moved = {
        **GOOD, "lon": "", "lat": "", "unit_code": NGOC_HA, "watched": "",
        "phone": "0912345678", "email": "", "push": "", "lang": "",
    }  # fmt: skip
    await import_csv(pool, keyring, units, None, NOW, write(tmp_path / "b.csv", moved))
    people, _, places, points, endpoints, links = await everything(conn)
    assert people == [("e1", "vi", None)]
    assert [place[1:] for place in places] == [(0, await unit_id(conn, NGOC_HA), True)]
    assert points == []
    assert len(links) == 1
    assert sorted(e[1:3] for e in endpoints if e[2] == "active") == [("sms", "active")]
    assert [e[3] for e in endpoints if e[2] == "active"] == ["vi"]


async def test_who_left_comes_back_only_with_a_new_consent(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.csv", GOOD)
    await import_csv(pool, keyring, units, None, NOW, path)
    await leave(conn, NOW, await conn.fetchval("SELECT person_id FROM person"))
    done = await import_csv(pool, keyring, units, None, NOW, path)
    assert (done.saved, done.bad) == (0, 1)
    assert await conn.fetchval("SELECT left_at FROM person") == NOW
    anew = (NOW + timedelta(hours=1)).isoformat()
    later = NOW + timedelta(hours=2)
    path = write(tmp_path / "q.csv", {**GOOD, "consent_at": anew})
    assert (await import_csv(pool, keyring, units, None, later, path)).saved == 1
    assert await conn.fetchval("SELECT left_at FROM person") is None


async def test_a_retired_address_stays_retired(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.csv", GOOD)
    await import_csv(pool, keyring, units, None, NOW, path)
    await conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_reason = 'UNREGISTERED'"
        " WHERE channel = 'push'"
    )
    await import_csv(pool, keyring, units, None, NOW, path)
    state = await conn.fetchval("SELECT state::text FROM endpoint WHERE channel = 'push'")
    assert state == "retired"


async def test_a_file_without_its_columns_and_an_actor_without_the_city_are_refused(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.csv", {"lon": "1"}, columns=("lon",))
    with pytest.raises(Refused, match="external_id"):
        await import_csv(pool, keyring, units, None, NOW, path)
    actor = await official(conn, "phuong", Role("admin", await unit_id(conn, BA_DINH)))
    with pytest.raises(NotAllowed):
        await import_csv(pool, keyring, units, actor, NOW, write(tmp_path / "q.csv", GOOD))


async def test_a_file_in_another_encoding_is_refused_whole(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    path = write(tmp_path / "people.csv", GOOD)
    path.write_bytes(path.read_bytes() + "Phường".encode("utf-16"))
    with pytest.raises(Refused) as refused:
        await import_csv(pool, keyring, units, None, NOW, path)
    assert refused.value.code == "csv_encoding"
    assert "people.csv is not UTF-8" in refused.value.message_en
    assert await conn.fetchval("SELECT count(*) FROM person") == 0
