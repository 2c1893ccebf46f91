"""Who may approve an alert, and what a decision binds, with real workers behind it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from broadcaster.alerts import approval, draft, lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.demo.seed import PASSWORD
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Role, create_official
from tests.builders import Service, now, unit_of
from tests.flow.scenes import for_later, of_ward, ward

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def another_approver(city: Service) -> AsyncIterator[None]:
    """Somebody else who may approve what tuan wrote, so that it can be sent for approval."""
    async with city.pool.acquire() as conn:
        other = await create_official(
            conn, None, now(), login=f"khac-{secrets.token_hex(3)}", name="Đỗ Văn Khác",
            password=PASSWORD,
            roles=[Role("approver", await unit_of(conn))],
        )  # fmt: skip
    yield
    # The city is everybody's: nobody else is to be asked of others' alerts.
    await city.value(
        "WITH gone AS (DELETE FROM official_role WHERE official_id = $1 RETURNING 1)"
        " SELECT count(*) FROM gone",
        other.official_id,
    )


async def _audited(city: Service, alert: Alert) -> list[str]:
    rows = await city.rows(
        "SELECT action FROM audit WHERE subject = 'alert' AND subject_id = $1 ORDER BY audit_id",
        alert.alert_id,
    )
    return [row["action"].removeprefix("alert.") for row in rows]


# Four eyes


@pytest.mark.usefixtures("another_approver")
async def test_who_wrote_or_submitted_an_alert_cannot_approve_it(city: Service) -> None:
    content = await for_later(city, "bốn mắt")
    own = await city.submit(await city.write(content, author="tuan"), author="tuan")
    with pytest.raises(NotAllowed) as refused:
        await city.approve(own, approver="tuan")
    assert refused.value.code == "four_eyes"

    handed_in = await city.submit(await city.write(content, author="ha"), author="tuan")
    with pytest.raises(NotAllowed) as refused:
        await city.approve(handed_in, approver="tuan")
    assert refused.value.code == "four_eyes"
    assert await city.state(own.alert_id) == "submitted"
    assert await city.state(handed_in.alert_id) == "submitted"


async def test_the_database_itself_refuses_one_pair_of_eyes(city: Service) -> None:
    alert = await city.submit(await city.write(await for_later(city, "bốn mắt SQL")))
    tuan = (await city.actor("tuan")).official_id
    for column in ("author_id", "submitted_by"):
        with pytest.raises(asyncpg.CheckViolationError, match="four_eyes"):
            await city.value(
                "UPDATE alert SET state = 'approved', approved_at = now(), approved_version ="
                f" version, {column} = $2, approved_by = $2 WHERE alert_id = $1",
                alert.alert_id, tuan,
            )  # fmt: skip
    assert await city.state(alert.alert_id) == "submitted"


@pytest.mark.usefixtures("another_approver")
async def test_who_edited_the_words_cannot_approve_them(city: Service) -> None:
    alert = await city.write(await for_later(city, "bốn mắt"))
    tuan = await city.actor("tuan")
    edited = await for_later(city, "bốn mắt, sửa bởi người duyệt")
    async with city.pool.acquire() as conn:
        await draft.save(conn, tuan, now(), alert.alert_id, alert.version, edited)
    submitted = await city.submit(alert)
    with pytest.raises(NotAllowed) as refused:
        await city.approve(submitted, approver="tuan")
    assert refused.value.code == "four_eyes"
    with pytest.raises(asyncpg.CheckViolationError, match="one of its writers"):
        await city.value(
            "UPDATE alert SET state = 'approved', approved_at = now(), approved_version = version,"
            " approved_by = $2 WHERE alert_id = $1",
            alert.alert_id, tuan.official_id,
        )  # fmt: skip
    assert await city.state(alert.alert_id) == "submitted"


async def test_a_role_does_not_reach_beyond_its_subtree(city: Service) -> None:
    alert = await city.submit(await city.write(await for_later(city, "ngoài địa bàn")))
    with pytest.raises(Refused):
        await city.approve(alert, approver="lan")
    assert await city.state(alert.alert_id) == "submitted"


async def test_two_decide_at_once_and_exactly_one_wins(city: Service) -> None:
    unit_id = await of_ward(city)
    for turn in range(4):
        content = await for_later(city, f"tranh duyệt {turn}")
        alert = await city.submit(await city.write(content, unit_id=unit_id))
        decided = await asyncio.gather(
            *(city.approve(alert, approver=login) for login in ("tuan", "mai", "lan")),
            return_exceptions=True,
        )
        won = [done for done in decided if isinstance(done, Alert)]
        lost = [done for done in decided if isinstance(done, Conflict)]
        assert (len(won), len(lost)) == (1, 2), decided
        for table, column in (("alert_snapshot", "alert_id"), ("outbox", "subject_id")):
            count = f"SELECT count(*) FROM {table} WHERE {column} = $1"
            assert await city.value(count, alert.alert_id) == 1
        assert (await _audited(city, alert)).count("approved") == 1


# Sent back, refused, edited


async def test_sent_back_with_a_reason_and_mended(city: Service) -> None:
    alert = await city.submit(await city.write(await for_later(city, "trả lại")))
    tuan, ha = await city.actor("tuan"), await city.actor("ha")
    async with city.pool.acquire() as conn:
        with pytest.raises(Refused) as refused:
            await approval.send_back(conn, tuan, now(), alert.alert_id, alert.version, "  ")
        assert refused.value.code == "reason_missing"
        back = await approval.send_back(
            conn, tuan, now(), alert.alert_id, alert.version, "Thiếu giờ đóng cửa đập"
        )
        assert (back.state, back.ended_reason) == ("returned", "Thiếu giờ đóng cửa đập")
        mended = await for_later(city, "trả lại, đã sửa")
        version = await draft.save(conn, ha, now(), alert.alert_id, alert.version, mended)
    again = await city.submit(back)
    assert again.version == version == 2
    await city.approve(again)
    # The clock may ask for the approval meanwhile.
    trail = [action for action in await _audited(city, alert) if action != "approval_asked"]
    assert trail == ["created", "submitted", "returned", "edited", "submitted", "approved"]


async def test_rejected_is_for_good(city: Service) -> None:
    alert = await city.submit(await city.write(await for_later(city, "từ chối")))
    tuan, ha = await city.actor("tuan"), await city.actor("ha")
    async with city.pool.acquire() as conn:
        await approval.reject(conn, tuan, now(), alert.alert_id, alert.version, "Trùng tin 14")
        content = await for_later(city, "từ chối, sửa")
        with pytest.raises(Conflict):
            await draft.save(conn, ha, now(), alert.alert_id, alert.version, content)
        with pytest.raises(Conflict):
            await approval.approve(conn, tuan, now(), alert.alert_id, alert.version)
        assert (await draft.find(conn, alert.alert_id)).ended_reason == "Trùng tin 14"


async def test_an_edit_voids_submission_approval_and_checks(city: Service) -> None:
    alert = await city.broadcast(await for_later(city, "sửa sau duyệt"))
    ha, tuan = await city.actor("ha"), await city.actor("tuan")
    async with city.pool.acquire() as conn:
        content = await for_later(city, "sửa sau duyệt, bản hai")
        version = await draft.save(conn, ha, now(), alert.alert_id, alert.version, content)
        found = await draft.find(conn, alert.alert_id)
        assert (found.state, found.approved_by, found.submitted_by) == ("draft", None, None)
        with pytest.raises(Conflict):
            await approval.approve(conn, tuan, now(), alert.alert_id, alert.version)
        with pytest.raises(Refused) as refused:
            await approval.submit(conn, ha, now(), alert.alert_id, version)
        assert refused.value.code == "not_checked"
        with pytest.raises(LookupError):
            await lifecycle.snapshot(conn, alert.alert_id)


async def test_what_was_approved_never_changes(city: Service) -> None:
    alert = await city.broadcast(await for_later(city, "bất biến"))
    for change in (
        "UPDATE alert_snapshot SET canonical = 'x' WHERE alert_id = $1",
        "DELETE FROM alert_snapshot WHERE alert_id = $1",
        "UPDATE audit SET action = 'x' WHERE subject = 'alert' AND subject_id = $1",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await city.value(change, alert.alert_id)


@pytest.mark.parametrize("status", ["Exercise", "Test", "System", "Draft"])
async def test_what_is_real_or_not_is_decided_once(city: Service, status: str) -> None:
    alert = await city.submit(await city.write(await ward(city, f"thử {status}")))
    with pytest.raises(asyncpg.CheckViolationError, match="real or exercise is decided once"):
        await city.value("UPDATE alert SET status = $2 WHERE alert_id = $1", alert.alert_id, status)


@pytest.mark.parametrize("status", ["Test", "System", "Draft"])
@pytest.mark.parametrize("state", ["approved", "scheduled", "sending", "sent"])
async def test_nothing_but_a_real_alert_or_an_exercise_leaves(
    city: Service, status: str, state: str
) -> None:
    lan, tuan = await city.actor("lan"), await city.actor("tuan")
    with pytest.raises(asyncpg.CheckViolationError, match="actual_or_exercise_leaves"):
        await city.value(
            "INSERT INTO alert (code, cap_identifier, status, state, class, lane, event, unit_id,"
            " author_id, created_at, updated_at, expires, approved_by, approved_at,"
            " approved_version) SELECT 'HN-0', 'urn:0', $1, $2::alert_state, 'warning', 1, 'storm',"
            " unit_id, $3, now(), now(), now() + interval '1 hour', $4, now(), 1"
            " FROM unit ORDER BY unit_id LIMIT 1",
            status, state, lan.official_id, tuan.official_id,
        )  # fmt: skip
