"""What may follow an alert, and that what goes out by one click was approved with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import asyncpg
import pytest

from broadcaster import audit
from broadcaster.alerts import approval, checks, draft, followup, lifecycle, order, wordings
from broadcaster.alerts.content import Content, canonical, parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.fanout import stages
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.people.officials import Actor, Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from broadcaster.states import AlertState
from broadcaster.web.console import follow_up_form
from tests.unit.broadcaster.city import NOW, PHU_THUONG, official, unit_id
from tests.unit.broadcaster.site import content as storm

LATER = NOW + timedelta(minutes=10)


def words(event: str = "storm", **changes: object) -> Content:
    made = parse(storm(NOW, event, **changes))
    return wordings.with_prepared(made, "alert")


class Office:
    """A ward's author and approver, and another ward's."""

    def __init__(self, conn: Conn, author: Actor, approver: Actor, stranger: Actor) -> None:
        self.conn, self.author, self.approver, self.stranger = conn, author, approver, stranger
        self.selector = Selector()

    async def approved(self, alert: Alert) -> Alert:
        await checks.run(self.conn, self.author, NOW, alert.alert_id, self.selector)
        await approval.submit(self.conn, self.author, NOW, alert.alert_id, alert.version)
        return await approval.approve(self.conn, self.approver, NOW, alert.alert_id, alert.version)

    async def sending(self, content: Content | None = None, alert: Alert | None = None) -> Alert:
        made = alert or await draft.create(
            self.conn, self.author, NOW, content or words(), await unit_id(self.conn, "00004")
        )
        await self.approved(made)
        await lifecycle.move(self.conn, NOW, made.alert_id, AlertState.SENDING)
        return await draft.find(self.conn, made.alert_id)


@pytest.fixture
async def office(pool: Pool, conn: Conn, units: UnitMap) -> Office:
    ward, other = await unit_id(conn, "00004"), await unit_id(conn, PHU_THUONG)
    await conn.execute(
        "WITH made AS (INSERT INTO person (created_at) VALUES (now()) RETURNING person_id)"
        " INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
        " SELECT person_id, 0, $1, true FROM made",
        ward,
    )
    return Office(
        conn,
        await official(conn, "lan", Role("author", ward)),
        await official(conn, "minh", Role("approver", ward)),
        await official(conn, "xa", Role("author", other), Role("approver", other)),
    )


async def test_an_update_begins_with_the_approved_words_and_those_for_the_difference(
    office: Office,
) -> None:
    first = await office.sending()
    made = await followup.update(office.conn, office.author, LATER, first.alert_id)
    content = (await draft.load(office.conn, office.author, made.alert_id)).content
    assert (made.kind, made.predecessor_id, made.root_id, made.sequence) == (
        "update", first.alert_id, first.alert_id, 2,
    )  # fmt: skip
    assert content.wording == words().wording
    assert set(content.update_wording) == set(content.left_wording) == {"vi", "en"}
    second = await office.sending(alert=made)
    third = await followup.update(office.conn, office.author, LATER, second.alert_id)
    assert (third.root_id, third.sequence) == (first.alert_id, 3)


async def test_one_follow_up_is_in_work_at_a_time_and_says_whose(office: Office) -> None:
    first = await office.sending()
    made = await followup.update(office.conn, office.author, LATER, first.alert_id)
    for start in (followup.update, followup.all_clear):
        with pytest.raises(Conflict, match=f"Lan is at work on {made.code}"):
            await start(office.conn, office.author, LATER, first.alert_id)
    # Not by another way either.
    with pytest.raises(asyncpg.UniqueViolationError):
        await draft.create(
            office.conn, office.author, NOW, words(), first.unit_id, kind="update",
            predecessor_id=first.alert_id,
        )  # fmt: skip
    with pytest.raises(Refused, match="Say why"):
        await followup.withdraw(office.conn, office.author, LATER, made.alert_id, " ")
    await followup.withdraw(office.conn, office.author, LATER, made.alert_id, "nhầm")
    assert (await followup.update(office.conn, office.author, LATER, first.alert_id)).sequence == 3


async def test_a_forgotten_draft_is_set_aside_for_an_all_clear(
    office: Office, keyring: Keyring
) -> None:
    conn, first = office.conn, await office.sending()
    mailbox = endpoints.Address("email", "lan@hanoi.example")
    known = await endpoints.ensure(conn, keyring, NOW, mailbox)
    await endpoints.link_official(conn, NOW, office.author.official_id, known)
    made = await followup.update(conn, office.author, NOW, first.alert_id)
    with pytest.raises(Conflict, match="set it aside"):
        await followup.all_clear(conn, office.author, LATER, first.alert_id)
    # Another than the one that was read about is left alone.
    with pytest.raises(Conflict, match=made.code):
        await followup.all_clear(conn, office.author, LATER, first.alert_id, first.code)
    clear = await followup.all_clear(conn, office.author, LATER, first.alert_id, made.code)
    assert (clear.kind, clear.state, clear.sequence) == ("all_clear", AlertState.DRAFT, 3)
    kept = await draft.load(conn, office.author, made.alert_id)
    assert kept.alert.state is AlertState.REJECTED
    assert kept.content.update_wording
    trail = await audit.trail(conn, "alert", made.alert_id, 1)
    assert (trail[0].action, trail[0].by) == ("alert.set_aside", office.author.name)
    told = await conn.fetchval("SELECT content FROM direct_message")
    assert made.code in str(told)
    assert clear.code in str(told)


async def test_what_was_approved_is_not_set_aside(office: Office) -> None:
    first = await office.sending()
    made = await office.approved(
        await followup.update(office.conn, office.author, LATER, first.alert_id)
    )
    with pytest.raises(Conflict, match=made.code):
        await followup.all_clear(office.conn, office.author, LATER, first.alert_id, made.code)
    assert (await draft.find(office.conn, made.alert_id)).state is AlertState.APPROVED


async def test_what_is_no_longer_live_or_newest_is_not_updated(office: Office) -> None:
    first = await office.sending()
    over = (first.expires or NOW) + timedelta(minutes=1)
    with pytest.raises(Conflict, match="no longer live"):
        await followup.update(office.conn, office.author, over, first.alert_id)
    second = await office.sending(
        alert=await followup.update(office.conn, office.author, LATER, first.alert_id)
    )
    with pytest.raises(Conflict, match=f"Open {second.code}"):
        await followup.update(office.conn, office.author, LATER, first.alert_id)
    await lifecycle.stop(office.conn, office.author, LATER, second.alert_id, "nhầm")
    with pytest.raises(Conflict, match="no longer live"):
        await followup.update(office.conn, office.author, LATER, second.alert_id)
    waiting = await office.approved(
        await draft.create(office.conn, office.author, NOW, words(), first.unit_id)
    )
    with pytest.raises(Conflict, match="has not begun"):
        await followup.correct(office.conn, office.author, LATER, waiting.alert_id, "nhầm")


@pytest.mark.parametrize("kind", order.PREPARED)
async def test_one_click_sends_what_was_approved_with_the_alert(office: Office, kind: str) -> None:
    first = await office.sending()
    act = followup.cancel if kind == "cancel" else followup.correct
    made = await act(office.conn, office.approver, LATER, first.alert_id, "nhầm vùng")
    before = await lifecycle.snapshot(office.conn, first.alert_id)
    sent = await lifecycle.snapshot(office.conn, made.alert_id)
    assert sent.content.wording == getattr(before.content.prepared, kind)
    assert (made.kind, made.state, made.sequence) == (kind, AlertState.APPROVED, 2)
    assert made.lane == (0 if kind == "correction" else first.lane)
    assert (made.author_id, made.approved_by) == (first.author_id, first.approved_by)
    assert (await draft.find(office.conn, first.alert_id)).state is AlertState.STOPPED
    pressed = await office.conn.fetch(
        "SELECT action, official_id, detail FROM audit WHERE action LIKE 'alert.approved_before'"
        " OR action = $1 ORDER BY audit_id",
        f"alert.{kind}",
    )
    assert {row["official_id"] for row in pressed} == {office.approver.official_id}
    assert pressed[1]["detail"]["agreed_in"] == before.content_hash.hex()
    assert await office.conn.fetchval(
        "SELECT count(*) FROM outbox WHERE topic = 'start' AND subject_id = $1", made.alert_id
    )
    # Nothing follows it, and it is not sent twice.
    for again in (first, made):
        with pytest.raises(Conflict):
            await act(office.conn, office.author, LATER, again.alert_id, "lần nữa")


async def test_words_nobody_approved_are_not_sent_by_one_click(office: Office) -> None:
    first = await office.sending(parse(storm(NOW)))
    with pytest.raises(Refused, match="No words for this were approved"):
        await followup.correct(office.conn, office.author, LATER, first.alert_id, "nhầm")
    assert (await draft.find(office.conn, first.alert_id)).state is AlertState.SENDING
    with pytest.raises(Refused, match="Say why"):
        await followup.correct(office.conn, office.author, LATER, first.alert_id, "")
    with pytest.raises(Refused):
        await followup.correct(office.conn, office.stranger, LATER, first.alert_id, "nhầm")


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"wording": storm(NOW, "flood")["wording"]},
        lambda: {"area": {"units": [{"code": PHU_THUONG, "vintage": "2025-07-01"}]}},
        lambda: {"class": "emergency"},
    ],
    ids=["wording", "area", "class"],
)
async def test_the_database_refuses_other_words_under_an_old_approval(
    office: Office, change: Callable[[], dict[str, object]]
) -> None:
    first = await office.sending()
    made = await followup.correct(office.conn, office.author, LATER, first.alert_id, "nhầm")
    document = (await lifecycle.snapshot(office.conn, made.alert_id)).document
    data, digest = canonical(document | {"content": document["content"] | change()})
    with pytest.raises(asyncpg.CheckViolationError, match="not what was prepared"):
        await office.conn.execute(
            "INSERT INTO alert_snapshot VALUES ($1, 2, $2, $3, now())", made.alert_id, data, digest
        )


async def test_a_correction_gives_up_what_others_have_in_work(office: Office) -> None:
    first = await office.sending()
    update = await followup.update(office.conn, office.author, LATER, first.alert_id)
    made = await followup.correct(office.conn, office.author, LATER, first.alert_id, "báo nhầm")
    given_up = await draft.find(office.conn, update.alert_id)
    assert (given_up.state, given_up.ended_reason) == (AlertState.REJECTED, "báo nhầm")
    assert made.sequence == 3


async def test_an_approved_update_that_has_not_begun_is_stopped_by_a_correction(
    office: Office,
) -> None:
    first = await office.sending()
    update = await followup.update(office.conn, office.author, LATER, first.alert_id)
    await office.approved(update)
    await followup.correct(office.conn, office.author, LATER, first.alert_id, "báo nhầm")
    assert (await draft.find(office.conn, update.alert_id)).state is AlertState.STOPPED


async def test_an_all_clear_is_written_approved_and_taken_back_as_such(office: Office) -> None:
    first = await office.sending(words("flood"))
    made = await followup.all_clear(office.conn, office.author, LATER, first.alert_id)
    content = (await draft.load(office.conn, office.author, made.alert_id)).content
    assert (made.kind, content.event, content.values["hazard"]) == (
        "all_clear",
        "all_clear",
        "flood",
    )
    assert content.area == words("flood").area
    assert "withdrawn" in content.prepared.correction["en"].push.body
    with pytest.raises(Conflict):
        await followup.update(office.conn, office.author, LATER, made.alert_id)


async def test_officials_of_another_place_follow_nothing_up(office: Office) -> None:
    first = await office.sending()
    for act in (followup.update, followup.all_clear):
        with pytest.raises(Refused):
            await act(office.conn, office.stranger, LATER, first.alert_id)
    with pytest.raises(NotAllowed):
        await followup.update(office.conn, office.approver, LATER, first.alert_id)


async def _nothing() -> None:
    """Nobody waits to be woken."""


async def test_a_correction_of_what_reached_nobody_ends_by_itself(
    office: Office, pool: Pool
) -> None:
    first = await office.sending()
    made = await followup.correct(office.conn, office.author, LATER, first.alert_id, "nhầm")
    now = LATER + timedelta(seconds=1)
    await stages.start(pool, now, office.selector, _nothing)
    await stages.expand_open(pool, now, _nothing)
    await stages.settle(pool, now)
    assert (await draft.find(office.conn, made.alert_id)).state is AlertState.SENT
    before = await office.conn.fetchrow(
        "SELECT superseded_by, state::text FROM alert WHERE alert_id = $1", first.alert_id
    )
    assert tuple(before) == (made.alert_id, "stopped")


async def test_an_update_that_begins_ends_what_it_follows(office: Office, pool: Pool) -> None:
    first = await office.sending()
    update = await followup.update(office.conn, office.author, LATER, first.alert_id)
    await office.approved(update)
    await stages.start(pool, LATER, office.selector, _nothing)
    before = await draft.find(office.conn, first.alert_id)
    assert (before.state, before.ended_reason) == (AlertState.STOPPED, update.code)
    assert (await draft.find(office.conn, update.alert_id)).state is AlertState.SENDING
    trail = await office.conn.fetch(
        "SELECT action FROM audit WHERE subject_id = $1 AND action = 'alert.superseded'",
        first.alert_id,
    )
    assert len(trail) == 1


def test_words_beside_the_alert_follow_the_template_until_somebody_writes_in_them() -> None:
    content = words()
    own = {"prepared.cancel": {"vi": {"sms.text": "Huy tin"}}}
    made = follow_up_form.with_follow_ups(content, "alert", None, own)
    assert made.prepared.cancel["vi"].sms.text == "Huy tin"
    assert made.prepared.cancel["vi"].push == content.prepared.cancel["vi"].push
    shown = follow_up_form.pieces(made, "alert", None)
    assert [n for n, p in shown["prepared.cancel"]["vi"].items() if p.own] == ["sms.text"]
    assert "sms.text" not in follow_up_form.texts(made, "alert", None)["prepared.cancel"]["vi"]
    # Only Vietnamese is sent: the form holds the English words all the same.
    alone = made.model_copy(update={"languages": ("vi",)})
    assert set(follow_up_form.pieces(alone, "update", content)["left_wording"]) == {"vi", "en"}
    update = follow_up_form.with_follow_ups(alone, "update", content, {})
    assert set(update.left_wording) == {"vi"}
