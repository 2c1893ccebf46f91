"""Failures of the wire: what was never written, and what nobody can know."""

import asyncio
from datetime import timedelta

from channels.base import Result
from channels.push import PushChannel
from tests.unit.channels.push.lab import (
    Lab,
    batch,
    free_port,
    people,
    send,
)


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
    async with asyncio.timeout(30):
        while not all([await lab.received(one.address) for one in recipients]):
            await asyncio.sleep(0.02)
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
