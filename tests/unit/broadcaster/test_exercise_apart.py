"""What is rehearsed and what is real never take each other's place."""

from __future__ import annotations

from datetime import date, timedelta

import asyncpg
import numpy as np
import pytest

from broadcaster.alerts import exercise, wordings
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed
from broadcaster.fanout import audience, contents, reached, replay
from broadcaster.fanout.dead_letters import Filters
from broadcaster.incidents import lifecycle, matching
from broadcaster.incidents.lifecycle import Opening
from broadcaster.incidents.matching import LAST_SENT, Match, match
from broadcaster.keyring import Keyring
from broadcaster.people import claims, endpoints, exercise_recipients
from broadcaster.people.endpoints import Address
from broadcaster.people.exercise_recipients import Enrolment
from broadcaster.people.officials import Actor, Role, create_official
from broadcaster.people.units import UnitMap
from broadcaster.states import IncidentState
from channels.email import EmailContent
from channels.push import PushContent
from channels.sms_text import encode
from tests.unit.broadcaster import sending
from tests.unit.broadcaster.city import (
    BA_DINH,
    NOW,
    PASSWORD,
    alert,
    delivered,
    official,
    unit_id,
)  # fmt: skip
from tests.unit.broadcaster.site import content as storm

HOUR = timedelta(hours=1)
MARKS = {"vi": ("[DIỄN TẬP] ", "[DIEN TAP] "), "en": ("[EXERCISE] ",)}
DRILL = {"status": "Exercise", "state": "sending"}


async def _trainee(conn: Conn, login: str, *roles: str) -> Actor:
    unit = await unit_id(conn, BA_DINH)
    return await create_official(
        conn, None, NOW, login=login, name=login, password=PASSWORD, training=True,
        roles=[Role(role, unit) for role in roles],
    )  # fmt: skip


@pytest.fixture
async def sent(conn: Conn, units: UnitMap) -> dict[str, object]:
    """What an alert that was approved and is being sent has besides."""
    approver = await official(conn, "duyet")
    return {"approved_by": approver.official_id, "approved_at": NOW, "approved_version": 1}


# --- Words on the wire ---


def _said() -> Content:
    content = parse(storm(NOW))
    made = wordings.with_difference(wordings.with_prepared(content, "alert"), content)
    return exercise.with_mark(made, exercise.EXERCISE)


@pytest.mark.parametrize("channel", ["push", "sms", "email"])
@pytest.mark.parametrize("kind", ["alert", "update", "all_clear", "cancel", "correction"])
def test_whatever_a_carrier_is_given_says_exercise_first(channel: str, kind: str) -> None:
    """Title and body of a push, subject, text and HTML of a mail, the first part of an SMS."""
    document = {"code": "DT-1", "kind": kind, "status": "Exercise"}
    snapshot = Snapshot(1, 1, b"", document, _said())
    given = contents.of_alert(snapshot, channel)
    assert set(given) == {f"{lang}{wording}" for lang in MARKS for wording in range(3)}
    for name, one in given.items():
        marks = MARKS[name[:2]]
        if isinstance(one, PushContent):
            texts = [one.title, one.body]
            assert one.data["status"] == "Exercise"
        elif isinstance(one, EmailContent):
            texts = [one.subject, one.text, one.html.removeprefix("<p><strong>")]
            assert marks[0].strip() in one.html.splitlines()[0]
        else:
            texts = [one.text]
            parts = encode(one.text).parts
            # Parts of one message carry a header, so that no phone shows the second without it.
            assert len(parts) == 1 or all(part[:1] == b"\x05" for part in parts)
        for text in texts:
            assert text.replace("</strong>", " ", 1).startswith(marks), (name, text[:60])


@pytest.mark.parametrize("channel", ["push", "email"])
def test_nothing_real_calls_itself_an_exercise(channel: str) -> None:
    content = parse(storm(NOW))
    document = {"code": "HN-1", "kind": "alert", "status": "Actual"}
    for one in contents.of_alert(Snapshot(1, 1, b"", document, content), channel).values():
        assert "DIỄN TẬP" not in str(one)
        assert "xercise" not in str(one)


# --- Who is told that a place is no longer covered ---


@pytest.mark.parametrize(
    ("ours", "other", "told"),
    [
        ("Actual", "Actual", False), ("Actual", "Exercise", True),
        ("Exercise", "Exercise", False), ("Exercise", "Actual", True),
    ],
)  # fmt: skip
async def test_an_exercise_covers_nobody_in_the_place_of_a_real_alert(
    conn: Conn, keyring: Keyring, sent: dict[str, object], ours: str, other: str, told: bool
) -> None:
    """Who is dropped by an update is told, unless another alert of its kind covers them."""
    author, digest = await official(conn, "soan"), b"h" * 32
    [mine] = await sending.endpoints(conn, keyring, "sms", 1)
    person: int = await conn.fetchval(
        "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
    )
    await endpoints.link(conn, NOW, [(person, mine)])
    begun = sent | {"state": "sending", "started_at": NOW}
    unit = await unit_id(conn, BA_DINH)
    first = await alert(conn, author, unit, code="A", status=ours, **begun)
    await delivered(conn, first, mine)
    beside = await alert(conn, author, unit, code="B", status=other, **begun)
    await conn.execute(
        "INSERT INTO alert_snapshot VALUES ($1, 1, $2, $3, $4)",
        beside, f'{{"status": "{other}"}}'.encode(), digest, NOW,
    )  # fmt: skip
    packed = audience.pack(digest, np.array([person], dtype=np.uint32))
    await audience.freeze(conn, NOW, beside, packed)
    update = await alert(
        conn, author, unit, code="C", status=ours, kind="update", predecessor_id=first,
        root_id=first, sequence=2, **begun,
    )  # fmt: skip
    follow = await reached.follow_up(conn, update)
    assert follow is not None
    left = await reached.beyond(conn, NOW, follow, np.zeros(0, dtype=np.uint32))
    assert left.endpoint_ids.tolist() == ([mine] if told else [])


# --- What citizens answer ---


async def test_who_may_mean_a_real_alert_is_taken_at_their_word(
    conn: Conn, keyring: Keyring, sent: dict[str, object]
) -> None:
    author = await official(conn, "soan")
    [mine] = await sending.endpoints(conn, keyring, "sms", 1)
    real = await alert(
        conn, author, 1, code="HN-9", state="sent", first_handoff_at=NOW - HOUR, **sent
    )
    drill = await alert(conn, author, 1, code="DT-9", first_handoff_at=NOW, **DRILL, **sent)
    await delivered(conn, drill, mine)
    assert await match(conn, NOW, [mine]) == Match(drill, LAST_SENT)
    assert await matching.of_exercise(conn, NOW, drill)
    await delivered(conn, real, mine)
    assert await match(conn, NOW, [mine]) == Match(real, LAST_SENT), "a real one in force"
    # Whoever answers the very mail of the exercise, or names it, says which they mean.
    assert (await match(conn, NOW, [mine], replied_to=drill)).alert_id == drill
    assert (await match(conn, NOW, [mine], named="DT-9")).alert_id == drill
    await conn.execute("UPDATE alert SET state = 'expired' WHERE alert_id = $1", real)
    assert (await match(conn, NOW, [mine])).alert_id == drill


async def test_what_training_accounts_send_reached_nobody_and_is_answered_by_nobody(
    conn: Conn, keyring: Keyring, sent: dict[str, object]
) -> None:
    """It is booked as handed off; a cry for help must not be filed under it."""
    hoc = await _trainee(conn, "hoc", "author")
    thi = await _trainee(conn, "thi", "approver")
    [mine] = await sending.endpoints(conn, keyring, "sms", 1)
    made = await alert(
        conn, hoc, 1, code="DT-8", training=True, first_handoff_at=NOW,
        **DRILL, **(sent | {"approved_by": thi.official_id}),
    )  # fmt: skip
    await delivered(conn, made, mine)
    assert await match(conn, NOW, [mine]) == Match(None, "")
    assert not await matching.of_exercise(conn, NOW, made)


async def test_an_exercise_lasts_from_message_to_message_until_it_is_called_off(
    conn: Conn, sent: dict[str, object]
) -> None:
    author = await official(conn, "soan")
    first = await alert(conn, author, 1, code="DT-1", **DRILL, **sent)

    async def follow(kind: str, sequence: int, before: int) -> int:
        made = await alert(
            conn, author, 1, code=f"DT-{sequence}", kind=kind, predecessor_id=before,
            root_id=first, sequence=sequence, **DRILL, **sent,
        )  # fmt: skip
        await conn.execute("UPDATE alert SET superseded_by = $2 WHERE alert_id = $1", before, made)
        return made

    update = await follow("update", 2, first)
    # The mail of the first message is still in the box when the update is out.
    assert await matching.of_exercise(conn, NOW, first)
    assert await matching.of_exercise(conn, NOW, update)
    clear = await follow("all_clear", 3, update)
    for one in (first, update, clear):
        assert not await matching.of_exercise(conn, NOW, one)


# --- Training accounts ---


async def test_a_trainee_works_the_incidents_of_exercises_alone(conn: Conn, units: UnitMap) -> None:
    truc = await _trainee(conn, "truc", "staff")
    ward = await unit_id(conn, BA_DINH)
    codes = {}
    for drill in (False, True):
        report = await conn.fetchval(
            "INSERT INTO report (code, channel, received_at, text, place_source)"
            " VALUES ($1, 'app', $2, 'ngập', 'none') RETURNING report_id",
            f"PA-{drill}", NOW,
        )  # fmt: skip
        made = await lifecycle.open_incident(
            conn, NOW, report,
            Opening("ngập", "flood", "normal", None, ward, None, None, "home", exercise=drill),
        )  # fmt: skip
        codes[drill] = await conn.fetchval("SELECT code FROM incident WHERE incident_id = $1", made)
    await lifecycle.move(conn, truc, NOW, codes[True], IncidentState.TRIAGED)
    with pytest.raises(NotAllowed, match="is real"):
        await lifecycle.move(conn, truc, NOW, codes[False], IncidentState.TRIAGED)


async def test_a_trainee_sends_nothing_again(pool: Pool, conn: Conn, units: UnitMap) -> None:
    thi = await _trainee(conn, "thi", "approver")
    with pytest.raises(NotAllowed, match="reaches people"):
        await replay.replay(pool, thi, NOW, Filters(direct=True, until=NOW))


async def test_a_training_account_administers_nothing_and_trains_for_ever(
    conn: Conn, units: UnitMap
) -> None:
    hoc = await _trainee(conn, "hoc", "author")
    ward = await unit_id(conn, BA_DINH)
    for statement, arguments in (
        ("INSERT INTO official_role (official_id, role, unit_id) VALUES ($1, 'admin', $2)", [ward]),
        ("UPDATE official_role SET role = 'admin' WHERE official_id = $1", []),
        ("UPDATE official SET training = false WHERE official_id = $1", []),
    ):
        with pytest.raises(asyncpg.CheckViolationError, match=r"training account|decided once"):
            await conn.execute(statement, hoc.official_id, *arguments)


# --- Addresses that change hands ---


async def _enrolled(conn: Conn, keyring: Keyring, admin: Actor, address: Address) -> int:
    known = await endpoints.ensure_active(conn, keyring, NOW, [address])
    person: int = await conn.fetchval(
        "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
    )
    await endpoints.link(conn, NOW, [(person, known[address])])
    given = Enrolment(address.value, "trên giấy", date(2026, 9, 1))
    await exercise_recipients.enrol(conn, keyring, admin, NOW, await unit_id(conn, BA_DINH), given)
    return person


@pytest.mark.parametrize("how", ["left", "recycled", "came back", "out of reach"])
async def test_whoever_takes_over_an_address_has_agreed_to_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, how: str
) -> None:
    admin = await official(conn, "anna", Role("admin", await unit_id(conn, BA_DINH)))
    address = Address("sms", "+84912345670")
    person = await _enrolled(conn, keyring, admin, address)
    endpoint_id = await endpoints.find(conn, keyring, address) or 0
    if how == "left":
        await endpoints.unlink_person(conn, NOW, person)
    else:
        await endpoints.retire(conn, NOW, [endpoint_id], "unknown subscriber")
    newcomer = person
    if how in ("left", "recycled"):
        newcomer = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
        )
    if how == "out of reach":
        await endpoints.bring_back(conn, [endpoint_id])
    else:
        made = await claims.claim(conn, keyring, NOW, newcomer, address, "vi")
        text = await conn.fetchval("SELECT content ->> 'text' FROM direct_message")
        code = "".join(filter(str.isdecimal, text))[:6]
        await claims.verify(pool, keyring, NOW, made.claim_id, code)
    state = await conn.fetchval(
        "SELECT state::text FROM endpoint WHERE endpoint_id = $1", endpoint_id
    )
    listed, _ = await exercise_recipients.enrolled(conn)
    assert state == "active"
    assert (endpoint_id in listed) == (how in ("came back", "out of reach"))
