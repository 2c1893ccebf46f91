"""The push channel against the local FCM: what is sent and what is said of it."""

import asyncio
import itertools
import json
from datetime import timedelta

import pytest

from channels.base import Action, Recipient, Result, Unlimited
from channels.lab import certs, store
from channels.push import PushChannel, PushContent
from tests.unit.channels.push.lab import (
    CONTENTS,
    Lab,
    batch,
    numbers,
    people,
    send,
)


async def test_a_message_arrives_as_it_was_written_in_each_language(
    lab: Lab, push: PushChannel
) -> None:
    vi, en = people(1)[0], people(1, "en")[0]
    outcomes = await send(push, batch([vi, en], sequence=4))
    assert {one.result for one in outcomes} == {Result.ACCEPTED}
    for recipient in (vi, en):
        (row,) = await lab.received(recipient.address)
        wording = CONTENTS[recipient.content]
        assert (row["title"], row["body"], row["tag"]) == (wording.title, wording.body, "alert-1")
        assert (row["sequence"], row["urgent"]) == (4, 1)
        assert json.loads(row["data"])["url"] == "/alerts/b3"
        assert 3595 <= row["ttl"] <= 3600


async def test_fcm_s_name_of_a_message_comes_back(lab: Lab, push: PushChannel) -> None:
    outcomes = await send(push, batch(people(2)))
    names = {one.provider_ids for one in outcomes}
    assert len(names) == 2
    assert all(name.startswith(f"projects/{certs.PROJECT}/messages/") for (name,) in names)


async def test_a_full_batch_of_a_thousand(lab: Lab, push: PushChannel) -> None:
    full = batch(people(1000))
    groups = [group async for group in push.send(full, lambda: True, Unlimited())]
    refs = [one.ref for group in groups for one in group]
    assert sorted(refs) == [one.ref for one in full.recipients]
    assert max(map(len, groups)) <= push.limits.in_doubt
    store.settle(lab.conn)
    kept = lab.conn.execute(
        "SELECT count(*), count(DISTINCT address) FROM message WHERE address BETWEEN ? AND ?",
        (full.recipients[0].address, full.recipients[-1].address),
    ).fetchone()
    assert tuple(kept) == (1000, 1000)


async def test_a_batch_larger_than_the_limit_is_the_caller_s_mistake(push: PushChannel) -> None:
    with pytest.raises(ValueError, match="1000"):
        await send(push, batch(people(1001)))


TABLE = [
    ("UNREGISTERED", Result.PERMANENT, "UNREGISTERED", Action.RETIRE),
    ("INVALID_ARGUMENT", Result.PERMANENT, "INVALID_ARGUMENT", Action.NONE),
    ("SENDER_ID_MISMATCH", Result.PERMANENT, "SENDER_ID_MISMATCH", Action.PAUSE),
    ("THIRD_PARTY_AUTH_ERROR", Result.TEMPORARY, "THIRD_PARTY_AUTH_ERROR", Action.PAUSE),
    ("UNAUTHENTICATED", Result.TEMPORARY, "UNAUTHENTICATED", Action.PAUSE),
    ("PERMISSION_DENIED", Result.TEMPORARY, "PERMISSION_DENIED", Action.PAUSE),
    ("NOT_FOUND", Result.TEMPORARY, "NOT_FOUND", Action.PAUSE),
    ("QUOTA_EXCEEDED", Result.TEMPORARY, "QUOTA_EXCEEDED", Action.NONE),
    ("UNAVAILABLE", Result.TEMPORARY, "UNAVAILABLE", Action.NONE),
    ("INTERNAL", Result.TEMPORARY, "INTERNAL", Action.NONE),
]


@pytest.mark.parametrize(("code", "result", "reason", "action"), TABLE, ids=lambda row: str(row))
async def test_every_error_of_fcm(
    lab: Lab, push: PushChannel, code: str, result: Result, reason: str, action: Action
) -> None:
    (recipient,) = people(1)
    await lab.fail(recipient.address, code)
    (outcome,) = await send(push, batch([recipient]))
    assert (outcome.result, outcome.reason, outcome.action) == (result, reason, action)
    assert outcome.retry_after == (1.0 if code == "QUOTA_EXCEEDED" else None)
    assert await lab.received(recipient.address) == []


async def test_an_error_of_one_phone_touches_no_other(lab: Lab, push: PushChannel) -> None:
    recipients = people(50)
    await lab.fail(recipients[7].address, "UNREGISTERED")
    outcomes = await send(push, batch(recipients))
    bad = [one.ref for one in outcomes if one.result is not Result.ACCEPTED]
    assert bad == [recipients[7].ref]


async def test_a_fault_of_our_own_stops_the_batch(lab: Lab) -> None:
    channel = lab.channel(concurrency=5)
    await channel.open()
    await lab.fail("*", "INVALID_ARGUMENT")
    outcomes = await send(channel, batch(people(200)))
    await channel.close()
    refused = [one for one in outcomes if one.action is Action.PAUSE]
    assert 1 <= len(refused) <= 5
    rest = [one for one in outcomes if one.action is not Action.PAUSE]
    assert {(one.result, one.reason) for one in rest} == {(Result.NOT_SENT, "PAUSED")}


async def test_a_content_fcm_would_refuse_is_not_sent(lab: Lab, push: PushChannel) -> None:
    recipients = people(3)
    contents = {"vi": PushContent("a", "b", {"from": "reserved"})}
    outcomes = await send(push, batch(recipients, contents=contents))
    assert outcomes[0].action is Action.PAUSE
    assert {one.result for one in outcomes} <= {Result.PERMANENT, Result.NOT_SENT}
    assert await lab.received(recipients[0].address) == []


async def test_a_content_too_large_is_refused_by_fcm(lab: Lab, push: PushChannel) -> None:
    contents = {"vi": PushContent("a", "ă" * 2048, {})}
    (outcome,) = await send(push, batch(people(1), contents=contents))
    assert (outcome.reason, outcome.action) == ("INVALID_ARGUMENT", Action.PAUSE)


async def test_an_address_that_is_none_is_never_spliced(lab: Lab, push: PushChannel) -> None:
    good = people(1)
    bad = Recipient(next(numbers), 'fid:x","topic":"everyone', "vi")
    outcomes = {one.ref: one for one in await send(push, batch([bad, *good]))}
    assert outcomes[bad.ref].result is Result.PERMANENT
    assert outcomes[bad.ref].action is Action.NONE
    assert outcomes[good[0].ref].result is Result.ACCEPTED


async def test_an_alert_that_is_over_is_not_sent(lab: Lab, push: PushChannel) -> None:
    recipients = people(3)
    outcomes = await send(push, batch(recipients, left=timedelta(milliseconds=900)))
    assert {(one.result, one.reason) for one in outcomes} == {(Result.NOT_SENT, "EXPIRED")}
    assert await lab.received(recipients[0].address) == []


async def test_a_withdrawn_permit_leaves_the_rest_unsent(lab: Lab) -> None:
    channel = lab.channel(concurrency=10)
    await channel.open()
    await lab.set(delay_ms=5)
    asked = itertools.count(1)
    recipients = people(300)
    outcomes = await send(channel, batch(recipients), lambda: next(asked) <= 40)
    await channel.close()
    results = [one.result for one in outcomes]
    assert results.count(Result.ACCEPTED) == 40
    assert results.count(Result.NOT_SENT) == 260
    rows = [len(await lab.received(one.address)) for one in (recipients[0], recipients[-1])]
    assert rows == [1, 0]


async def test_closing_while_a_batch_is_under_way_leaves_the_rest_unsent(lab: Lab) -> None:
    channel = lab.channel(concurrency=10)
    await channel.open()
    await lab.set(delay_ms=100)
    recipients, closing, outcomes = people(60), None, []
    async for group in channel.send(batch(recipients), lambda: True, Unlimited()):
        closing = closing or asyncio.create_task(channel.close())
        outcomes += group
    assert closing is not None
    await closing
    results = {one.ref: one.result for one in outcomes}
    assert len(results) == 60
    assert {Result.ACCEPTED, Result.NOT_SENT} <= set(results.values())
    assert set(results.values()) <= {Result.ACCEPTED, Result.UNKNOWN, Result.NOT_SENT}
    store.settle(lab.conn)
    for recipient in recipients:
        if results[recipient.ref] is Result.NOT_SENT:
            assert not lab.kept(recipient.address)


async def test_outcomes_come_while_the_batch_is_under_way(lab: Lab) -> None:
    channel = lab.channel(concurrency=10)
    await channel.open()
    await lab.set(delay_ms=100)
    groups = [
        len(group) async for group in channel.send(batch(people(100)), lambda: True, Unlimited())
    ]
    await channel.close()
    assert sum(groups) == 100
    assert len(groups) >= 3


async def test_batches_at_once_share_the_connections_and_the_token(
    lab: Lab, push: PushChannel
) -> None:
    batches = [batch(people(100)) for _ in range(4)]
    outcomes = await asyncio.gather(*(send(push, one) for one in batches))
    assert {one.result for group in outcomes for one in group} == {Result.ACCEPTED}


async def test_a_token_is_sent_as_a_token(lab: Lab, push: PushChannel) -> None:
    recipient = Recipient(next(numbers), f"token:dQw4w9:APA91b-{next(numbers):0130d}", "vi")
    (outcome,) = await send(push, batch([recipient]))
    assert outcome.result is Result.ACCEPTED
    assert len(await lab.received(recipient.address)) == 1


async def test_a_caller_who_leaves_stops_the_sending(lab: Lab) -> None:
    channel = lab.channel(concurrency=5)
    await channel.open()
    await lab.set(delay_ms=50)
    recipients = people(400)
    sending = channel.send(batch(recipients), lambda: True, Unlimited())
    told = len(await anext(sending))
    await sending.aclose()
    await asyncio.sleep(0.5)
    store.settle(lab.conn)
    arrived = sum(bool(lab.kept(one.address)) for one in recipients)
    assert arrived <= told + 10, "only what was on its way"
    await channel.close()
