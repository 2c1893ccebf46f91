"""The bearer token: renewed in time, shared, and never in the way."""

import asyncio
from pathlib import Path

import pytest

from channels.base import Action, Result
from channels.lab import certs
from channels.push import PushChannel
from tests.unit.channels.push.lab import (
    Lab,
    batch,
    people,
    send,
)


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
    await asyncio.sleep(0.1)  # the old connection's end is heard
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
    turns = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await turns.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    files = certs.prepare(tmp_path, server.sockets[0].getsockname()[1])
    channel = PushChannel(f"https://127.0.0.1:{lab.port}", files.credentials, lab.files.ca)
    opening = asyncio.create_task(channel.open())
    # The address hangs for as long as the loop has not turned: held, it would never turn.
    for _ in range(20):
        assert not opening.done()
        await asyncio.sleep(0.01)
    turns.set()
    await opening
    outcomes = await send(channel, batch(people(2)))
    await channel.close()
    server.close()
    assert {one.reason for one in outcomes} == {"TOKEN_UNAVAILABLE"}
    assert {one.action for one in outcomes} == {Action.AWAY}
