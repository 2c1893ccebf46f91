"""What carriers say afterwards: in any order, before its time, twice, too late, of nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations

import pytest
import smpp34
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcaster.db import Conn, Pool
from broadcaster.fanout import alarms, providers, receipts
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.progress import progress
from broadcaster.fanout.receipts import Receipt, Standing
from broadcaster.fanout.sending import delivery_token
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from broadcaster.processes.bounces import booker
from broadcaster.processes.intake import read_receipt
from channels.base import Action
from channels.email_errors import ENHANCED, mailbox_is_gone
from channels.sms_flavours import Reading
from channels.sms_pdu import RawPdu
from tests.unit.broadcaster.city import NOW
from tests.unit.broadcaster.sending import Sending, author, sending

ADDRESS = "smpp://city:word@smsc.example:2775"


def seconds(count: float) -> datetime:
    return NOW + timedelta(seconds=count)


def told(message_id: str, news: str = "confirmed", **more: object) -> Receipt:
    return Receipt([message_id], news, "", more.get("dead") is True, b"raw")


@pytest.fixture
async def provider_id(conn: Conn) -> int:
    return await providers.register(conn, "sms", "smpp", "test")


@pytest.fixture
async def made(conn: Conn, keyring: Keyring, units: UnitMap) -> Sending:
    """Three SMS that are on their way."""
    return await sending(conn, keyring, await author(conn), code="A", channel="sms")


async def hand_off(
    conn: Conn, made: Sending, provider_id: int, ids: Sequence[str], *, at: datetime = NOW,
    which: int = 0, state: str | None = "handed_off",
) -> int:  # fmt: skip
    """Commit what an outcome commits: where the message is, and what its carrier calls it."""
    endpoint_id = made.endpoint_ids[which]
    await receipts.keep_refs(conn, at, "sms", provider_id, made.alert_id, {endpoint_id: ids})
    await move(conn, at, made.alert_id, [Move(endpoint_id, state, tries=1)])
    return endpoint_id


async def arrive(conn: Conn, keyring: Keyring, provider_id: int, *some: Receipt) -> None:
    async with conn.transaction():
        await receipts.store(conn, keyring, NOW, [(provider_id, one) for one in some])


async def state_of(conn: Conn, endpoint_id: int) -> str:
    return str(
        await conn.fetchval("SELECT state FROM delivery WHERE endpoint_id = $1", endpoint_id)
    )


@pytest.mark.parametrize("order", list(permutations(("1", "2", "3"))))
async def test_parts_are_joined_in_any_order(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int, order: Sequence[str]
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ("1", "2", "3"))
    for number, message_id in enumerate(order, start=1):
        assert await state_of(conn, endpoint_id) == "handed_off"
        await arrive(conn, keyring, provider_id, told(message_id))
        assert await receipts.join(pool, seconds(number)) == 1
    assert await state_of(conn, endpoint_id) == "confirmed"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_comes_however_often_the_parts_decide(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int, data: st.DataObject
) -> None:
    endpoint_id = made.endpoint_ids[0]
    for table in ("provider_ref", "receipt_raw"):
        await conn.execute(f"DELETE FROM {table}")
    await conn.execute("UPDATE delivery SET state = 'pending'")
    await conn.execute("UPDATE progress SET pending = 3, handed_off = 0, confirmed = 0, failed = 0")
    parts = data.draw(st.integers(1, 3))
    ids = [str(part) for part in range(parts)]
    news = {one: data.draw(st.sampled_from(["confirmed", "failed", "none"])) for one in ids}
    came = data.draw(st.permutations([one for one in ids for _ in range(2)]))
    late = data.draw(st.booleans())
    if not late:
        await hand_off(conn, made, provider_id, ids)
    for cut in (came[: len(came) // 2], came[len(came) // 2 :]):
        await arrive(conn, keyring, provider_id, *(told(one, news[one]) for one in cut))
        await receipts.join(pool, NOW)
    if late:
        await hand_off(conn, made, provider_id, ids)
    while await receipts.join(pool, seconds(5)):
        pass
    said = set(news.values())
    expected = "confirmed" if said == {"confirmed"} else "handed_off"
    assert await state_of(conn, endpoint_id) == ("failed" if "failed" in said else expected)
    assert not await conn.fetchval("SELECT count(*) FROM receipt_raw WHERE joined_at IS NULL")
    [count] = await progress(conn, made.alert_id)
    assert count.total == 3


async def test_early_ones_wait_and_are_asked_about_less_and_less(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    await arrive(conn, keyring, provider_id, told("a"))
    looks, at = 0, 0.0
    while at < 3600:
        before = await conn.fetchval("SELECT look_at FROM receipt_raw")
        assert await receipts.join(pool, seconds(at)) == 0
        looks += before != await conn.fetchval("SELECT look_at FROM receipt_raw")
        at += 0.5 if at < 60 else 60
    assert 8 <= looks <= 16
    endpoint_id = await hand_off(conn, made, provider_id, ["a"])
    assert await receipts.join(pool, seconds(3 * 3600)) == 1
    assert await state_of(conn, endpoint_id) == "confirmed"


async def test_a_receipt_soon_after_its_outcome_is_joined_within_a_second(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    await arrive(conn, keyring, provider_id, told("a"))
    assert await receipts.join(pool, NOW) == 0
    await hand_off(conn, made, provider_id, ["a"])
    assert await receipts.join(pool, seconds(0.5)) == 1


async def test_replays_change_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ["1"])
    for news, state in (("confirmed", "confirmed"), ("confirmed", "confirmed"),
                        ("failed", "confirmed"), ("none", "confirmed")):  # fmt: skip
        await arrive(conn, keyring, provider_id, told("1", news), told("1", news))
        assert await receipts.join(pool, NOW) == 2
        assert await state_of(conn, endpoint_id) == state
    [count] = await progress(conn, made.alert_id)
    assert (count.confirmed, count.failed, count.total) == (1, 0, 3)


async def test_of_two_verdicts_at_once_the_phone_that_has_it_counts(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ["1"])
    await arrive(conn, keyring, provider_id, told("1", "failed"), told("1"))
    assert await receipts.join(pool, NOW) == 2
    assert await state_of(conn, endpoint_id) == "confirmed"


@pytest.mark.parametrize("news", ["confirmed", "failed"])
async def test_a_part_that_was_taken_says_nothing_of_a_message_that_was_not(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int, news: str
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ("1", ""), state=None)
    await arrive(conn, keyring, provider_id, told("1", news))
    assert await receipts.join(pool, NOW) == 1
    assert await state_of(conn, endpoint_id) == "pending", "it is sent again, whole"
    await hand_off(conn, made, provider_id, ("3", "4"), at=seconds(10))
    await arrive(conn, keyring, provider_id, told("4"), told("3"))
    assert await receipts.join(pool, seconds(11)) == 2
    assert await state_of(conn, endpoint_id) == "confirmed"


async def test_a_late_failure_of_an_earlier_try_does_not_fail_the_later_one(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    await hand_off(conn, made, provider_id, ["1"], state=None)
    endpoint_id = await hand_off(conn, made, provider_id, ["2"], at=seconds(60))
    await arrive(conn, keyring, provider_id, told("1", "failed"))
    assert await receipts.join(pool, seconds(61)) == 1
    assert await state_of(conn, endpoint_id) == "handed_off"
    await arrive(conn, keyring, provider_id, told("2", "failed"))
    assert await receipts.join(pool, seconds(62)) == 1
    assert await state_of(conn, endpoint_id) == "failed"


def deliver_sm(text: str) -> RawPdu:
    pdu = smpp34.DeliverSm("84912345678", "HANOI", text.encode(), esm_class=4, sequence_number=1)
    return RawPdu.from_wire(pdu.encode(), NOW)


async def test_a_carrier_known_to_report_in_decimal_is_believed_at_once(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ["0000beef"])
    other = await hand_off(conn, made, provider_id, ["48879"], which=1)
    came = deliver_sm("id:48879 stat:DELIVRD err:000")
    await arrive(
        conn, keyring, provider_id, read_receipt(came, Reading.of(f"{ADDRESS}?ids=decimal"))
    )
    assert await receipts.join(pool, NOW) == 1
    assert await state_of(conn, endpoint_id) == "confirmed"
    assert await state_of(conn, other) == "handed_off", "that is another message's number"


async def test_where_the_notation_is_not_known_the_id_as_written_has_time_to_come(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    other = await hand_off(conn, made, provider_id, ["beef"])
    came = deliver_sm("id:48879 stat:DELIVRD err:000")
    await arrive(conn, keyring, provider_id, read_receipt(came, Reading.of(ADDRESS)))
    assert await receipts.join(pool, seconds(1)) == 0
    endpoint_id = await hand_off(conn, made, provider_id, ["48879"], which=1)
    assert await receipts.join(pool, seconds(3)) == 1
    assert (await state_of(conn, endpoint_id), await state_of(conn, other)) == (
        "confirmed", "handed_off",
    )  # fmt: skip
    await arrive(conn, keyring, provider_id, read_receipt(
        deliver_sm("id:0048880 stat:DELIVRD"), Reading.of(ADDRESS)))  # fmt: skip
    third = await hand_off(conn, made, provider_id, ["BEF0"], which=2)
    assert await receipts.join(pool, seconds(2)) == 0
    assert await receipts.join(pool, seconds(10)) == 1
    assert await state_of(conn, third) == "confirmed"


async def test_a_receipt_that_names_no_message_is_kept_and_counted(
    pool: Pool, conn: Conn, keyring: Keyring, provider_id: int, units: UnitMap
) -> None:
    unreadable = read_receipt(deliver_sm("nobody knows"), Reading.of(ADDRESS))
    await arrive(conn, keyring, provider_id, unreadable, told("77"))
    other = await providers.register(conn, "sms", "smpp", "other")
    await arrive(conn, keyring, other, told("78"))
    assert await receipts.join(pool, seconds(7)) == 0
    assert await receipts.standing(conn) == [
        Standing(provider_id, waiting=2, unknown=0), Standing(other, waiting=1, unknown=0)
    ]  # fmt: skip
    assert await receipts.give_up(conn, NOW + receipts.GIVE_UP / 2) == 0
    assert await receipts.give_up(conn, NOW + receipts.GIVE_UP * 2) == 3
    assert await receipts.standing(conn) == [
        Standing(provider_id, waiting=0, unknown=2), Standing(other, waiting=0, unknown=1)
    ]  # fmt: skip
    await receipts.give_up(conn, NOW + receipts.KEPT + timedelta(days=1))
    assert await conn.fetchval("SELECT count(*) FROM receipt_raw") == 0


async def test_references_are_forgotten_after_a_week_and_later_receipts_are_harmless(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    endpoint_id = await hand_off(conn, made, provider_id, ["1"])
    await receipts.give_up(conn, NOW + receipts.KEPT - timedelta(hours=1))
    assert await conn.fetchval("SELECT count(*) FROM provider_ref") == 1
    await receipts.give_up(conn, NOW + receipts.KEPT + timedelta(hours=1))
    await arrive(conn, keyring, provider_id, told("1"))
    assert await receipts.join(pool, NOW + receipts.KEPT + timedelta(hours=2)) == 0
    assert await state_of(conn, endpoint_id) == "handed_off"


async def test_receipts_of_deliveries_that_are_gone_are_harmless(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    await hand_off(conn, made, provider_id, ["1"])
    await hand_off(conn, made, provider_id, ["2", "3"], which=1)
    await conn.execute("DELETE FROM delivery")
    await arrive(conn, keyring, provider_id, told("1"), told("2", "failed", dead=True), told("3"))
    assert await receipts.join(pool, NOW) == 3
    assert await receipts.join(pool, NOW) == 0


async def test_numbers_nobody_has_are_retired_with_a_brake(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, provider_id: int
) -> None:
    made = await sending(conn, keyring, await author(conn), code="B", channel="sms", count=300)
    refs = {one: [str(which)] for which, one in enumerate(made.endpoint_ids)}
    await receipts.keep_refs(conn, NOW, "sms", provider_id, made.alert_id, refs)
    await move(conn, NOW, made.alert_id, [Move(one, "handed_off") for one in refs])
    await arrive(conn, keyring, provider_id, told("0", "failed", dead=True))
    await receipts.join(pool, NOW)
    retired = "SELECT count(*) FROM endpoint WHERE state = 'retired'"
    assert await conn.fetchval(retired) == 1
    # Half of a batch dead is a wrong table of ours, not an epidemic.
    some = [told(str(n), "failed" if n % 2 else "confirmed", dead=n % 2 == 1) for n in range(300)]
    await arrive(conn, keyring, provider_id, *some)
    await receipts.join(pool, NOW)
    assert await conn.fetchval(retired) == 1
    assert await conn.fetchval("SELECT retirement_paused_until IS NOT NULL FROM provider")


async def test_a_trickle_of_dead_numbers_is_braked_as_a_flood_is(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, provider_id: int
) -> None:
    made = await sending(conn, keyring, await author(conn), code="B", channel="sms", count=40)
    refs = {one: [str(which)] for which, one in enumerate(made.endpoint_ids)}
    await receipts.keep_refs(conn, NOW, "sms", provider_id, made.alert_id, refs)
    await move(conn, NOW, made.alert_id, [Move(one, "handed_off") for one in refs])
    for number in range(40):
        await arrive(conn, keyring, provider_id, told(str(number), "failed", dead=True))
        assert await receipts.join(pool, NOW + timedelta(minutes=number)) == 1
    retired = await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'")
    assert retired == providers.MOST_RETIRED_SHARE * providers.FEWEST_TO_JUDGE == 10
    [alarm] = await alarms.standing(conn, NOW + timedelta(minutes=39))
    assert (alarm.what, alarm.subject) == ("retirement_paused", f"provider:{provider_id}")


async def test_another_provider_s_dead_numbers_are_its_own(
    pool: Pool, conn: Conn, keyring: Keyring, made: Sending, provider_id: int
) -> None:
    other = await providers.register(conn, "sms", "smpp", "other")
    nobodys = [told(f"x{number}", "failed", dead=True) for number in range(300)]
    async with conn.transaction():
        await receipts.store(conn, keyring, NOW, [(other, one) for one in nobodys])
    await conn.execute("UPDATE receipt_raw SET joined_at = received_at")
    await hand_off(conn, made, provider_id, ("1",))
    await arrive(conn, keyring, provider_id, told("1", "failed", dead=True))
    await receipts.join(pool, NOW)
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'") == 1


@pytest.mark.parametrize("status", sorted(ENHANCED))
def test_only_a_code_that_speaks_of_the_mailbox_retires_it(status: str) -> None:
    gone = ENHANCED[status][1] is Action.RETIRE
    assert mailbox_is_gone(status) is gone
    assert status.startswith("5.1.") or not gone


@pytest.mark.parametrize(
    ("status", "state", "retired"),
    [
        ("5.1.1", "failed", True),
        ("5.1.10", "failed", True),
        ("5.1.0", "failed", False),
        ("5.1.8", "failed", False),
        ("5.2.1", "failed", False),
        ("5.7.1", "failed", False),
        ("5.9.9", "failed", False),
        ("4.2.2", "handed_off", False),
        ("", "handed_off", False),
    ],
)
async def test_a_mail_that_comes_back(
    conn: Conn, keyring: Keyring, units: UnitMap, status: str, state: str, retired: bool
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", channel="email", count=1)
    [endpoint_id] = made.endpoint_ids
    await move(conn, NOW, made.alert_id, [Move(endpoint_id, "handed_off")])
    token = delivery_token(keyring, made.alert_id, endpoint_id)
    book = booker(keyring)
    for _ in range(2):
        await book(conn, NOW, token.upper(), status)
    await book(conn, NOW, "a1e1-forgedforgedforge", status)
    assert await state_of(conn, endpoint_id) == state
    row = await conn.fetchrow("SELECT state::text, retired_reason FROM endpoint")
    assert tuple(row or ()) == (("retired", status) if retired else ("active", None))


async def test_a_flood_of_bounces_retires_nobody_more(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", channel="email", count=200)
    await move(conn, NOW, made.alert_id, [Move(one, "handed_off") for one in made.endpoint_ids])
    for endpoint_id in made.endpoint_ids[:50]:
        await receipts.bounce(conn, NOW, made.alert_id, endpoint_id, "5.1.1")
    assert await conn.fetchval("SELECT count(*) FROM delivery WHERE state = 'failed'") == 50
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'") == 10
