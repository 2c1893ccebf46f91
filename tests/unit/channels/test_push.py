"""The push channel against the local FCM: real HTTP/2, TLS, tokens and phones."""

import asyncio
import contextlib
import itertools
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from channels.base import Action, Batch, Outcome, Recipient, Result
from channels.lab import certs, fcm_store, phones, store
from channels.lab.fcm import DEFAULTS
from channels.push import PushChannel, PushContent

SETTLE = 0.1
"""Seconds in which the lab has read a changed setting and written what it received."""

CONTENTS = {
    "vi": PushContent("Bão số 3", "Ở trong nhà từ 18 giờ.", {"url": "/alerts/b3"}),
    "en": PushContent("Typhoon 3", "Stay indoors from 6 pm.", {"url": "/alerts/b3"}),
}
_numbers = itertools.count(1)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@dataclass
class Lab:
    directory: Path
    port: int
    files: certs.Files
    conn: sqlite3.Connection
    process: subprocess.Popen[bytes]
    changed: bool = False

    def start(self) -> None:
        self.process = spawn(self.directory, self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    async def set(self, **values: float) -> None:
        store.configure(self.conn, **values)
        self.changed = True
        await asyncio.sleep(SETTLE)

    async def fail(self, address: str, code: str) -> None:
        fcm_store.fail(self.conn, address, code)
        self.changed = True
        await asyncio.sleep(SETTLE)

    async def received(self, address: str) -> list[sqlite3.Row]:
        await asyncio.sleep(SETTLE)
        return self.kept(address)

    def kept(self, address: str) -> list[sqlite3.Row]:
        return self.conn.execute(
            "SELECT * FROM message m JOIN content c ON c.id = m.content WHERE address = ?",
            (address,),
        ).fetchall()

    def channel(self, **options: object) -> PushChannel:
        url = f"https://127.0.0.1:{self.port}"
        return PushChannel(url, self.files.credentials, self.files.ca, **options)


def spawn(directory: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "channels.lab.fcm", "--dir", str(directory)]
    process = subprocess.Popen([*command, "--port", str(port)])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the lab FCM did not start")


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory, port = tmp_path_factory.mktemp("fcm"), free_port()
    files = certs.prepare(directory, port)
    lab = Lab(directory, port, files, fcm_store.connect(directory), spawn(directory, port))
    yield lab
    lab.stop()
    lab.conn.close()


@pytest.fixture
async def lab(shared_lab: Lab) -> AsyncIterator[Lab]:
    yield shared_lab
    if shared_lab.changed:
        shared_lab.conn.execute("DELETE FROM fault")
        await shared_lab.set(**DEFAULTS)
        shared_lab.changed = False


@pytest.fixture
async def push(lab: Lab) -> AsyncIterator[PushChannel]:
    channel = lab.channel(timeout=timedelta(seconds=2))
    await channel.open()
    yield channel
    await channel.close()
    await channel.close()


def people(count: int, language: str = "vi") -> list[Recipient]:
    return [Recipient(n, f"fid:f{n:021d}", language) for n in itertools.islice(_numbers, count)]


def batch(
    recipients: list[Recipient],
    *,
    left: timedelta = timedelta(hours=1),
    tag: str = "alert-1",
    sequence: int = 1,
    contents: dict[str, PushContent] = CONTENTS,
) -> Batch[PushContent]:
    return Batch(contents, recipients, datetime.now(UTC) + left, True, tag, sequence)


async def send(
    channel: PushChannel, sent: Batch[PushContent], permit: Callable[[], bool] = lambda: True
) -> list[Outcome]:
    """Send a batch and check what must hold of every batch."""
    outcomes = [one async for group in channel.send(sent, permit) for one in group]
    assert sorted(one.ref for one in outcomes) == sorted(one.ref for one in sent.recipients)
    return outcomes


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
    groups = [group async for group in push.send(full, lambda: True)]
    refs = [one.ref for group in groups for one in group]
    assert sorted(refs) == [one.ref for one in full.recipients]
    assert max(map(len, groups)) <= push.limits.in_doubt
    await asyncio.sleep(SETTLE)
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
    bad = Recipient(next(_numbers), 'fid:x","topic":"everyone', "vi")
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
    recipients = people(60)
    sending = asyncio.create_task(send(channel, batch(recipients)))
    await asyncio.sleep(0.15)
    await channel.close()
    results = {one.ref: one.result for one in await sending}
    assert set(results.values()) == {Result.ACCEPTED, Result.UNKNOWN, Result.NOT_SENT}
    await asyncio.sleep(SETTLE)
    for recipient in recipients:
        if results[recipient.ref] is Result.NOT_SENT:
            assert not lab.kept(recipient.address)


async def test_outcomes_come_while_the_batch_is_under_way(lab: Lab) -> None:
    channel = lab.channel(concurrency=10)
    await channel.open()
    await lab.set(delay_ms=100)
    groups = [len(group) async for group in channel.send(batch(people(100)), lambda: True)]
    await channel.close()
    assert sum(groups) == 100
    assert len(groups) >= 3


async def test_no_answer_after_writing_is_unknown(lab: Lab) -> None:
    channel = lab.channel(timeout=timedelta(seconds=0.5))
    await channel.open()
    await lab.set(timeout_rate=1)
    recipients = people(2)
    outcomes = await send(channel, batch(recipients))
    await channel.close()
    assert {(one.result, one.reason) for one in outcomes} == {(Result.UNKNOWN, "TIMED_OUT")}
    assert len(await lab.received(recipients[0].address)) == 1


async def test_a_refused_connection_is_temporary(lab: Lab) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    channel = PushChannel(url, lab.files.credentials, lab.files.ca)
    await channel.open()
    outcomes = await send(channel, batch(people(300)))
    await channel.close()
    assert {(one.result, one.reason) for one in outcomes} == {(Result.TEMPORARY, "CONNECT_FAILED")}


async def test_a_handshake_that_hangs_is_temporary(lab: Lab) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    channel = PushChannel(
        url, lab.files.credentials, lab.files.ca, connect_timeout=timedelta(seconds=0.3)
    )
    await channel.open()
    outcomes = await send(channel, batch(people(20)))
    await channel.close()
    server.close()
    assert {(one.result, one.reason) for one in outcomes} == {(Result.TEMPORARY, "CONNECT_FAILED")}


async def test_a_server_that_dies_leaves_no_false_certainty(lab: Lab) -> None:
    channel = lab.channel(concurrency=100)
    await channel.open()
    recipients = people(100)
    await lab.set(timeout_rate=1)
    sending = asyncio.create_task(send(channel, batch(recipients)))
    taken = [await lab.received(one.address) for one in (recipients[0], recipients[-1])]
    assert [len(rows) for rows in taken] == [1, 1]
    lab.process.kill()
    lab.process.wait()
    outcomes = await sending
    await channel.close()
    lab.start()
    assert {(one.result, one.reason) for one in outcomes} == {(Result.UNKNOWN, "CONNECTION_LOST")}


async def test_a_server_we_do_not_trust_gets_no_message(lab: Lab) -> None:
    channel = PushChannel(f"https://127.0.0.1:{lab.port}", lab.files.credentials, None)
    await channel.open()
    recipients = people(2)
    outcomes = await send(channel, batch(recipients))
    await channel.close()
    assert {one.result for one in outcomes} == {Result.TEMPORARY}
    assert await lab.received(recipients[0].address) == []


async def test_rates_are_what_was_set(lab: Lab, push: PushChannel) -> None:
    await lab.set(error_rate=0.2, throttle_rate=0.2)
    outcomes = await send(push, batch(people(1000)))
    reasons = [one.reason for one in outcomes]
    assert 100 < reasons.count("UNAVAILABLE") < 300
    assert 100 < reasons.count("QUOTA_EXCEEDED") < 300
    assert {one.action for one in outcomes} == {Action.NONE}


async def test_the_same_phones_are_unregistered_every_time(lab: Lab, push: PushChannel) -> None:
    await lab.set(unregistered_rate=0.3)
    recipients = people(200)
    dead = []
    for _ in range(2):
        outcomes = await send(push, batch(recipients))
        dead.append({one.ref for one in outcomes if one.action is Action.RETIRE})
    assert dead[0] == dead[1]
    assert 30 < len(dead[0]) < 90


async def test_batches_at_once_share_the_connections_and_the_token(
    lab: Lab, push: PushChannel
) -> None:
    batches = [batch(people(100)) for _ in range(4)]
    outcomes = await asyncio.gather(*(send(push, one) for one in batches))
    assert {one.result for group in outcomes for one in group} == {Result.ACCEPTED}


async def test_a_token_near_its_end_is_renewed(lab: Lab) -> None:
    await lab.set(token_seconds=1)
    channel = lab.channel()
    await channel.open()
    await asyncio.sleep(1.1)
    outcomes = await send(channel, batch(people(20)))
    await channel.close()
    assert {one.result for one in outcomes} == {Result.ACCEPTED}


async def test_a_token_revoked_before_its_time_is_replaced_without_loss(lab: Lab) -> None:
    channel = lab.channel()
    await channel.open()
    assert (await send(channel, batch(people(1))))[0].result is Result.ACCEPTED
    lab.stop()
    lab.start()  # a lab that was started anew knows no earlier token
    outcomes = await send(channel, batch(people(200)))
    await channel.close()
    assert {one.result for one in outcomes} == {Result.ACCEPTED}


async def test_bad_credentials_pause_and_reach_nobody(lab: Lab, tmp_path: Path) -> None:
    stranger = certs.prepare(tmp_path, lab.port).credentials
    channel = PushChannel(f"https://127.0.0.1:{lab.port}", stranger, lab.files.ca)
    await channel.open()
    outcomes = await send(channel, batch(people(3)))
    await channel.close()
    assert {(one.reason, one.action) for one in outcomes} == {("TOKEN_REFUSED", Action.PAUSE)}
    assert {one.result for one in outcomes} == {Result.TEMPORARY}


def test_credentials_that_are_none_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text('{"type": "something else"}')
    with pytest.raises(ValueError, match="service account"):
        PushChannel("https://127.0.0.1:1", path, None)


async def test_a_slow_token_address_does_not_hold_the_loop(lab: Lab, tmp_path: Path) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    files = certs.prepare(tmp_path, server.sockets[0].getsockname()[1])
    channel = PushChannel(f"https://127.0.0.1:{lab.port}", files.credentials, lab.files.ca)
    opening = asyncio.create_task(channel.open())
    gaps, last = [], time.monotonic()
    while not opening.done():
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    await opening
    outcomes = await send(channel, batch(people(2)))
    await channel.close()
    server.close()
    assert max(gaps) < 0.3
    assert {one.reason for one in outcomes} == {"TOKEN_UNAVAILABLE"}
    assert {one.action for one in outcomes} == {Action.NONE}


async def test_phones_show_the_newest_and_wait_while_away(lab: Lab, push: PushChannel) -> None:
    near, away = people(2)
    phones.switch(lab.conn, away.address, False, datetime.now(UTC))
    for sequence in (2, 1):
        await send(push, batch([near, away], tag="root", sequence=sequence))
    await asyncio.sleep(SETTLE)
    now = datetime.now(UTC)
    (shown,) = phones.screen(lab.conn, near.address, now)
    assert (shown.sequence, shown.tag) == (2, "root")
    assert phones.screen(lab.conn, away.address, now) == []
    phones.switch(lab.conn, away.address, True, now)
    (shown,) = phones.screen(lab.conn, away.address, now)
    assert (shown.sequence, shown.title) == (2, CONTENTS["vi"].title)


async def test_a_phone_switched_on_after_the_end_shows_nothing(lab: Lab, push: PushChannel) -> None:
    (recipient,) = people(1)
    phones.switch(lab.conn, recipient.address, False, datetime.now(UTC))
    sent = batch([recipient], left=timedelta(seconds=30))
    await send(push, sent)
    await asyncio.sleep(SETTLE)
    phones.switch(lab.conn, recipient.address, True, sent.expires)
    assert phones.screen(lab.conn, recipient.address, sent.expires) == []


async def test_some_phones_are_off_when_first_seen(lab: Lab, push: PushChannel) -> None:
    await lab.set(offline_rate=0.5)
    recipients = people(100)
    await send(push, batch(recipients))
    await asyncio.sleep(SETTLE)
    now = datetime.now(UTC)
    dark = [one for one in recipients if not phones.screen(lab.conn, one.address, now)]
    assert 20 < len(dark) < 80
    phones.switch(lab.conn, dark[0].address, True, now)
    assert len(phones.screen(lab.conn, dark[0].address, now)) == 1


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = certs.prepare(tmp_path, 1000)
    before = {path: path.read_bytes() for path in (first.ca, first.certificate, first.key)}
    account = json.loads(first.credentials.read_text())
    again = certs.prepare(tmp_path, 2000)
    assert {path: path.read_bytes() for path in before} == before
    moved = json.loads(again.credentials.read_text())
    assert moved == account | {"token_uri": "https://127.0.0.1:2000/token"}
    assert {path.stat().st_mode & 0o777 for path in (first.key, first.credentials)} == {0o600}
