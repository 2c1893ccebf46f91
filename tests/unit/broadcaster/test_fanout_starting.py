"""Starting: the most urgent first, nobody behind another's people; quiet hours; follow-ups."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcaster.alerts import approval, checks, draft, followup, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.fanout import contents, expansion, stages
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.starting import SLOTS, Starter
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from channels.sms import SmsContent
from tests import factor
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.site import content

NIGHT = datetime(2026, 9, 9, 20, 17, tzinfo=UTC)
"""03:17 in Hanoi."""
MORNING = datetime(2026, 9, 9, 23, 0, tzinfo=UTC)
"""06:00 in Hanoi."""


KEYRING = Keyring("a secret of the tests, long enough for anybody")


async def _nothing() -> None:
    return None


class Slow(Selector):
    """Chooses people as any other, but keeps those of class information waiting for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.waiting = 0

    async def select(self, conn: Conn, now: datetime, area: dict[str, Any]) -> Ids:
        if area["units"][0]["code"] == BA_DINH:
            self.waiting += 1
            await self.goes_on.wait()
        return await super().select(conn, now, area)


class Office:
    """Two officials of the city who write and approve at once."""

    def __init__(self, pool: Pool, conn: Conn, author: Actor, approver: Actor) -> None:
        self.pool, self.conn, self.author, self.approver = pool, conn, author, approver
        self.selector = Selector()

    async def approved(
        self,
        now: datetime,
        unit: str = NGOC_HA,
        made: Alert | None = None,
        alert_class: str = "warning",
    ) -> Alert:
        area = {"units": [{"code": unit, "vintage": "2025-07-01"}]}
        words = parse(content(now, "storm", **{"area": area, "class": alert_class}))
        alert = made or await draft.create(
            self.conn, self.author, now, words, await unit_id(self.conn, "01")
        )
        found = await checks.run(self.conn, self.author, now, alert.alert_id, self.selector)
        assert not found.blocked, found.problems
        await approval.submit(self.conn, self.author, now, alert.alert_id, alert.version)
        proof = None
        if alert_class == "emergency":
            proof = await factor.proof(self.conn, KEYRING, self.approver, now)
        return await approval.approve(
            self.conn, self.approver, now, alert.alert_id, alert.version, proof
        )

    async def state(self, alert: Alert) -> str:
        return (await draft.find(self.conn, alert.alert_id)).state.value

    async def start(self, now: datetime) -> int:
        return await stages.start(self.pool, now, self.selector, _nothing)

    async def written(self, alert: Alert) -> dict[int, int]:
        """Wording of each delivery, by person."""
        await stages.expand_open(self.pool, NIGHT + timedelta(days=1), _nothing)
        rows = await self.conn.fetch(
            "SELECT person_id, wording FROM delivery JOIN person_endpoint USING (endpoint_id)"
            " WHERE alert_id = $1", alert.alert_id,
        )  # fmt: skip
        return {row["person_id"]: row["wording"] for row in rows}


@pytest.fixture
async def office(pool: Pool, conn: Conn, units: UnitMap) -> Office:
    """People 1 and 2 live in Ba Đình, 3 and 4 in Ngọc Hà; each has a telephone."""
    for number, unit in enumerate((BA_DINH, BA_DINH, NGOC_HA, NGOC_HA), 1):
        person = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NIGHT
        )
        assert person == number
        await conn.execute(
            "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
            " VALUES ($1, 0, $2, true)", person, await unit_id(conn, unit),
        )  # fmt: skip
        await conn.execute(
            "WITH made AS (INSERT INTO endpoint (channel, state, hash_key_id, address_hash,"
            "  address_enc, created_at) VALUES ('sms', 'active', 1, sha256(int8send($1)), '', $2)"
            "  RETURNING endpoint_id)"
            " INSERT INTO person_endpoint SELECT $1, endpoint_id, $2 FROM made", person, NIGHT,
        )  # fmt: skip
    city = await unit_id(conn, "01")
    author = await official(conn, "ha", Role("author", city))
    return Office(pool, conn, author, await official(conn, "tuan", Role("approver", city)))


async def test_an_emergency_begins_while_the_people_of_others_are_still_being_chosen(
    office: Office,
) -> None:
    slow = Slow()
    bulk = [await office.approved(NIGHT, BA_DINH) for _ in range(SLOTS[False] + 2)]
    starter = Starter(office.pool, slow, _nothing)
    held = await starter.look(NIGHT)
    while slow.waiting < SLOTS[False]:
        await asyncio.sleep(0.01)
    assert await starter.look(NIGHT) == [], "every slot is taken"
    emergency = await office.approved(NIGHT, alert_class="emergency")
    [task] = await starter.look(NIGHT)
    assert starter.busy(1)
    assert await task
    assert await office.state(emergency) == "sending"
    assert {await office.state(one) for one in bulk} == {"approved"}
    slow.goes_on.set()
    assert all(await asyncio.gather(*held))
    assert await starter.run(NIGHT) == 2
    assert {await office.state(one) for one in bulk} == {"sending"}


async def test_many_at_once_all_begin_and_the_most_urgent_first(office: Office) -> None:
    classes = ("information", "warning", "emergency")
    at = MORNING + timedelta(hours=1)
    made = [await office.approved(at, alert_class=classes[n % 3]) for n in range(18)]
    assert await office.start(at) == len(made)
    assert {await office.state(one) for one in made} == {"sending"}
    begun = await office.conn.fetch(
        "SELECT subject_id FROM audit WHERE action = 'alert.sending' ORDER BY audit_id"
    )
    lanes = [made_one.alert_class for row in begun for made_one in made
             if made_one.alert_id == row["subject_id"]]  # fmt: skip
    # No notice is taken up before the last warning is.
    first = lanes.index("information")
    assert lanes[:first].count("warning") >= lanes.count("warning") - SLOTS[False]


async def test_an_alert_that_begins_meanwhile_is_written_before_the_rest_of_a_large_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expansion, "_PEOPLE", 1)
    monkeypatch.setattr(expansion, "FIRST_CHUNK", 1)
    monkeypatch.setattr(stages, "_RESTS", 60.0)
    bulk = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    emergency: list[Alert] = []
    beginning = [True]

    async def chunk_written() -> None:
        rows = await office.conn.fetch("SELECT alert_id FROM delivery ORDER BY created_at")
        order.append([row["alert_id"] for row in rows])

    order: list[list[int]] = []

    def busy(lane: int) -> bool:
        return bool(beginning) and lane > 0

    async def begin() -> None:
        await asyncio.sleep(0.1)
        later = NIGHT + timedelta(milliseconds=50)
        emergency.append(await office.approved(later, NGOC_HA, alert_class="emergency"))
        await office.start(later)
        beginning.clear()

    await asyncio.gather(stages.expand_open(office.pool, NIGHT, chunk_written, busy), begin())
    [urgent] = emergency
    # One of each from the beginning, then the emergency's second before the bulk's.
    assert order[0] == [bulk.alert_id, urgent.alert_id, urgent.alert_id]
    assert order[-1] == [*order[0], bulk.alert_id]


async def test_quiet_hours_hold_information_until_they_end_and_nothing_else(
    office: Office,
) -> None:
    notice = await office.approved(NIGHT, alert_class="information")
    urgent = [await office.approved(NIGHT, alert_class=one) for one in ("warning", "emergency")]
    assert await office.start(NIGHT) == 2
    assert {await office.state(one) for one in urgent} == {"sending"}
    held = await draft.find(office.conn, notice.alert_id)
    assert (held.state.value, held.scheduled_for) == ("scheduled", MORNING)
    assert await office.start(MORNING - timedelta(seconds=1)) == 0
    assert await office.start(MORNING) == 1
    assert await office.state(notice) == "sending"


async def test_an_update_is_a_difference_and_what_it_follows_ends(office: Office) -> None:
    elsewhere = {"units": [{"code": one, "vintage": "2025-07-01"} for one in (BA_DINH, NGOC_HA)]}
    first = await office.approved(NIGHT, BA_DINH)
    assert await office.start(NIGHT) == 1
    assert set(await office.written(first)) == {1, 2}
    await _handed_off(office.conn, first, 1)
    update = await followup.update(office.conn, office.author, NIGHT, first.alert_id)
    loaded = await draft.load(office.conn, office.author, update.alert_id)
    wider = loaded.content.model_copy(update={"area": elsewhere})
    await draft.save(office.conn, office.author, NIGHT, update.alert_id, 1, wider)
    await office.approved(NIGHT, made=await draft.find(office.conn, update.alert_id))
    assert await office.start(NIGHT) == 1
    assert await office.state(first) == "stopped"
    # The first was handed it, the second was not, the others are new.
    assert await office.written(update) == {1: 1, 2: 0, 3: 0, 4: 0}
    await stages.end(office.pool, NIGHT)
    left = await office.conn.fetchrow(
        "SELECT state::text, reason FROM delivery WHERE alert_id = $1 AND state <> 'handed_off'",
        first.alert_id,
    )
    assert left is not None
    assert tuple(left) == ("stopped", "superseded")


async def test_who_is_covered_no_longer_is_told_so(office: Office) -> None:
    first = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    await office.written(first)
    await _handed_off(office.conn, first, 1)
    update = await followup.update(office.conn, office.author, NIGHT, first.alert_id)
    loaded = await draft.load(office.conn, office.author, update.alert_id)
    area = {"units": [{"code": NGOC_HA, "vintage": "2025-07-01"}]}
    moved = loaded.content.model_copy(update={"area": area})
    await draft.save(office.conn, office.author, NIGHT, update.alert_id, 1, moved)
    await office.approved(NIGHT, made=await draft.find(office.conn, update.alert_id))
    await office.start(NIGHT)
    assert await office.written(update) == {1: 2, 3: 0, 4: 0}


async def test_a_follow_up_waits_for_what_is_on_the_wire(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcaster.fanout.starting._PATIENCE", 0.1)
    first = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    await office.conn.execute(
        "UPDATE batch SET state = 'claimed', lease_until = now() + interval '5 seconds'"
    )
    update = await followup.update(office.conn, office.author, NIGHT, first.alert_id)
    await office.approved(NIGHT, made=update)
    assert await office.start(NIGHT) == 0
    assert await office.state(update) == "approved"
    await _handed_off(office.conn, first, 1)
    await office.conn.execute("UPDATE batch SET state = 'done'")
    assert await office.start(NIGHT) == 1
    assert await office.written(update) == {1: 1, 2: 0}


async def _told(office: Office, alert: Alert) -> dict[tuple[int, str], int]:
    """Write every delivery and hand it off; the wording of each, by person and channel."""
    await stages.expand_open(office.pool, NIGHT + timedelta(days=1), _nothing)
    rows = await office.conn.fetch(
        "SELECT person_id, d.channel::text AS channel, wording FROM delivery d"
        " JOIN person_endpoint USING (endpoint_id) WHERE alert_id = $1", alert.alert_id,
    )  # fmt: skip
    await office.conn.execute(
        "UPDATE delivery SET state = 'handed_off' WHERE alert_id = $1", alert.alert_id
    )
    await office.conn.execute("UPDATE batch SET state = 'done' WHERE alert_id = $1", alert.alert_id)
    await office.conn.execute(
        "UPDATE progress SET handed_off = handed_off + pending, pending = 0 WHERE alert_id = $1",
        alert.alert_id,
    )
    return {(row["person_id"], row["channel"]): row["wording"] for row in rows}


async def _push(conn: Conn, person: int) -> None:
    await conn.execute(
        "WITH made AS (INSERT INTO endpoint (channel, state, hash_key_id, address_hash,"
        "  address_enc, created_at) VALUES ('push', 'active', 1, sha256(int8send($1)), '', $2)"
        "  RETURNING endpoint_id)"
        " INSERT INTO person_endpoint SELECT $1, endpoint_id, $2 FROM made", person, NIGHT,
    )  # fmt: skip


async def _without_sms(office: Office, first: Alert, kind: str, unit: str) -> Alert:
    """Write what follows an alert, by push alone, and begin it."""
    follow = {"update": followup.update, "all_clear": followup.all_clear}[kind]
    made = await follow(office.conn, office.author, NIGHT, first.alert_id)
    loaded = await draft.load(office.conn, office.author, made.alert_id)
    area = {"units": [{"code": unit, "vintage": "2025-07-01"}]}
    said = (await draft.load(office.conn, office.author, first.alert_id)).content.wording
    narrow = loaded.content.model_copy(
        update={"channels": ("push",), "area": area, "wording": said, "alert_class": "warning"}
    )
    narrow = wordings.with_prepared(narrow, kind)
    await draft.save(office.conn, office.author, NIGHT, made.alert_id, 1, narrow)
    alert = await office.approved(NIGHT, made=await draft.find(office.conn, made.alert_id))
    assert await office.start(NIGHT) == 1
    return alert


async def test_each_hears_of_an_update_by_the_channel_that_reached_them_and_of_its_cancel(
    office: Office,
) -> None:
    await _push(office.conn, 1)
    first = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    everybody = {(1, "sms"), (1, "push"), (2, "sms")}
    assert set(await _told(office, first)) == everybody
    update = await _without_sms(office, first, "update", BA_DINH)
    found = await checks.run(office.conn, office.author, NIGHT, update.alert_id, office.selector)
    [dropped] = [one for one in found.problems if one.code == "channel_dropped"]
    assert (dropped.blocking, dropped.field) == (False, "channels")
    assert "SMS" in dropped.message_vi
    # The first has the short update as a push, the second has nothing but the telephone.
    assert await _told(office, update) == {(1, "push"): 1, (2, "sms"): 1}
    reach = await office.conn.fetchval(
        "SELECT unreachable FROM audience WHERE alert_id = $1", update.alert_id
    )
    assert reach == 1, "nobody is reachable by the channel that was left out"
    cancel = await followup.cancel(office.conn, office.author, NIGHT, update.alert_id, "Sai")
    assert await office.start(NIGHT) == 1
    assert await _told(office, cancel) == dict.fromkeys(everybody, 0)
    approved = await lifecycle.snapshot(office.conn, cancel.alert_id)
    said = contents.of_alert(approved, "sms")["vi0"]
    assert isinstance(said, SmsContent)
    assert said.text == approved.content.wording["vi"].sms.text != ""


async def test_who_is_covered_no_longer_hears_it_by_a_channel_that_was_dropped(
    office: Office,
) -> None:
    first = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    await _told(office, first)
    update = await _without_sms(office, first, "update", NGOC_HA)
    assert await _told(office, update) == {(1, "sms"): 2, (2, "sms"): 2}


async def test_an_all_clear_reaches_whoever_the_alert_did(office: Office) -> None:
    await _push(office.conn, 2)
    first = await office.approved(NIGHT, BA_DINH)
    await office.start(NIGHT)
    await _told(office, first)
    clear = await _without_sms(office, first, "all_clear", BA_DINH)
    assert await _told(office, clear) == {(1, "sms"): 0, (2, "push"): 0}


async def _handed_off(conn: Conn, alert: Alert, person: int) -> None:
    await conn.execute(
        "UPDATE delivery SET state = 'handed_off' FROM person_endpoint l"
        " WHERE delivery.alert_id = $1 AND l.endpoint_id = delivery.endpoint_id"
        " AND l.person_id = $2", alert.alert_id, person,
    )  # fmt: skip
