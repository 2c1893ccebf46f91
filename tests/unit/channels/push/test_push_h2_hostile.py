"""A server of HTTP/2 that breaks its rules, or keeps them to our harm: nobody stays unanswered."""

import asyncio
import struct
from datetime import timedelta

import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Action, Result
from channels.push import PushChannel
from channels.push_h2 import Connection
from channels.push_h2_parts import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.unit.channels.push.lab import Lab, batch, people, send
from tests.unit.channels.push.peer import (
    OK,
    OTHER,
    Heard,
    Peer,
    Requests,
    answer,
    heard,
    post,
    talking,
)

OK_BLOCK = b"\x88"


def silent(*_: object) -> None:
    """Answer nothing."""


async def room(connection: Connection, size: int) -> None:
    async with asyncio.timeout(30):
        while not connection.room(size):
            await asyncio.sleep(0.005)


def change(peer: Peer, **numbers: int) -> None:
    peer.h2.update_settings(
        {h2.settings.SettingCodes[name.upper()]: value for name, value in numbers.items()}
    )
    peer.flush()


async def test_a_server_that_takes_no_streams_for_a_while_gets_them_later() -> None:
    async with talking(answer, max_concurrent_streams=0) as (connection, peer, sink):
        assert not connection.room(1)
        change(peer, max_concurrent_streams=1)
        await room(connection, 1)
        post(connection, sink, b"1")
        assert not connection.room(1)
        await heard(sink, 1)
        change(peer, max_concurrent_streams=1000)
        await asyncio.sleep(0.1)
        post(connection, sink, *(b"%d" % n for n in range(2, 100)))
        await heard(sink, 99)
        assert set(sink.answers) == set(range(1, 100))


async def test_a_window_of_nothing_is_waited_for() -> None:
    async with talking(answer, initial_window_size=0) as (connection, peer, sink):
        assert not connection.room(1)
        assert not connection.takes_nothing_for(60)
        await asyncio.sleep(0.05)
        assert connection.takes_nothing_for(0.04)
        change(peer, initial_window_size=65_535)
        await room(connection, 1_000)
        post(connection, sink, b"1 " + b"x" * 998)
        assert not connection.takes_nothing_for(0.0)
        await heard(sink, 1)


async def test_the_window_of_the_connection_opens_when_the_server_has_read() -> None:
    async with talking(silent) as (connection, peer, sink):
        read = peer.h2.acknowledge_received_data
        peer.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        for number in range(4):
            post(connection, sink, b"%d " % number + b"x" * 15_990)
        assert not connection.room(16_000)
        await asyncio.sleep(0.05)
        for stream in (1, 3, 5, 7):
            read(15_992, stream)
        peer.flush()
        await room(connection, 16_000)


async def test_the_servers_table_changes_size_between_requests() -> None:
    async with talking(answer, header_table_size=4096) as (connection, peer, sink):
        number = 0
        for size in (0, 4096, 100, 65_536, 0):
            change(peer, header_table_size=size)
            await asyncio.sleep(0.03)
            post(connection, sink, *(b"%d x" % n for n in range(number, number + 3)), fields=OTHER)
            number += 3
            await heard(sink, number)
        assert sink.answers == {n: (200, b"to %d x" % n, None) for n in range(15)}
        assert all(fields.items() >= dict(OTHER).items() for fields, _ in peer.requests.values())


async def test_trailers_after_the_body_end_an_answer() -> None:
    def trailing(side: h2.connection.H2Connection, stream: int, _: Requests) -> None:
        side.send_headers(stream, OK)
        side.send_data(stream, b"body")
        side.send_headers(stream, [("grpc-status", "0"), ("x", "y" * 20_000)], end_stream=True)

    async with talking(trailing) as (connection, _, sink):
        post(connection, sink, b"1", b"2")
        await heard(sink, 2)
        assert sink.answers == dict.fromkeys((1, 2), (200, b"body", None))


async def test_frames_may_arrive_a_byte_at_a_time() -> None:
    async with talking(silent) as (connection, _, sink):
        post(connection, sink, b"1")
        whole = (
            frame(PING, 0, 0, bytes(8))
            + frame(HEADERS, 0, 1, b"\x48")
            + frame(CONTINUATION, END_HEADERS, 1, b"\x82\x64\x02")
            + frame(DATA, END_STREAM | PADDED, 1, b"\x02bodyxx")
        )
        for at in range(len(whole)):
            connection.data_received(whole[at : at + 1])
        assert sink.answers == {1: (302, b"body", None)}


async def test_pings_are_answered_while_they_are_read_and_no_longer() -> None:
    async with talking(silent) as (connection, peer, sink):
        post(connection, sink, b"1")
        for _ in range(500):
            peer.h2.ping(bytes(8))
        peer.flush()
        async with asyncio.timeout(30):
            while sum(isinstance(e, h2.events.PingAckReceived) for e in peer.events) < 500:
                await asyncio.sleep(0.01)
        peer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while not connection.lost:
                peer.transport.write(frame(PING, 0, 0, bytes(8)) * 5_000)
                await asyncio.sleep(0.001)
        assert sink.lost == {1: "CONNECTION_LOST"}


def two(size: int) -> bytes:
    return struct.pack(">I", 3) + bytes(size)


WRONG = {
    "reset of two bytes": frame(RST_STREAM, 0, 1, b"\0\0"),
    "window of two bytes": frame(WINDOW_UPDATE, 0, 0, b"\0\0"),
    "leaving without a word": frame(GOAWAY, 0, 0, b"\0\0"),
    "half a setting": frame(SETTINGS, 0, 0, b"\0\4\0"),
    "a push": frame(PUSH_PROMISE, END_HEADERS, 1, two(1)),
    "an interrupted block": frame(HEADERS, 0, 1, OK_BLOCK) + frame(PING, 0, 0, bytes(8)),
    "another's continuation": frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, 0, 3, b"x"),
    "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, OK_BLOCK),
    "empty continuations": frame(HEADERS, 0, 1, OK_BLOCK) + frame(CONTINUATION, 0, 1) * 3,
    "headers without end": frame(HEADERS, 0, 1, bytes(16_000))
    + frame(CONTINUATION, 0, 1, bytes(16_000)) * 6,
    "a block of nonsense": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\x7f"),
    "a table it may not have": frame(HEADERS, END_HEADERS, 1, b"\x3f\xe1\x1f\x8d"),
    "a status of letters": frame(HEADERS, END_HEADERS, 1, b"\x08\x03abc"),
    "a body before its head": frame(DATA, END_STREAM, 1, b"{}"),
    "only trailers": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x10\x01a\x01b"),
    "more padding than frame": frame(HEADERS, END_HEADERS, 1, OK_BLOCK)
    + frame(DATA, PADDED, 1, b"\x05abc"),
    "padding of nothing": frame(HEADERS, END_HEADERS, 1, OK_BLOCK) + frame(DATA, PADDED, 1),
    "a body without end": frame(HEADERS, END_HEADERS, 1, OK_BLOCK)
    + frame(DATA, 0, 1, bytes(16_000)) * 5,
    "a frame too long": struct.pack(">HBBBI", 0xFFFF, 0xFF, DATA, 0, 1),
}


@pytest.mark.parametrize("what", list(WRONG))
async def test_who_breaks_the_rules_is_left_and_every_message_is_in_doubt_once(what: str) -> None:
    async with talking(silent) as (connection, peer, sink):
        post(connection, sink, b"1", b"2")
        peer.transport.write(WRONG[what])
        await heard(sink, 2)
        assert connection.lost
        assert sink.lost == dict.fromkeys((1, 2), "CONNECTION_LOST")


async def test_a_frame_that_never_ends_ends_with_the_connection() -> None:
    async with talking(silent) as (connection, peer, sink):
        post(connection, sink, b"1")
        peer.transport.write(frame(HEADERS, END_HEADERS, 1, OK_BLOCK) + b"\0\0\x09\0\1")
        peer.transport.close()
        await heard(sink, 1)
        assert sink.lost == {1: "CONNECTION_LOST"}


async def test_leaving_is_said_twice_and_the_second_time_decides() -> None:
    async with talking(silent) as (connection, peer, sink):
        post(connection, sink, b"1", b"2", b"3")
        peer.transport.write(frame(GOAWAY, 0, 0, struct.pack(">II", 2**31 - 1, 0)))
        await asyncio.sleep(0.03)
        assert not connection.usable
        assert not sink.count
        peer.transport.write(frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0)))
        await heard(sink, 1)
        assert sink.unread == [3]
        answers = [frame(HEADERS, END_HEADERS | END_STREAM, at, OK_BLOCK) for at in (3, 1)]
        peer.transport.write(b"".join(answers))
        await heard(sink, 3)
        assert set(sink.answers) == {1, 2}


frames = st.builds(
    frame,
    st.integers(0, 12),
    st.sampled_from([0, ACK, END_HEADERS, END_HEADERS | END_STREAM, PADDED, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 99]),
    st.one_of(st.binary(max_size=40), st.sampled_from([OK_BLOCK, bytes(4), bytes(8)])),
)


@given(st.lists(frames, max_size=12))
def test_whatever_arrives_each_message_hears_once(arrived: list[bytes]) -> None:
    async def talk() -> None:
        connection, sink = Connection(lambda: None, lambda _: None, 100), Heard()
        connection.data_received(frame(SETTINGS, 0, 0))
        post(connection, sink, b"0", b"1", b"2")
        data = b"".join(arrived)
        connection.data_received(data[: len(data) // 2])
        if not connection.lost:
            connection.data_received(data[len(data) // 2 :])
        connection.connection_lost(None)
        told = [*sink.answers, *sink.lost, *sink.unread]
        assert sorted(told) == [0, 1, 2]

    asyncio.run(talk())


@pytest.mark.parametrize("numbers", [{"max_concurrent_streams": 0}, {"initial_window_size": 9}])
async def test_a_server_that_never_takes_a_message_is_as_good_as_away(
    lab: Lab, numbers: dict[str, int]
) -> None:
    by_code = {h2.settings.SettingCodes[name.upper()]: value for name, value in numbers.items()}
    server = await asyncio.get_running_loop().create_server(
        lambda: Peer(silent, by_code), "127.0.0.1", 0
    )
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    channel = PushChannel(url, lab.files.credentials, lab.files.ca, timeout=timedelta(seconds=0.5))
    await channel.open()
    async with asyncio.timeout(30):
        outcomes = await send(channel, batch(people(20)))
    await channel.close()
    server.close()
    assert {(o.result, o.action) for o in outcomes} == {(Result.TEMPORARY, Action.AWAY)}
