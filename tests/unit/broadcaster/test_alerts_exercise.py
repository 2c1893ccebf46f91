"""What is an exercise, by whose choice, and what a training account has no part in."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from broadcaster.alerts import approval, draft, exercise, exercise_sessions, lifecycle
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Actor, Role, create_official
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, PASSWORD, official, unit_id
from tests.unit.broadcaster.site import content as storm

DAY = timedelta(days=1)


def words() -> Content:
    return parse(storm(NOW))


async def _trainee(conn: Conn, login: str, role: str) -> Actor:
    return await create_official(
        conn, None, NOW, login=login, name=login, password=PASSWORD, training=True,
        roles=[Role(role, await unit_id(conn, BA_DINH))],
    )  # fmt: skip


async def _alert(conn: Conn, actor: Actor, *, real: bool | None = None) -> Alert:
    wanted = None if real is None else not real
    unit = await unit_id(conn, BA_DINH)
    return await draft.create(conn, actor, NOW, words(), unit, as_exercise=wanted)


async def test_an_alert_is_real_unless_somebody_says_exercise(conn: Conn, units: UnitMap) -> None:
    lan = await official(conn, "lan", Role("author", await unit_id(conn, BA_DINH)))
    plain, chosen = await _alert(conn, lan), await _alert(conn, lan, real=False)
    assert (plain.status, chosen.status) == ("Actual", "Exercise")
    assert plain.code.startswith("HN-")
    assert chosen.code.startswith("DT-")
    assert chosen.title.startswith("[DIỄN TẬP] ")
    # Its author takes the mark out; the next version has it again.
    bare = exercise.bared((await draft.load(conn, lan, chosen.alert_id)).content)
    await draft.save(conn, lan, NOW, chosen.alert_id, 1, bare)
    again = await draft.load(conn, lan, chosen.alert_id)
    assert (again.alert.version, again.alert.title) == (2, chosen.title)


async def test_a_session_makes_exercises_the_default_and_leaves_real_ones_possible(
    conn: Conn, units: UnitMap
) -> None:
    city = await unit_id(conn, "01")
    anna = await official(conn, "anna", Role("admin", city))
    lan = await official(conn, "lan", Role("author", await unit_id(conn, BA_DINH)))
    session = await exercise_sessions.open_one(
        conn, anna, NOW, name="Bão giả định", unit_ids=[city], begins_at=NOW, ends_at=NOW + DAY
    )
    found = await exercise_sessions.of_unit(conn, NOW, await unit_id(conn, BA_DINH))
    assert found is not None
    assert (found.session_id, found.name) == (session, "Bão giả định")
    assert (await _alert(conn, lan)).status == "Exercise"
    assert (await _alert(conn, lan, real=True)).status == "Actual"
    assert await exercise_sessions.of_unit(conn, NOW + DAY, city) is None
    await exercise_sessions.close_one(conn, anna, NOW, session)
    assert (await _alert(conn, lan)).status == "Actual"
    with pytest.raises(Conflict):
        await exercise_sessions.close_one(conn, anna, NOW, session)


async def test_a_session_is_for_units_one_is_in_charge_of_and_for_a_time_that_can_be(
    conn: Conn, units: UnitMap
) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    hoa = await official(conn, "hoa", Role("admin", ward))
    for unit, ends, name, wrong in (
        (other, NOW + DAY, "Thử", NotAllowed),
        (ward, NOW - DAY, "Thử", Refused),
        (ward, NOW + 15 * DAY, "Thử", Refused),
        (ward, NOW + DAY, "  ", Refused),
    ):
        with pytest.raises(wrong):
            await exercise_sessions.open_one(
                conn, hoa, NOW, name=name, unit_ids=[unit], begins_at=NOW, ends_at=ends
            )
    assert await exercise_sessions.listing(conn, hoa) == []


async def test_what_a_training_account_writes_is_training_for_ever(
    conn: Conn, units: UnitMap
) -> None:
    hoc = await _trainee(conn, "hoc", "author")
    made = await _alert(conn, hoc)
    assert (made.status, made.training) == ("Exercise", True)
    with pytest.raises(NotAllowed, match="exercises only"):
        await _alert(conn, hoc, real=True)
    for change in ("training = false", "status = 'Actual', training = false"):
        with pytest.raises(asyncpg.CheckViolationError, match="decided once"):
            await conn.execute(f"UPDATE alert SET {change} WHERE alert_id = $1", made.alert_id)


async def test_a_training_account_has_no_part_in_what_reaches_people(
    conn: Conn, units: UnitMap
) -> None:
    lan = await official(conn, "lan", Role("author", await unit_id(conn, BA_DINH)))
    hoc, thi = await _trainee(conn, "hoc", "author"), await _trainee(conn, "thi", "approver")
    # An exercise of somebody on duty reaches people too.
    for one in (await _alert(conn, lan), await _alert(conn, lan, real=False)):
        with pytest.raises(NotAllowed, match="no part"):
            await draft.save(conn, hoc, NOW, one.alert_id, 1, words())
        with pytest.raises(NotAllowed, match="no part"):
            await approval.submit(conn, hoc, NOW, one.alert_id, 1)
        with pytest.raises(NotAllowed, match="no part"):
            await lifecycle.stop(conn, thi, NOW, one.alert_id, "nhầm")
        with pytest.raises(NotAllowed):
            await approval.approve(conn, thi, NOW, one.alert_id, 1)
        for column in ("submitted_by", "approved_by", "ended_by"):
            with pytest.raises(asyncpg.CheckViolationError, match="no part in it"):
                await conn.execute(
                    f"UPDATE alert SET {column} = $2 WHERE alert_id = $1",
                    one.alert_id, thi.official_id,
                )  # fmt: skip
        with pytest.raises(asyncpg.CheckViolationError, match="no part in it"):
            await draft.write_version(conn, hoc.official_id, NOW, one.alert_id, 2, words())


async def test_the_snapshot_holds_no_words_that_say_otherwise(conn: Conn, units: UnitMap) -> None:
    lan = await official(conn, "lan", Role("author", await unit_id(conn, BA_DINH)))
    for real, said in ((True, exercise.with_mark(words(), "Exercise")), (False, words())):
        made = await _alert(conn, lan, real=real)
        wrong = draft.Draft(made, said, None)
        with pytest.raises(asyncpg.CheckViolationError, match="whether it is an exercise"):
            await approval.freeze(conn, NOW, wrong)
