"""Exercises with real workers: who got one is read in the carriers' own files.

Whatever is done with an exercise, only addresses on the list of recipients get any of it, and every
word of it says what it is. What training accounts send reaches no carrier at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta

import asyncpg
import pytest
import pytest_asyncio

from broadcaster.alerts import draft, followup
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.fanout import dead_letters, replay
from broadcaster.people import exercise_recipients
from broadcaster.people.exercise_recipients import Enrolment
from broadcaster.people.officials import Role, create_official
from channels.lab import fcm_store, smsc_store, smtp
from tests.builders import CHANNELS, Service, eventually, now, unit_of
from tests.flow.scenes import WARD, everywhere, last_taken, ward

pytestmark = pytest.mark.asyncio(loop_scope="package")

MARKS = ("[DIỄN TẬP]", "[DIEN TAP]", "[EXERCISE]")
Addresses = set[tuple[str, str]]


def _marked(text: str) -> bool:
    return any(mark in text for mark in MARKS)


@dataclass
class Enrolled:
    """Those who agreed: endpoint ids, what the carriers call them, what these had taken before."""

    endpoint_ids: list[int]
    addresses: Addresses
    people: int
    before: dict[str, int]


def _got(city: Service, enrolled: Enrolled) -> Addresses:
    """Addresses at which the carriers hold anything since that calls itself an exercise."""
    found: Addresses = set()
    with closing(fcm_store.connect(city.lab.directory)) as conn:
        for row in conn.execute(
            "SELECT m.address, c.title, c.body FROM message m JOIN content c ON c.id = m.content"
            " WHERE m.id > ?",
            (enrolled.before["push"],),
        ):
            if _marked(row["title"] + row["body"]):
                found.add(("push", row["address"]))
    with closing(smsc_store.open_store(city.lab.directory)) as conn:
        since = (enrolled.before["sms"],)
        for row in conn.execute("SELECT number, text FROM part WHERE id > ?", since):
            if _marked(row["text"]):
                found.add(("sms", row["number"]))
    with closing(smtp.connect(city.lab.directory)) as conn:
        since = (enrolled.before["email"],)
        for row in conn.execute("SELECT rcpt, subject, text FROM mail WHERE id > ?", since):
            if _marked(row["subject"] + row["text"]):
                found.add(("email", row["rcpt"]))
    return found


@pytest_asyncio.fixture(loop_scope="package")
async def enrolled(city: Service) -> AsyncIterator[Enrolled]:
    """Two people of the ward with each channel, on the city's list; taken off afterwards."""
    rows = await city.rows(
        "SELECT DISTINCT ON (e.channel, p.person_id) p.person_id, e.endpoint_id FROM person_place p"
        " JOIN unit u USING (unit_id) JOIN person_endpoint l USING (person_id)"
        " JOIN endpoint e USING (endpoint_id)"
        " WHERE u.code = $1 AND u.valid_to IS NULL AND e.state = 'active' AND NOT EXISTS ("
        "  SELECT FROM person_endpoint o WHERE o.endpoint_id = e.endpoint_id"
        "  AND o.person_id <> p.person_id) ORDER BY e.channel, p.person_id",
        WARD,
    )
    kinds = {
        one: channel for one, (channel, _, _) in
        (await city.addresses([row["endpoint_id"] for row in rows])).items()
    }  # fmt: skip
    chosen = [
        row for channel in CHANNELS
        for row in [r for r in rows if kinds[r["endpoint_id"]] == channel][:2]
    ]  # fmt: skip
    ids = [row["endpoint_id"] for row in chosen]
    await city.rows(
        "INSERT INTO exercise_recipient (endpoint_id, unit_id, consent, consented_on, added_at)"
        " SELECT unnest($1::bigint[]), unit_id, 'trên giấy', '2026-09-01', now() FROM unit"
        " WHERE kind = 'city' AND valid_to IS NULL",
        ids,
    )
    known = await city.addresses(ids)
    yield Enrolled(
        ids,
        {(channel, address) for channel, address, _ in known.values()},
        len({row["person_id"] for row in chosen}),
        last_taken(city),
    )
    await city.rows(
        "UPDATE exercise_recipient SET removed_at = now(), removed_why = 'xong'"
        " WHERE removed_at IS NULL"
    )


async def _exercise(city: Service, content: Content, **how: object) -> Alert:
    return await city.broadcast(content, as_exercise=True, **how)


async def _delivered_to(city: Service, alert_id: int) -> set[int]:
    rows = await city.rows("SELECT endpoint_id FROM delivery WHERE alert_id = $1", alert_id)
    return {row["endpoint_id"] for row in rows}


async def test_an_exercise_and_all_that_follows_it_reaches_those_who_agreed_and_nobody_else(
    city: Service, enrolled: Enrolled
) -> None:
    actor = await city.actor("ha")
    first = await _exercise(city, await ward(city, "Diễn tập sông Hồng"))
    await city.settled(first.alert_id)
    assert await _delivered_to(city, first.alert_id) == set(enrolled.endpoint_ids)
    # An update of the whole city, then its cancel by one click, to whoever it reached.
    async with city.pool.acquire() as conn:
        made = await followup.update(conn, actor, now(), first.alert_id)
        wider = (await everywhere(city, "x")).area
        content = (await draft.load(conn, actor, made.alert_id)).content
        await draft.save(
            conn, actor, now(), made.alert_id, 1, content.model_copy(update={"area": wider})
        )
    await city.approve(await city.submit(made))
    await city.settled(made.alert_id)
    async with city.pool.acquire() as conn:
        cancel = await followup.cancel(conn, actor, now(), made.alert_id, "hết diễn tập")
    await city.waker.wake("start")
    await city.settled(cancel.alert_id)
    for one in (made, cancel):
        assert await _delivered_to(city, one.alert_id) <= set(enrolled.endpoint_ids)
        assert await city.handed_off(one.alert_id)
    got = _got(city, enrolled)
    assert got == enrolled.addresses
    codes = [one.code for one in (first, made, cancel)]
    assert all(code.startswith("DT-") for code in codes)
    statuses = await city.rows("SELECT status FROM alert WHERE code = ANY($1)", codes)
    assert {row["status"] for row in statuses} == {"Exercise"}
    notices = "SELECT count(*) FROM notice n JOIN alert USING (alert_id) WHERE code = ANY($1)"
    assert await city.value(notices, codes) == 0


async def test_an_all_clear_and_a_correction_of_an_exercise_say_so_and_go_no_further(
    city: Service, enrolled: Enrolled
) -> None:
    actor = await city.actor("ha")
    first = await _exercise(city, await ward(city, "Diễn tập ngập"))
    await city.settled(first.alert_id)
    async with city.pool.acquire() as conn:
        clear = await followup.all_clear(conn, actor, now(), first.alert_id)
        said = (await draft.load(conn, actor, clear.alert_id)).content
        words = (await ward(city, "Hết ngập")).wording
        await draft.save(
            conn, actor, now(), clear.alert_id, 1, said.model_copy(update={"wording": words})
        )
    await city.approve(await city.submit(clear))
    await city.settled(clear.alert_id)
    async with city.pool.acquire() as conn:
        error = await followup.correct(conn, actor, now(), clear.alert_id, "nhầm")
    await city.waker.wake("start")
    await city.settled(error.alert_id)
    for one in (clear, error):
        assert await city.handed_off(one.alert_id)
        assert await _delivered_to(city, one.alert_id) <= set(enrolled.endpoint_ids)
    assert _got(city, enrolled) <= enrolled.addresses


async def test_cascades_retries_and_replays_stay_inside_the_list(
    city: Service, enrolled: Enrolled
) -> None:
    """Information goes by SMS to who has no push; mail is refused at first, and sent again."""
    admin = await city.actor("anna")
    await city.configure("email", unknown_user_rate=1.0)
    await city.configure("push", error_rate=0.5)
    try:
        alert = await _exercise(
            city, await ward(city, "Diễn tập thử lại", **{"class": "information"})
        )
        await eventually(
            lambda: city.value(
                "SELECT count(*) FROM dead_letter WHERE alert_id = $1", alert.alert_id
            ),
            30,
            "dead letters",
        )
    finally:
        await city.configure("email", unknown_user_rate=0.0)
        await city.configure("push", error_rate=0.0)
    filters = dead_letters.Filters(alert_id=alert.alert_id, until=now() + timedelta(minutes=1))
    await replay.replay(city.pool, admin, now(), filters, retired=True)
    await city.settled(alert.alert_id)
    assert await _delivered_to(city, alert.alert_id) <= set(enrolled.endpoint_ids)
    assert _got(city, enrolled) <= enrolled.addresses


async def test_who_leaves_while_an_exercise_is_sent_gets_nothing_more(
    city: Service, enrolled: Enrolled
) -> None:
    admin = await city.actor("anna")
    alert = await city.submit(
        await city.write(
            await ward(
                city, "Diễn tập rời đi",
                scheduled_for=(now() + timedelta(seconds=2)).isoformat(),
            ),
            as_exercise=True,
        )
    )  # fmt: skip
    await city.approve(alert)
    gone = enrolled.endpoint_ids[0]
    recipient = await city.value(
        "SELECT recipient_id FROM exercise_recipient WHERE endpoint_id = $1 AND removed_at IS NULL",
        gone,
    )
    async with city.pool.acquire() as conn:
        await exercise_recipients.remove(conn, admin, now(), recipient, "rút đồng ý")
    await city.settled(alert.alert_id)
    assert await _delivered_to(city, alert.alert_id) == set(enrolled.endpoint_ids) - {gone}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_no_batch_of_an_exercise_can_list_a_bystander(
    city: Service, enrolled: Enrolled, channel: str
) -> None:
    """Whatever code path wrote it, and whatever it believes."""
    alert = await _exercise(city, await ward(city, "Diễn tập tự vệ"))
    await city.settled(alert.alert_id)
    other = await city.value(
        "SELECT endpoint_id FROM endpoint WHERE channel = $1::channel AND endpoint_id <> ALL($2)"
        " AND state = 'active' LIMIT 1",
        channel, enrolled.endpoint_ids,
    )  # fmt: skip
    with pytest.raises(asyncpg.CheckViolationError, match="did not agree"):
        await city.rows(
            "INSERT INTO batch (alert_id, channel, endpoint_ids, digest, not_before)"
            " VALUES ($1, $2::channel, ARRAY[$3::bigint], sha256('')::bytea, now())",
            alert.alert_id, channel, other,
        )  # fmt: skip


async def test_an_exercise_for_everybody_takes_a_second_person_and_their_code(
    city: Service, enrolled: Enrolled
) -> None:
    alert = await city.submit(
        await city.write(await ward(city, "Diễn tập toàn phường"), as_exercise=True)
    )
    with pytest.raises(asyncpg.CheckViolationError, match="second person"):
        await city.rows(
            "UPDATE alert SET widened_by = $2, widened_at = now(), approved_by = $2"
            " WHERE alert_id = $1",
            alert.alert_id, (await city.actor("tuan")).official_id,
        )  # fmt: skip
    await city.approve(alert, widen=True)
    await city.settled(alert.alert_id)
    delivered = await _delivered_to(city, alert.alert_id)
    assert delivered > set(enrolled.endpoint_ids)
    document = await city.value(
        "SELECT convert_from(canonical, 'UTF8')::jsonb FROM alert_snapshot WHERE alert_id = $1",
        alert.alert_id,
    )
    assert (document["recipients"], document["status"]) == ("all", "Exercise")
    assert document["widened_by"]
    async with city.pool.acquire() as conn:
        cancel = await followup.cancel(conn, await city.actor("ha"), now(), alert.alert_id, "xong")
    await city.waker.wake("start")
    await city.settled(cancel.alert_id)
    assert await _delivered_to(city, cancel.alert_id) == delivered


async def test_what_training_accounts_send_reaches_no_carrier(
    city: Service, enrolled: Enrolled
) -> None:
    async with city.pool.acquire() as conn:
        top = await unit_of(conn)
        for login, role in (("hoc1", "author"), ("hoc2", "approver")):
            await create_official(
                conn, None, now(), login=login, name=login, password="một mật khẩu đủ dài",
                training=True, roles=[Role(role, top)],
            )  # fmt: skip
    content = await ward(city, "Chỉ tập huấn", **{"class": "emergency"})
    alert = await city.broadcast(content, author="hoc1", approver="hoc2")
    assert (alert.status, alert.training) == ("Exercise", True)
    await city.settled(alert.alert_id)
    assert await city.handed_off(alert.alert_id) == len(enrolled.endpoint_ids)
    names = await city.rows(
        "SELECT DISTINCT p.name FROM attempt a JOIN provider p USING (provider_id)"
        " WHERE a.alert_id = $1",
        alert.alert_id,
    )
    assert [row["name"] for row in names] == ["training"]
    got = city.received(alert, (await _content(city, alert)))
    assert got == {"push": [], "sms": [], "email": []}
    # Not even a sender that wants to can take a batch of it.
    with pytest.raises(asyncpg.CheckViolationError, match="training_stays_here"):
        await city.rows(
            "UPDATE batch SET state = 'claimed', worker = 'send-1', lease_until = now()"
            " WHERE alert_id = $1",
            alert.alert_id,
        )


async def _content(city: Service, alert: Alert) -> Content:
    async with city.pool.acquire() as conn:
        return (await draft.with_content(conn, await draft.find(conn, alert.alert_id))).content


async def test_people_are_enrolled_with_their_consent_and_counted(city: Service) -> None:
    admin = await city.actor("anna")
    rows = await city.rows(
        "SELECT e.endpoint_id FROM person_place p JOIN unit u USING (unit_id)"
        " JOIN person_endpoint l USING (person_id) JOIN endpoint e USING (endpoint_id)"
        " WHERE u.code = $1 AND u.valid_to IS NULL AND e.state = 'active' AND channel = 'sms'"
        " LIMIT 1",
        WARD,
    )
    ((_, number, _),) = (await city.addresses([rows[0]["endpoint_id"]])).values()
    given = Enrolment(number, "phiếu đồng ý số 12", date(2026, 9, 1))
    async with city.pool.acquire() as conn:
        unit_id = await unit_of(conn, WARD)
        area = (await ward(city, "x")).area
        before = await exercise_recipients.count(conn, now(), city.selector, area)
        assert await exercise_recipients.enrol(conn, city.keyring, admin, now(), unit_id, given)
        after = await exercise_recipients.count(conn, now(), city.selector, area)
        assert before.people == 0 < after.people
        assert after.by_channel["sms"] == after.people
        (listed,) = await exercise_recipients.listing(conn, city.keyring, admin)
        assert (listed.address, listed.consent) == (f"…{number[-3:]}", given.consent)
        await exercise_recipients.remove(conn, admin, now(), listed.recipient_id, "chuyển đi")
        assert await exercise_recipients.listing(conn, city.keyring, admin) == []
        again = await exercise_recipients.count(conn, now(), city.selector, area)
        assert again.people == 0
