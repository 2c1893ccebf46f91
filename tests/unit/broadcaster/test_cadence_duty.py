from collections import Counter
from datetime import datetime, timedelta

import pytest

from broadcaster.cadence.duty import (
    Duty,
    discharges,
    duty_of,
    duty_table,
    record_notice,
)
from broadcaster.cadence.history import seed_history
from broadcaster.cadence.rules import CITY_TIME, Status
from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import root_ids
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, alert, official, unit_id

PERIOD = timedelta(hours=72)


async def notice(conn: Conn, unit: int, at: datetime, alert_class: str = "information") -> None:
    await conn.execute(
        "INSERT INTO notice (unit_id, class, event, at) VALUES ($1, $2, 'public_notice', $3)",
        unit, alert_class, at,
    )  # fmt: skip


async def test_every_ward_and_commune_owes_a_notice_and_the_city_does_not(
    conn: Conn, units: UnitMap
) -> None:
    table = await duty_table(conn, NOW)
    assert Counter(duty.kind for duty in table) == {"ward": 51, "commune": 75}
    assert {duty.status for duty in table} == {Status.OVERDUE}
    assert {duty.due for duty in table} == {datetime(2025, 7, 4, tzinfo=CITY_TIME)}
    [root] = await root_ids(conn)
    city = await duty_of(conn, root, NOW)
    assert (city.status, city.due, city.last) == (None, None, None)
    with pytest.raises(NotFound):
        await duty_of(conn, 999_999, NOW)


async def test_the_table_shows_the_most_pressing_first(conn: Conn, units: UnitMap) -> None:
    late, soon, fine = [await unit_id(conn, code) for code in (BA_DINH, NGOC_HA, "00025")]
    await notice(conn, late, NOW - PERIOD)
    await notice(conn, late, NOW - PERIOD - timedelta(days=9))
    await notice(conn, soon, NOW - PERIOD + timedelta(seconds=1))
    await notice(conn, fine, NOW - timedelta(hours=1), "emergency")
    await notice(conn, fine, NOW + timedelta(hours=1))
    table = await duty_table(conn, NOW, [fine, soon, late])
    assert [(d.unit_id, d.status, d.last, d.due) for d in table] == [
        (late, Status.OVERDUE, NOW - PERIOD, NOW),
        (soon, Status.DUE_SOON, NOW - PERIOD + timedelta(seconds=1), NOW + timedelta(seconds=1)),
        (fine, Status.ON_TIME, NOW - timedelta(hours=1), NOW + timedelta(hours=71)),
    ]
    for duty in table:
        assert await duty_of(conn, duty.unit_id, NOW) == duty


async def test_a_rule_for_one_unit_stands_beside_the_general_one(
    conn: Conn, units: UnitMap
) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    await conn.execute(
        "INSERT INTO cadence_rule (kind, count, period_hours, unit_id, classes, valid_from,"
        " valid_to) VALUES ('at_least', 2, 24, $1, '{warning}', $2, $3),"
        " ('at_most', 1, 1, $1, '{information}', $2, NULL)",
        ward, NOW - timedelta(days=30), NOW + timedelta(days=1),
    )  # fmt: skip
    for unit in (ward, other):
        await notice(conn, unit, NOW - timedelta(hours=2), "warning")
        await notice(conn, unit, NOW - timedelta(hours=1))
    first = await duty_of(conn, ward, NOW)
    assert (first.status, first.last) == (Status.OVERDUE, NOW - timedelta(hours=2))
    assert (await duty_of(conn, other, NOW)).status is Status.ON_TIME
    later = NOW + timedelta(days=1)
    assert (await duty_of(conn, ward, later)).due == NOW - timedelta(hours=1) + PERIOD


async def test_what_a_notice_would_do_is_told_before_it_is_sent(conn: Conn, units: UnitMap) -> None:
    ward = await unit_id(conn, BA_DINH)
    told = await discharges(conn, ward, "information", NOW)
    assert told.before.status is Status.OVERDUE
    assert told.counts
    assert told.due_after == NOW + PERIOD
    await conn.execute("UPDATE cadence_rule SET classes = '{warning,emergency}'")
    told = await discharges(conn, ward, "information", NOW)
    assert not told.counts
    assert told.due_after == told.before.due
    [root] = await root_ids(conn)
    city = await discharges(conn, root, "warning", NOW)
    assert (city.counts, city.due_after) == (False, None)


async def test_a_published_alert_is_a_notice_once_dated_by_its_first_hand_off(
    conn: Conn, units: UnitMap
) -> None:
    ward = await unit_id(conn, BA_DINH)
    author = await official(conn, "lan")
    published = await alert(conn, author, ward)
    first = NOW - timedelta(minutes=5)
    assert await record_notice(conn, NOW, published, first + timedelta(seconds=9))
    assert await record_notice(conn, NOW, published, first)
    assert await record_notice(conn, NOW, published, NOW)
    rows = await conn.fetch("SELECT unit_id, class::text, event, at FROM notice")
    assert [tuple(row) for row in rows] == [(ward, "warning", "storm", first)]
    assert (await duty_of(conn, ward, NOW)).due == first + PERIOD


@pytest.mark.parametrize(
    ("kind", "status", "counts"),
    [
        ("alert", "Actual", True),
        ("update", "Actual", True),
        ("all_clear", "Actual", True),
        ("cancel", "Actual", False),
        ("correction", "Actual", False),
        ("alert", "Exercise", False),
        ("alert", "Test", False),
    ],
)
async def test_corrections_cancels_and_exercises_inform_nobody_anew(
    conn: Conn, units: UnitMap, kind: str, status: str, counts: bool
) -> None:
    ward, author = await unit_id(conn, BA_DINH), await official(conn, "lan")
    first = await alert(conn, author, ward)
    one = await alert(
        conn, author, ward, code="HN-2", kind=kind, status=status,
        predecessor_id=None if kind == "alert" else first,
    )  # fmt: skip
    assert await record_notice(conn, NOW, one, NOW) is counts
    assert await conn.fetchval("SELECT count(*) FROM notice") == int(counts)


async def test_the_demo_has_a_past_with_units_of_every_status(conn: Conn, units: UnitMap) -> None:
    added = await seed_history(conn, NOW)
    assert added > 126 * 90 / 4
    table = await duty_table(conn, NOW)
    by_status = Counter(duty.status for duty in table)
    assert 3 <= by_status[Status.OVERDUE] <= 15
    assert 7 <= by_status[Status.DUE_SOON] <= 35
    assert by_status[Status.ON_TIME] > 80
    assert await seed_history(conn, NOW) == 0
    oldest = await conn.fetchval("SELECT min(at) FROM notice WHERE alert_id IS NULL")
    assert NOW - timedelta(days=90) < oldest < NOW - timedelta(days=88)


async def test_the_table_is_quick_with_years_of_notices(conn: Conn, units: UnitMap) -> None:
    """Each unit's answer reads a few pages of one index, not its history."""
    await conn.execute(
        "INSERT INTO notice (unit_id, class, event, at) SELECT unit_id, 'information', 'x',"
        " $1::timestamptz - n * interval '2 days' FROM unit, generate_series(1, 900) n",
        NOW,
    )
    await conn.execute("ANALYZE notice")
    plan = await conn.fetch(
        "EXPLAIN (ANALYZE, BUFFERS) SELECT l.at FROM unit u, LATERAL (SELECT at FROM notice"
        " WHERE unit_id = u.unit_id AND at <= now() ORDER BY at DESC LIMIT 1) l"
    )
    text = "\n".join(row[0] for row in plan)
    assert "notice_unit" in text
    assert "Seq Scan on notice" not in text
    table: list[Duty] = await duty_table(conn, NOW)
    assert {duty.last for duty in table} == {NOW - timedelta(days=2)}
