"""Asking for an approval: the nearest first, others when nobody answers, each once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from broadcaster import audit
from broadcaster.alerts import (
    approval,
    approval_calls,
    approval_words,
    checks,
    draft,
    escalation,
    reminding,
)
from broadcaster.alerts.approval_policy import DEFAULTS, Asked, EscalationStep, Who
from broadcaster.alerts.authority import Answer, Candidate, Need, Reach
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.waiting import waiting_for
from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.fanout import alarms, watch
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints, roles
from broadcaster.people.addresses import normalise
from broadcaster.people.officials import Actor, Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.site import NOW, content

URL = "https://alerts.example"
STEP = EscalationStep(after_minutes=3, ask=(Asked.SUPERIOR, Asked.SUBSTITUTES))


def answer(*rings: int) -> Answer:
    """Candidates who may all approve, one for each ring, with ids from 1."""
    need = Need(Reach.OWN, Who.UNIT, frozenset({1}), False)
    found = [
        Candidate(number, "", "", "vi", False, frozenset({1}), ring, False, False, True)
        for number, ring in enumerate(rings, 1)
    ]
    return Answer(need, tuple(found))


def test_the_nearest_are_asked_first_then_ring_by_ring_and_nobody_twice() -> None:
    who = answer(0, 0, 1, 2)
    assert escalation.plan(who, None, (), ()).officials == (1, 2)
    assert escalation.plan(who, STEP, (1, 2), ()).officials == (3,)
    assert escalation.plan(who, STEP, (1, 2, 3), (9,)) == escalation.Planned((4, 9), (9,))
    assert escalation.plan(who, STEP, (1, 2, 3, 4, 9), (9,)) == escalation.Planned((), ())
    everybody = EscalationStep(after_minutes=9, ask=(Asked.ALL,))
    assert escalation.plan(who, everybody, (1, 2, 3, 4, 9), (9,)).officials == (1, 2, 3, 4)
    assert escalation.plan(answer(), None, (), (9,)) == escalation.Planned((9,), (9,))


async def lets_write(office: Office, name: str, where: str) -> Actor:
    """Let an approver write too; returns them with that role."""
    role = Role("author", await unit_id(office.conn, where))
    found = office.actors[name].official_id
    return await roles.grant(office.conn, office.actors["anna"], NOW, found, role)


class Office:
    """A ward's author and approver, the city's approver, and a neighbour who may stand in."""

    def __init__(self, pool: Pool, conn: Conn, keyring: Keyring, actors: dict[str, Actor]) -> None:
        self.pool, self.conn, self.keyring, self.actors = pool, conn, keyring, actors

    async def submitted(self, alert_class: str = "emergency") -> Alert:
        author = self.actors["author"]
        words = parse(content(NOW, **{"class": alert_class}))
        made = await draft.create(self.conn, author, NOW, words, await unit_id(self.conn, BA_DINH))
        return await self.sent_for_approval(made)

    async def sent_for_approval(self, alert: Alert, **later: float) -> Alert:
        author, now = self.actors["author"], NOW + timedelta(**later)
        await checks.run(self.conn, author, now, alert.alert_id, Selector())
        await self.conn.execute("UPDATE alert_version SET problems = '[]'")
        return await approval.submit(self.conn, author, now, alert.alert_id, alert.version)

    async def ask(self, **later: float) -> int:
        return await escalation.ask_due(self.pool, NOW + timedelta(**later), URL)

    async def asked(self, alert: Alert) -> list[list[str]]:
        """Logins by step."""
        logins = {actor.official_id: name for name, actor in self.actors.items()}
        rows = await self.conn.fetch(
            "SELECT officials FROM approval_ask WHERE alert_id = $1 ORDER BY version, step",
            alert.alert_id,
        )
        return [[logins[one] for one in row["officials"]] for row in rows]

    async def messages(self) -> int:
        return int(await self.conn.fetchval("SELECT count(*) FROM direct_message"))


@pytest.fixture
async def office(pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap) -> Office:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    city = await unit_id(conn, "01")
    made = {
        "author": await official(conn, "author", Role("author", ward)),
        "lan": await official(conn, "lan", Role("approver", ward)),
        "tuan": await official(conn, "tuan", Role("approver", city)),
        "long": await official(conn, "long", Role("approver", other)),
        "anna": await official(conn, "anna", Role("admin", city)),
    }
    for number, name in enumerate(("lan", "tuan", "long")):
        for channel, address in (("sms", f"09123456{number}0"), ("email", f"{name}@hanoi.example")):
            endpoint_id = await endpoints.ensure(
                conn, keyring, NOW, endpoints.Address(channel, normalise(channel, address))
            )
            await endpoints.link_official(conn, NOW, made[name].official_id, endpoint_id)
    return Office(pool, conn, keyring, made)


async def test_who_is_asked_as_the_minutes_go_by(office: Office) -> None:
    alert = await office.submitted()
    assert await office.ask() == 1
    assert await office.ask(minutes=2, seconds=59) == 0
    assert await office.ask(minutes=3) == 1
    assert await office.asked(alert) == [["lan"], ["tuan"]]
    told = await escalation.progress(office.conn, alert)
    assert [one.names for one in told.asks] == [("Lan",), ("Tuan",)]
    # Nobody new is left at the step after six minutes: it is passed over, the last one reminds.
    assert told.next_at == NOW + timedelta(minutes=9)
    assert (told.next_names, told.next_reminds) == (("Lan", "Tuan"), True)
    for minutes in (6, 9, 12, 60):
        await office.ask(minutes=minutes)
    assert (await office.asked(alert))[2:] == [["lan", "tuan"]]
    told = await escalation.progress(office.conn, alert)
    assert [one.reminds for one in told.asks] == [False, False, True]
    assert (told.next_at, told.next_names) == (None, ())
    assert await office.messages() == 2 + 2 + 4


async def test_an_only_approver_is_asked_once_and_reminded_at_the_end(office: Office) -> None:
    await office.conn.execute(
        "UPDATE official SET active = false WHERE official_id = $1",
        office.actors["tuan"].official_id,
    )
    alert = await office.submitted()
    for minutes in (0, 3, 6):
        await office.ask(minutes=minutes)
    assert await office.asked(alert) == [["lan"]]
    told = await escalation.progress(office.conn, alert)
    assert (told.next_at, told.next_reminds) == (NOW + timedelta(minutes=9), True)


async def test_what_nobody_is_left_to_approve_is_not_sent(office: Office) -> None:
    conn, author = office.conn, office.actors["author"]
    lan, tuan = await lets_write(office, "lan", BA_DINH), await lets_write(office, "tuan", "01")
    made = await draft.create(conn, author, NOW, parse(content(NOW)), await unit_id(conn, BA_DINH))
    version = 1
    for writer in (lan, tuan):
        result = await checks.run(conn, author, NOW, made.alert_id, Selector())
        assert not [one for one in result.problems if one.code == "nobody_approves"]
        version = await draft.save(conn, writer, NOW, made.alert_id, version, parse(content(NOW)))
    result = await checks.run(conn, author, NOW, made.alert_id, Selector())
    found = next(one for one in result.problems if one.code == "nobody_approves")
    assert found.blocking
    assert lan.name in found.message_vi
    assert tuan.name in found.message_en
    await conn.execute("UPDATE alert_version SET problems = '[]'")
    with pytest.raises(Refused) as refused:
        await approval.submit(conn, author, NOW, made.alert_id, version)
    assert refused.value.code == "nobody_approves"
    # Whoever stands in for the unit has not written on it.
    ward = await unit_id(conn, BA_DINH)
    await escalation.name_substitute(conn, office.actors["anna"], NOW, ward, office.actors["long"])
    await approval.submit(conn, author, NOW, made.alert_id, version)
    await office.ask()
    assert await office.asked(made) == [["long"]]


async def test_who_sends_it_is_not_left_to_approve_it(office: Office) -> None:
    conn = office.conn
    await conn.execute(
        "UPDATE official SET active = false WHERE official_id = $1",
        office.actors["tuan"].official_id,
    )
    author, lan = office.actors["author"], await lets_write(office, "lan", BA_DINH)
    made = await draft.create(conn, author, NOW, parse(content(NOW)), await unit_id(conn, BA_DINH))
    await checks.run(conn, author, NOW, made.alert_id, Selector())
    await conn.execute("UPDATE alert_version SET problems = '[]'")
    with pytest.raises(Refused) as refused:
        await approval.submit(conn, lan, NOW, made.alert_id, 1)
    assert refused.value.code == "nobody_approves"
    await approval.submit(conn, author, NOW, made.alert_id, 1)


async def test_what_can_wait_until_morning_rings_no_telephone(office: Office) -> None:
    await office.submitted("information")
    await office.ask()
    rows = await office.conn.fetch("SELECT channel::text AS channel FROM direct_message")
    assert [row["channel"] for row in rows] == ["email"]


async def test_nobody_is_asked_once_it_is_decided_and_an_edit_asks_anew(office: Office) -> None:
    alert = await office.submitted("warning")
    await office.ask()
    author = office.actors["author"]
    words = (await draft.load(office.conn, author, alert.alert_id)).content
    await draft.save(office.conn, author, NOW, alert.alert_id, alert.version, words)
    assert await office.ask(minutes=30) == 0
    again = await office.sent_for_approval(await draft.find(office.conn, alert.alert_id))
    assert await office.ask(minutes=30) == 1
    assert await office.asked(alert) == [["lan"], ["lan"]]
    await approval.approve(office.conn, office.actors["lan"], NOW, again.alert_id, again.version)
    assert await office.ask(minutes=60) == 0


async def test_many_clocks_at_once_ask_each_once(office: Office) -> None:
    alerts = [await office.submitted() for _ in range(3)]
    done = await asyncio.gather(*(office.ask() for _ in range(6)))
    assert sum(done) == len(alerts)
    assert await office.messages() == 2 * len(alerts)


async def test_a_clock_that_dies_half_way_has_asked_nobody(office: Office) -> None:
    alert = await office.submitted()
    async with office.conn.transaction():
        # The trail is written after the messages: whoever waits for it has written them.
        await office.conn.execute("LOCK TABLE audit IN EXCLUSIVE MODE")
        dying = asyncio.create_task(office.ask())
        async with office.pool.acquire() as other:
            waits = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO audit%'"
                " AND datname = current_database()"
            )
            while not await other.fetchval(waits):
                await asyncio.sleep(0.01)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await dying
    assert (await office.asked(alert), await office.messages()) == ([], 0)
    assert await office.ask(seconds=2) == 1
    assert (await office.asked(alert), await office.messages()) == ([["lan"]], 2)


async def test_who_stands_in_may_approve_from_the_moment_they_are_asked(office: Office) -> None:
    conn, long, anna = office.conn, office.actors["long"], office.actors["anna"]
    ward = await unit_id(conn, BA_DINH)
    with pytest.raises(NotAllowed):
        await escalation.name_substitute(conn, office.actors["lan"], NOW, ward, long)
    with pytest.raises(Refused):
        await escalation.name_substitute(conn, anna, NOW, ward, office.actors["author"])
    await escalation.name_substitute(conn, anna, NOW, ward, long)
    with pytest.raises(Conflict):
        await escalation.name_substitute(conn, anna, NOW, ward, long)
    alert = await office.submitted("warning")
    await office.ask()
    with pytest.raises(NotFound):
        await approval.approve(conn, long, NOW, alert.alert_id, alert.version)
    await office.ask(minutes=10)
    assert await office.asked(alert) == [["lan"], ["tuan", "long"]]
    assert [one.alert_id for one in await waiting_for(conn, long)] == [alert.alert_id]
    done = await approval.approve(conn, long, NOW, alert.alert_id, alert.version)
    assert done.approver_name == "Long"
    await escalation.end_substitute(conn, anna, NOW, ward, long)
    assert await escalation.substitutes(conn) == []


async def test_the_words_say_what_to_do_and_fit_an_sms(office: Office) -> None:
    alert = await office.submitted()
    link = f"{URL}/console/alerts/{alert.code}/review"
    for lang in ("vi", "en"):
        for channel in ("sms", "push", "email"):
            said = approval_words.question(alert, channel, lang, link, again=True, asked_at=NOW)
            assert all(said.values())
            if channel == "sms":
                assert link in said["text"]
                assert said["text"].isascii()
            if channel == "push":
                assert link not in said["body"]
    assert DEFAULTS["emergency"].escalation[0].after_minutes == 3


async def test_those_who_were_asked_are_reminded_once_in_some_minutes(office: Office) -> None:
    alert, author = await office.submitted(), office.actors["author"]

    async def remind(**later: float) -> str:
        at = NOW + timedelta(**later)
        try:
            return str(await reminding.remind(office.conn, author, at, URL, alert.code))
        except Refused as refusal:
            return refusal.code

    assert await remind() == "not_asked_yet"
    await office.ask()
    assert await remind(minutes=4) == "reminded_lately"
    assert await remind(minutes=5) == "2"
    assert await office.messages() == 4
    assert await remind(minutes=9, seconds=59) == "reminded_lately"
    assert await remind(minutes=10) == "2"
    last = (await audit.trail(office.conn, "alert", alert.alert_id, 1))[0]
    assert (last.action, last.by, last.detail["messages"]) == (
        "alert.approval_reminded", author.name, 2,
    )  # fmt: skip
    assert await office.asked(alert) == [["lan"]], "a reminder is no step"
    await office.conn.execute("DELETE FROM official_endpoint")
    assert await remind(minutes=15) == "nobody_to_remind"
    await approval.send_back(office.conn, office.actors["lan"], NOW, alert.alert_id, 1, "Sửa giờ.")
    assert await remind(minutes=30) == "not_waiting"


async def test_only_who_writes_or_approves_there_reminds(office: Office) -> None:
    alert = await office.submitted()
    await office.ask()
    later = NOW + timedelta(hours=1)
    with pytest.raises(NotFound):
        await reminding.remind(office.conn, office.actors["long"], later, URL, alert.code)
    with pytest.raises(NotAllowed):
        await reminding.remind(office.conn, office.actors["anna"], later, URL, alert.code)


async def test_two_reminders_at_once_are_one(office: Office) -> None:
    alert, author = await office.submitted(), office.actors["author"]
    await office.ask()

    async def remind() -> int:
        async with office.pool.acquire() as conn:
            return await reminding.remind(conn, author, NOW + timedelta(minutes=5), URL, alert.code)

    said = await asyncio.gather(remind(), remind(), return_exceptions=True)
    assert sorted(isinstance(one, Conflict) for one in said) == [False, True]
    assert await office.messages() == 4


async def test_who_was_asked_can_be_called(office: Office) -> None:
    alert = await office.submitted()
    await office.ask()
    await office.ask(minutes=3)
    called = (await approval_calls.called(office.conn, office.keyring, [alert]))[alert.alert_id]
    assert [(one.name, one.phone) for one in called] == [
        ("Tuan", "+84912345610"), ("Lan", "+84912345600"),
    ]  # fmt: skip
    stranger = Keyring("another secret of this length at least")
    called = (await approval_calls.called(office.conn, stranger, [alert]))[alert.alert_id]
    assert [one.phone for one in called] == [None, None]


@pytest.mark.parametrize(
    ("alert_class", "after"), [("emergency", 2), ("warning", 10), ("information", 60)]
)
async def test_an_alarm_says_that_everybody_was_asked_and_nobody_answers(
    office: Office, alert_class: str, after: int
) -> None:
    alert = await office.submitted(alert_class)

    async def standing(minutes: float) -> list[tuple[str, str | None]]:
        now = NOW + timedelta(minutes=minutes)
        await watch.look(office.conn, now)
        return [(one.what, one.alert_code) for one in await alarms.standing(office.conn, now)]

    last = 0.0
    while (told := await _asking(office, alert, last)).next_at:
        assert await standing(last) == []
        last = (told.next_at - NOW).total_seconds() / 60
    assert await standing(last + after) == []
    assert await standing(last + after + 0.1) == [("nobody_approves", alert.code)]
    await approval.send_back(office.conn, office.actors["lan"], NOW, alert.alert_id, 1, "Sửa giờ.")
    assert await standing(last + after + 1) == []


async def _asking(office: Office, alert: Alert, minutes: float) -> escalation.Asking:
    await office.ask(minutes=minutes)
    return await escalation.progress(office.conn, alert)
