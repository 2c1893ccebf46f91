"""Dead letters: booked with the outcome, told in words, grouped, and sent again once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import claims, dead_letters, direct, letters, outcomes, providers, receipts
from broadcaster.fanout import replay as replaying
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.dead_letters import Filters, Scope
from broadcaster.fanout.policy import UNKNOWN_TRIES
from broadcaster.fanout.progress import progress
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.fanout.stages import settle
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.people.officials import Actor, Role
from broadcaster.people.units import UnitMap
from channels.base import Action, Outcome, Result
from tests.unit.broadcaster.city import official, unit_id
from tests.unit.broadcaster.sending import Sending, author, sending

REFUSED = (Result.PERMANENT, "0x00000065")
GONE = (Result.PERMANENT, "unknown subscriber")
LOST = (Result.UNKNOWN, "no answer")
TAKEN = (Result.ACCEPTED, "")
Verdict = tuple[Result, str]


async def _claim(conn: Conn) -> Claim:
    claim = await claims.claim(conn, "w", "sms", ALL_LANES)
    assert claim is not None
    return claim


async def _ended(
    pool: Pool, conn: Conn, keyring: Keyring, verdicts: Sequence[Verdict], *, lane: int = 2
) -> tuple[Sending, int]:
    """An alert of which each delivery ended as given; routine, so unknown is left at once."""
    made = await sending(
        conn, keyring, await author(conn), code="A", channel="sms", lane=lane, count=len(verdicts)
    )
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    await _send(pool, await _claim(conn), provider_id, made.endpoint_ids, verdicts)
    return made, provider_id


async def _send(
    pool: Pool, claim: Claim, provider_id: int, ids: Sequence[int], verdicts: Sequence[Verdict]
) -> None:
    await outcomes.write(
        pool, claim, provider_id, dict.fromkeys(ids, 0),
        [Outcome(e, result, reason) for e, (result, reason) in zip(ids, verdicts, strict=True)],
        last=True,
    )  # fmt: skip


async def _admin(conn: Conn) -> Actor:
    city = await conn.fetchval("SELECT unit_id FROM unit WHERE parent_id IS NULL LIMIT 1")
    return await official(conn, "admin", Role("admin", city))


async def _seen(
    conn: Conn, actor: Actor, filters: Filters | None = None
) -> list[tuple[object, ...]]:
    scope = await dead_letters.scope_of(conn, actor)
    found = await dead_letters.groups(conn, datetime.now(UTC), scope, filters or Filters())
    return [(g.family, g.reason, g.state, g.count, g.usable, g.retired) for g in found]


async def _counts(conn: Conn, alert_id: int) -> dict[str, int]:
    [found] = await progress(conn, alert_id)
    names = ("pending", "handed_off", "confirmed", "failed", "unknown")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def _all_of(made: Sending) -> Filters:
    return Filters(alert_id=made.alert_id, until=datetime.now(UTC))


async def test_what_ended_is_listed_with_the_carriers_code_and_its_meaning(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await _ended(pool, conn, keyring, [REFUSED, REFUSED, GONE, LOST, TAKEN])
    actor = await _admin(conn)
    assert sorted(await _seen(conn, actor)) == [
        ("gone", "unknown subscriber", "failed", 1, 1, 0),
        ("no_answer", "no answer", "unknown", 1, 1, 0),
        ("refused", "0x00000065", "failed", 2, 2, 0),
    ]
    scope = await dead_letters.scope_of(conn, actor)
    page = await dead_letters.letters(
        conn, keyring, datetime.now(UTC), scope, Filters(family="gone")
    )
    [letter] = page.letters
    assert (letter.alert_code, letter.provider, letter.replays) == ("A", "smpp test", 0)
    assert letter.address.startswith("…")
    assert len(letter.address) == 4
    assert "số" in letter.meaning.vi
    assert "number" in letter.meaning.en


async def test_a_delivery_is_no_dead_letter_while_it_is_tried_again(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, provider_id = await _ended(pool, conn, keyring, [LOST], lane=0)
    actor = await _admin(conn)
    assert await _seen(conn, actor) == []
    for tried in range(1, UNKNOWN_TRIES):
        await conn.execute("UPDATE batch SET not_before = now()")
        claim = await _claim(conn)
        await outcomes.write(
            pool, claim, provider_id, {made.endpoint_ids[0]: tried},
            [Outcome(made.endpoint_ids[0], *LOST)], last=True,
        )  # fmt: skip
    assert await _seen(conn, actor) == [("no_answer", "no answer", "unknown", 1, 1, 0)]


async def test_a_late_receipt_takes_the_letter_away(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, _ = await _ended(pool, conn, keyring, [LOST, LOST])
    actor, now = await _admin(conn), datetime.now(UTC)
    a, b = made.endpoint_ids
    await receipts.acknowledge(conn, now, made.alert_id, [a], receipts.DeliveryState.CONFIRMED)
    assert await _seen(conn, actor) == [("no_answer", "no answer", "unknown", 1, 1, 0)]
    await receipts.bounce(conn, now, made.alert_id, b, "5.2.1")
    assert await _seen(conn, actor) == [("mailbox", "5.2.1", "failed", 1, 1, 0)]


async def test_what_an_ended_alert_left_unknown_is_found(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await _ended(pool, conn, keyring, [LOST, LOST, TAKEN], lane=0)
    now = datetime.now(UTC)
    assert await letters.book_left_unknown(conn, now) == 0, "its batch is still open"
    await conn.execute(
        "UPDATE alert SET state = 'expired', ended_at = now(), ended_reason = 'over',"
        " started_at = now()"
    )
    await conn.execute("UPDATE batch SET state = 'done'")
    assert await letters.book_left_unknown(conn, now) == 2
    assert await letters.book_left_unknown(conn, now) == 0
    actor = await _admin(conn)
    assert await _seen(conn, actor) == []
    assert await _seen(conn, actor, Filters(in_force=False)) == [
        ("no_answer", "no answer", "unknown", 2, 0, 0)
    ]


async def test_two_clicks_send_once_and_the_counts_move_back_and_on(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, provider_id = await _ended(pool, conn, keyring, [REFUSED, REFUSED, LOST, TAKEN])
    await _settled(pool, conn)
    assert await _counts(conn, made.alert_id) == {"handed_off": 1, "failed": 2, "unknown": 1}
    actor, chosen = await _admin(conn), _all_of(made)
    done = await asyncio.gather(
        *(replaying.replay(pool, actor, datetime.now(UTC), chosen) for _ in range(3))
    )
    assert sorted(one.again for one in done) == [0, 0, 3]
    assert {one.left for one in done} == {0}
    assert await conn.fetchval("SELECT state::text FROM alert") == "sending"
    # Unknown may have arrived: it is tried again and never counted as not sent.
    assert await _counts(conn, made.alert_id) == {"pending": 2, "handed_off": 1, "unknown": 1}
    assert await _seen(conn, actor) == []
    claim = await _claim(conn)
    assert claim.endpoint_ids == made.endpoint_ids[:3]
    await _send(pool, claim, provider_id, claim.endpoint_ids, [TAKEN, REFUSED, TAKEN])
    await _settled(pool, conn)
    assert await _counts(conn, made.alert_id) == {"handed_off": 3, "failed": 1}
    # The same click once more: what failed again came to lie there after it.
    late = await replaying.replay(pool, actor, datetime.now(UTC), chosen)
    assert late.again == 0
    assert await _seen(conn, actor) == [("refused", "0x00000065", "failed", 1, 1, 0)]
    assert await conn.fetchval("SELECT replays FROM dead_letter WHERE replayed_at IS NULL") == 1
    said = await conn.fetch("SELECT official_id, detail FROM audit WHERE action = 'alert.replayed'")
    assert [(row["official_id"], row["detail"]["letters"]) for row in said] == [
        (actor.official_id, 3)
    ]


async def _settled(pool: Pool, conn: Conn) -> None:
    await conn.execute("UPDATE audience_step SET expanded_at = now()")
    await conn.execute("UPDATE audience SET expanded_at = now()")
    await settle(pool, datetime.now(UTC))
    assert await conn.fetchval("SELECT state::text FROM alert") == "sent"


async def test_a_replay_lies_ready_for_a_provider_paused_by_a_wrong_payload(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, provider_id = await _ended(pool, conn, keyring, [REFUSED])
    now = datetime.now(UTC)
    await providers.pause(conn, now, provider_id, "0x00000001", timedelta(seconds=30))
    done = await replaying.replay(pool, await _admin(conn), now, _all_of(made))
    assert done.again == 1
    assert await conn.fetchval("SELECT paused_until > $1 FROM provider", now), (
        "it rests all the same"
    )
    assert (await _claim(conn)).endpoint_ids == made.endpoint_ids


async def test_retired_endpoints_are_taken_only_when_said_and_are_used_again(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, _ = await _ended(pool, conn, keyring, [GONE, GONE, REFUSED])
    a, b, c = made.endpoint_ids
    now, actor = datetime.now(UTC), await _admin(conn)
    await endpoints.retire(conn, now, [a], "unknown subscriber")
    await endpoints.retire(conn, now, [b], endpoints.LEFT)
    done = await replaying.replay(pool, actor, now, _all_of(made))
    assert (done.again, done.left) == (1, 2)
    done = await replaying.replay(pool, actor, now, _all_of(made), retired=True)
    assert (done.again, done.left) == (1, 1), "nobody stands behind the other any more"
    states = await conn.fetch("SELECT state::text AS state FROM endpoint ORDER BY endpoint_id")
    assert [row["state"] for row in states] == ["active", "retired", "active"]
    batched = await conn.fetch("SELECT endpoint_ids FROM batch WHERE state = 'ready'")
    assert sorted(row["endpoint_ids"] for row in batched) == [[a], [c]]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alert SET expires = now()",
        "UPDATE alert SET state = 'stopped', ended_at = now(), ended_reason = 'x'",
        (
            "INSERT INTO alert (code, cap_identifier, class, lane, event, unit_id, author_id,"
            " created_at, updated_at, expires, kind, predecessor_id, root_id, sequence, started_at)"
            " SELECT 'B', 'urn:B', class, lane, event, unit_id, author_id, now(), now(), expires,"
            " 'update', alert_id, alert_id, 2, now() FROM alert"
        ),
    ],
    ids=["expired", "stopped", "replaced"],
)
async def test_nothing_of_an_alert_that_is_over_is_sent_again(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, change: str
) -> None:
    made, _ = await _ended(pool, conn, keyring, [REFUSED])
    actor = await _admin(conn)
    await conn.execute(change)
    done = await replaying.replay(pool, actor, datetime.now(UTC), _all_of(made))
    assert (done.again, done.left) == (0, 1)
    assert await _counts(conn, made.alert_id) == {"failed": 1}
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state <> 'done'") == 0


async def test_chosen_letters_and_groups_are_all_that_is_sent(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, provider_id = await _ended(pool, conn, keyring, [REFUSED, REFUSED, LOST])
    actor, now = await _admin(conn), datetime.now(UTC)
    first = await conn.fetchval("SELECT min(letter_id) FROM dead_letter")
    one = Filters(letter_ids=(first,), until=now)
    assert (await replaying.replay(pool, actor, now, one)).again == 1
    group = replace(_all_of(made), reason="no answer", provider_id=provider_id, channel="sms")
    assert (await replaying.replay(pool, actor, now, group)).again == 1
    assert await _counts(conn, made.alert_id) == {"pending": 1, "failed": 1, "unknown": 1}
    with pytest.raises(Refused, match="Choose letters"):
        await replaying.replay(pool, actor, now, Filters(until=now))


async def test_letters_are_seen_and_sent_by_whose_roles_reach_the_unit(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, _ = await _ended(pool, conn, keyring, [REFUSED])
    issuing = await conn.fetchval("SELECT unit_id FROM alert")
    elsewhere = await conn.fetchval(
        "SELECT unit_id FROM unit WHERE parent_id IS NOT NULL AND unit_id <> $1 LIMIT 1", issuing
    )
    stranger = await official(conn, "stranger", Role("approver", elsewhere))
    writer = await official(conn, "writer", Role("author", issuing))
    assert await _seen(conn, stranger) == []
    assert (await replaying.replay(pool, stranger, datetime.now(UTC), _all_of(made))).again == 0
    assert len(await _seen(conn, writer)) == 1
    with pytest.raises(NotAllowed):
        await replaying.replay(pool, writer, datetime.now(UTC), _all_of(made))
    with pytest.raises(NotFound):
        await dead_letters.filters_of(conn, stranger, {"alert": "A"})


async def test_direct_messages_are_dead_letters_too_and_are_sent_again_while_needed(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, _ = await _ended(pool, conn, keyring, [TAKEN, TAKEN])
    now, actor = datetime.now(UTC), await _admin(conn)
    ids = []
    for endpoint_id, length in zip(made.endpoint_ids, (60, -60), strict=True):
        message_id = await direct.enqueue(
            conn, now, endpoint_id=endpoint_id, channel="sms", purpose="verification",
            content={"text": "123456"}, expires=now + timedelta(seconds=length),
        )  # fmt: skip
        assert message_id is not None
        await conn.execute(
            "UPDATE direct_message SET state = 'failed', reason = 'UNDELIV err:027'"
            " WHERE message_id = $1",
            message_id,
        )
        await letters.book_message(conn, now, message_id)
        ids.append(message_id)
    assert await _seen(conn, actor) == [("not_reached", "UNDELIV err:027", "failed", 1, 1, 0)]
    done = await replaying.replay(pool, actor, now, Filters(direct=True, until=datetime.now(UTC)))
    assert (done.again, done.left) == (1, 1)
    states = await conn.fetch("SELECT state::text AS state FROM direct_message ORDER BY message_id")
    assert [row["state"] for row in states] == ["pending", "failed"]
    ward = await official(conn, "ward", Role("admin", await unit_id(conn, "00004")))
    assert not (await dead_letters.scope_of(conn, ward)).direct


async def test_pages_and_the_file_hold_every_letter_once(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await _ended(pool, conn, keyring, [REFUSED] * 7)
    scope, now = Scope(frozenset({1}), False), datetime.now(UTC)
    seen, after = [], None
    while True:
        page = await dead_letters.letters(
            conn, keyring, now, scope, Filters(), after=after, limit=3
        )
        seen += [one.letter_id for one in page.letters]
        after = page.after
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 7
    some = [chunk async for chunk in dead_letters.every(conn, keyring, now, scope, Filters())]
    assert [one.letter_id for chunk in some for one in chunk] == seen


async def test_old_letters_are_forgotten(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await _ended(pool, conn, keyring, [REFUSED, REFUSED])
    now = datetime.now(UTC)
    assert await letters.forget(conn, now) == 0
    assert await letters.forget(conn, now + letters.KEPT + timedelta(minutes=1)) == 2


async def test_a_wrong_answer_about_every_address_leaves_letters_worth_sending(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    count = providers.FEWEST_TO_JUDGE
    made = await sending(conn, keyring, await author(conn), code="A", channel="sms", count=count)
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    await outcomes.write(
        pool, await _claim(conn), provider_id, dict.fromkeys(made.endpoint_ids, 0),
        [Outcome(e, *GONE, action=Action.RETIRE) for e in made.endpoint_ids], last=True,
    )  # fmt: skip
    assert await _seen(conn, await _admin(conn)) == [
        ("gone", "unknown subscriber", "failed", count, count, 0)
    ]
