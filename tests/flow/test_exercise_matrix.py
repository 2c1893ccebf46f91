"""Whatever can be done with an exercise, on every channel and in both languages.

After each act everything the carriers got since it began is read from their own files, marked or
not: each message is for somebody who may get it, and every text of it says exercise first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from broadcaster.alerts import draft, exercise_sessions, followup, lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.fanout import dead_letters, replay
from broadcaster.people.officials import Role, create_official
from channels.lab import fcm_store, smsc_store, smtp
from tests.builders import CHANNELS, REPLY_NUMBER, Service, area_of, eventually, now, unit_of
from tests.builders import warning as storm
from tests.flow.scenes import WARD, last_taken

pytestmark = pytest.mark.asyncio(loop_scope="package")

OTHER_WARD = "00004"
MARKS = ("[DIỄN TẬP] ", "[DIEN TAP] ", "[EXERCISE] ")
WAYS = ("listed", "widened")


@dataclass(frozen=True)
class Message:
    """One message as its carrier has it: where to, and each text a person may see first."""

    channel: str
    address: str
    texts: tuple[str, ...]

    @property
    def marked(self) -> bool:
        return all(text.startswith(MARKS) for text in self.texts)


@dataclass
class Scene:
    """A city in which somebody of two wards agreed to exercises, in both languages."""

    city: Service
    endpoint_ids: list[int]
    addresses: set[tuple[str, str]]
    """Of those who agreed, and of officials, who are asked for approvals."""
    before: dict[str, int] = field(default_factory=dict)
    widened: bool = False

    async def area(self, *codes: str) -> dict[str, Any]:
        async with self.city.pool.acquire() as conn:
            return await area_of(conn, *codes)

    async def content(self, where: str, **changes: Any) -> Content:
        return storm(await self.area(WARD, OTHER_WARD), where, **changes)

    async def send(self, content: Content) -> Alert:
        made = await self.city.write(content, as_exercise=True)
        return await self.approve(made)

    async def approve(self, made: Alert) -> Alert:
        done = await self.city.approve(await self.city.submit(made), widen=self.widened)
        await self.city.settled(done.alert_id)
        return done

    def mark(self) -> None:
        """Look at what comes from here on."""
        self.before = last_taken(self.city)

    def came(self) -> list[Message]:
        return [one for name in CHANNELS for one in _READ[name](self.city, self.before[name])]

    async def delivered(self, alert_id: int, wording: int | None = None) -> set[int]:
        rows = await self.city.rows(
            "SELECT endpoint_id FROM delivery WHERE alert_id = $1"
            " AND ($2::int IS NULL OR wording = $2)",
            alert_id, wording,
        )  # fmt: skip
        return {row["endpoint_id"] for row in rows}


def _pushes(city: Service, after: int) -> list[Message]:
    with closing(fcm_store.connect(city.lab.directory)) as conn:
        rows = conn.execute(
            "SELECT m.address, c.title, c.body, c.data FROM message m JOIN content c"
            " ON c.id = m.content WHERE m.id > ?",
            (after,),
        ).fetchall()
    # A link test shows nothing: it has no words.
    return [
        Message("push", row["address"], (row["title"], row["body"]))
        for row in rows
        if row["title"] or row["body"]
    ]


def _texts(city: Service, after: int) -> list[Message]:
    """Parts come in order here; the first of a message stands for it, as on a phone."""
    with closing(smsc_store.open_store(city.lab.directory)) as conn:
        rows = conn.execute(
            "SELECT number, text, esm_class, raw FROM part WHERE id > ? ORDER BY id", (after,)
        ).fetchall()
        whole = {row["text"] for row in conn.execute("SELECT text FROM message")}
    found = []
    for row in rows:
        joined = next((one for one in whole if one.endswith(row["text"])), row["text"])
        if not joined.startswith("Link test"):
            found.append(Message("sms", row["number"], (joined,)))
    return found


def _mails(city: Service, after: int) -> list[Message]:
    with closing(smtp.connect(city.lab.directory)) as conn:
        rows = conn.execute(
            "SELECT rcpt, subject, text, html FROM mail WHERE id > ?", (after,)
        ).fetchall()
    return [
        # A long subject is folded, and the fold is read as a space.
        Message(
            "email", row["rcpt"], (row["subject"].lstrip(), row["text"], _first_words(row["html"]))
        )
        for row in rows
        if not row["subject"].startswith("Link test")
    ]


def _first_words(html: str) -> str:
    """What a page of HTML shows first, its head left out."""
    body = html.partition("<body")[2].partition(">")[2] or html
    shown, within = "", False
    for letter in body:
        within = letter == "<" or (within and letter != ">")
        shown += "" if within or letter == ">" else letter
    return " ".join(shown.split())


_READ: dict[str, Callable[[Service, int], list[Message]]] = {
    "push": _pushes, "sms": _texts, "email": _mails,
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="package")
async def scene(city: Service) -> AsyncIterator[Scene]:
    """Two of each ward with each channel, one of them in English; off the list afterwards."""
    rows = await city.rows(
        "SELECT * FROM (SELECT e.endpoint_id, e.channel, row_number() OVER ("
        "   PARTITION BY e.channel, u.code ORDER BY e.endpoint_id) AS number"
        "  FROM person_place p JOIN unit u USING (unit_id) JOIN person_endpoint l USING (person_id)"
        "  JOIN endpoint e USING (endpoint_id) WHERE u.code = ANY($1) AND u.valid_to IS NULL"
        "   AND e.state = 'active' AND p.place_no = 0 AND NOT EXISTS ("
        "    SELECT FROM person_endpoint o WHERE o.endpoint_id = e.endpoint_id"
        "    AND o.person_id <> p.person_id)"
        "   AND NOT EXISTS (SELECT FROM person_place q WHERE q.person_id = p.person_id"
        "    AND q.place_no > 0)) chosen WHERE number <= 2",
        [WARD, OTHER_WARD],
    )
    ids = [row["endpoint_id"] for row in rows]
    assert len(ids) == 12
    english = [row["endpoint_id"] for row in rows if row["number"] == 2]
    await city.rows("UPDATE endpoint SET lang = 'en' WHERE endpoint_id = ANY($1)", english)
    await city.rows(
        "INSERT INTO exercise_recipient (endpoint_id, unit_id, consent, consented_on, added_at)"
        " SELECT unnest($1::bigint[]), unit_id, 'trên giấy', '2026-09-01', now() FROM unit"
        " WHERE kind = 'city' AND valid_to IS NULL",
        ids,
    )
    officials = await city.rows("SELECT endpoint_id FROM official_endpoint")
    known = await city.addresses([*ids, *(row["endpoint_id"] for row in officials)])
    # Whom an earlier one covers is left out of nothing.
    await city.rows("UPDATE alert SET expires = now() WHERE status = 'Exercise'")
    made = Scene(city, ids, {(channel, address) for channel, address, _ in known.values()})
    made.mark()
    yield made
    await city.rows("UPDATE endpoint SET lang = 'vi' WHERE endpoint_id = ANY($1)", english)
    await city.rows(
        "UPDATE exercise_recipient SET removed_at = now(), removed_why = 'xong'"
        " WHERE removed_at IS NULL"
    )


# --- The acts ---

Act = Callable[[Scene], Awaitable[Alert]]


async def an_alert(scene: Scene) -> Alert:
    return await scene.send(await scene.content("Diễn tập đầu"))


async def an_emergency_in_several_parts(scene: Scene) -> Alert:
    """Its words are long enough for two parts of SMS in either language."""
    content = await scene.content("Diễn tập dài")
    long = {
        lang: one.model_copy(
            update={"sms": one.sms.model_copy(update={"text": f"{one.sms.text} {'di ngay ' * 20}"})}
        )
        for lang, one in content.wording.items()
    }
    return await scene.send(content.model_copy(update={"wording": long}))


async def information_that_goes_on_by_sms(scene: Scene) -> Alert:
    """Push first; who has none, or has not acknowledged it, hears by the next step."""
    return await scene.send(await scene.content("Diễn tập theo bước", **{"class": "information"}))


async def an_update_that_leaves_some_out(scene: Scene) -> Alert:
    first = await an_alert(scene)
    actor = await scene.city.actor("ha")
    async with scene.city.pool.acquire() as conn:
        made = await followup.update(conn, actor, now(), first.alert_id)
        said = (await draft.load(conn, actor, made.alert_id)).content
        less = said.model_copy(update={"area": await area_of(conn, WARD)})
        await draft.save(conn, actor, now(), made.alert_id, 1, less)
    done = await scene.approve(made)
    # Each of the three wordings is on its way: the short one, and “no longer covers your place”.
    assert await scene.delivered(done.alert_id, 1)
    assert await scene.delivered(done.alert_id, 2)
    return done


async def an_all_clear(scene: Scene) -> Alert:
    first = await an_alert(scene)
    actor = await scene.city.actor("ha")
    async with scene.city.pool.acquire() as conn:
        made = await followup.all_clear(conn, actor, now(), first.alert_id)
        said = (await draft.load(conn, actor, made.alert_id)).content
        words = (await scene.content("Hết")).wording
        await draft.save(
            conn, actor, now(), made.alert_id, 1, said.model_copy(update={"wording": words})
        )
    return await scene.approve(made)


async def a_cancel(scene: Scene) -> Alert:
    return await _one_click(scene, followup.cancel)


async def a_correction(scene: Scene) -> Alert:
    return await _one_click(scene, followup.correct)


async def _one_click(scene: Scene, click: Callable[..., Awaitable[Alert]]) -> Alert:
    first = await an_alert(scene)
    async with scene.city.pool.acquire() as conn:
        done = await click(conn, await scene.city.actor("ha"), now(), first.alert_id, "hết")
    await scene.city.waker.wake("start")
    await scene.city.settled(done.alert_id)
    return done


async def a_stop(scene: Scene) -> Alert:
    made = await scene.city.write(await scene.content("Diễn tập dừng"), as_exercise=True)
    done = await scene.city.approve(await scene.city.submit(made), widen=scene.widened)
    async with scene.city.pool.acquire() as conn:
        await lifecycle.stop(conn, await scene.city.actor("ha"), now(), done.alert_id, "thôi")
    await scene.city.settled(done.alert_id)
    return done


async def retries_and_replays(scene: Scene) -> Alert:
    city = scene.city
    await city.configure("email", unknown_user_rate=1.0)
    await city.configure("push", error_rate=0.5)
    try:
        done = await city.approve(
            await city.submit(
                await city.write(await scene.content("Diễn tập gửi lại"), as_exercise=True)
            ),
            widen=scene.widened,
        )
        letters = "SELECT count(*) FROM dead_letter WHERE alert_id = $1"
        await eventually(lambda: city.value(letters, done.alert_id), 30, "dead letters")
    finally:
        await city.configure("email", unknown_user_rate=0.0)
        await city.configure("push", error_rate=0.0)
    chosen = dead_letters.Filters(alert_id=done.alert_id, until=now() + timedelta(minutes=1))
    again = await replay.replay(city.pool, await city.actor("anna"), now(), chosen, retired=True)
    assert again.again
    await city.settled(done.alert_id)
    return done


async def a_copy_of_a_real_draft(scene: Scene) -> Alert:
    """What is real becomes an exercise by being begun anew: its words are marked."""
    async with scene.city.pool.acquire() as conn:
        actor = await scene.city.actor("ha")
        unit = await unit_of(conn)
        content = await scene.content("Bản thật chép lại")
        real = await draft.create(conn, actor, now(), content, unit, as_exercise=False)
        source = (await draft.load(conn, actor, real.alert_id)).content
        made = await draft.create(conn, actor, now(), source, unit, as_exercise=True)
    return await scene.approve(made)


async def whatever_is_begun_in_a_session(scene: Scene) -> Alert:
    async with scene.city.pool.acquire() as conn:
        admin, unit = await scene.city.actor("anna"), await unit_of(conn)
        session = await exercise_sessions.open_one(
            conn, admin, now(), name="Bão giả định", unit_ids=[unit], begins_at=now(),
            ends_at=now() + timedelta(hours=1),
        )  # fmt: skip
        made = await scene.city.write(await scene.content("Trong đợt diễn tập"))
        await exercise_sessions.close_one(conn, admin, now(), session)
    return await scene.approve(made)


ACTS: tuple[Act, ...] = (
    an_alert, an_emergency_in_several_parts, information_that_goes_on_by_sms,
    an_update_that_leaves_some_out, an_all_clear, a_cancel, a_correction, a_stop,
    retries_and_replays, a_copy_of_a_real_draft, whatever_is_begun_in_a_session,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_every_message_of_an_exercise_says_so_and_is_for_somebody_who_may_get_it(
    scene: Scene, act: Act, way: str
) -> None:
    scene.widened = way == "widened"
    done = await act(scene)
    assert done.status == "Exercise"
    came = scene.came()
    assert [one for one in came if not one.marked] == []
    if not scene.widened:
        assert {(one.channel, one.address) for one in came} <= scene.addresses
        assert await scene.delivered(done.alert_id) <= set(scene.endpoint_ids)
    elif act is not a_stop:
        assert len(await scene.delivered(done.alert_id)) > len(scene.endpoint_ids)
    if act is not a_stop:
        # Nothing is proven by a carrier that got nothing.
        assert {one.channel for one in came} >= {"push", "email"}
        assert {"[EXERCISE]", "[DIỄN"} <= {one.texts[0].split()[0] for one in came}
    notices = "SELECT count(*) FROM notice JOIN alert USING (alert_id) WHERE status = 'Exercise'"
    assert await scene.city.value(notices) == 0


async def test_what_is_answered_to_an_exercise_is_marked_too(scene: Scene) -> None:
    city = scene.city
    await an_alert(scene)
    mine = await city.addresses(scene.endpoint_ids)
    number = next(address for channel, address, _ in mine.values() if channel == "sms")
    with closing(smsc_store.open_store(city.lab.directory)) as conn, conn:
        conn.execute(
            "INSERT INTO outbox (number, destination, text, written_at) VALUES (?, ?, ?, ?)",
            (number, REPLY_NUMBER, "nha toi ngap", now().timestamp()),
        )
    answers = "SELECT count(*) FROM incident WHERE exercise"
    await eventually(lambda: city.value(answers), 20, "an incident of the exercise")

    async def told() -> bool:
        return any("phan anh" in one.texts[0] for one in scene.came())

    await eventually(told, 20, "the acknowledgement")
    assert [one for one in scene.came() if not one.marked] == []


async def test_what_training_accounts_do_reaches_no_carrier_whatever_they_do(scene: Scene) -> None:
    """Alert, update, cancel and the questions to those who approve."""
    city = scene.city
    async with city.pool.acquire() as conn:
        top = await unit_of(conn)
        for login, role in (("tap1", "author"), ("tap2", "approver")):
            await create_official(
                conn, None, now(), login=login, name=login, password="một mật khẩu đủ dài",
                training=True, roles=[Role(role, top)],
            )  # fmt: skip
        trainee = await city.actor("tap1")
    scene.mark()
    first = await city.broadcast(await scene.content("Chỉ tập"), author="tap1", approver="tap2")
    await city.settled(first.alert_id)
    assert await city.handed_off(first.alert_id)
    async with city.pool.acquire() as conn:
        made = await followup.update(conn, trainee, now(), first.alert_id)
    update = await city.approve(await city.submit(made, author="tap1"), approver="tap2")
    await city.settled(update.alert_id)
    async with city.pool.acquire() as conn:
        cancel = await followup.cancel(conn, trainee, now(), update.alert_id, "xong")
    await city.waker.wake("start")
    await city.settled(cancel.alert_id)
    assert await city.handed_off(cancel.alert_id)
    assert scene.came() == []
