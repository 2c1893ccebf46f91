"""Our side of HTTP/2 against a full implementation of the other, which refuses what is wrong."""

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from channels.push_h2 import Connection
from channels.push_h2_parts import RequestHead
from tests.unit.channels.push.peer import (
    FIELDS,
    OTHER,
    Requests,
    answer,
    heard,
    post,
    talking,
)


async def test_every_request_arrives_whole_and_every_answer_finds_its_message() -> None:
    async with talking(answer) as (connection, peer, sink):
        post(connection, sink, *(b"%d x" % n for n in range(50)))
        await heard(sink, 50)
        post(connection, sink, *(b"%d x" % n for n in range(50, 60)), fields=OTHER)
        await heard(sink, 60)
        assert sink.answers == {n: (200, b"to %d x" % n, None) for n in range(60)}
        for number, (fields, body) in enumerate(peer.requests.values()):
            wanted = dict(FIELDS if number < 50 else OTHER) | {"content-length": str(len(body))}
            assert fields == wanted


async def test_a_server_without_a_table_gets_its_fields_in_full() -> None:
    async with talking(answer, header_table_size=0) as (connection, peer, sink):
        post(connection, sink, b"1", b"2")
        await heard(sink, 2)
        assert all(fields.items() >= dict(FIELDS).items() for fields, _ in peer.requests.values())


async def test_an_error_brings_its_status_and_when_to_come_again() -> None:
    def refuse(side: h2.connection.H2Connection, stream: int, _: Requests) -> None:
        side.send_headers(stream, [(":status", "429"), ("retry-after", "7")])
        side.send_data(stream, b"slow ")
        side.send_data(stream, b"down", end_stream=True, pad_length=9)

    async with talking(refuse) as (connection, _, sink):
        post(connection, sink, b"1")
        await heard(sink, 1)
        assert sink.answers == {1: (429, b"slow down", "7")}


async def test_early_hints_and_long_headers_do_not_confuse() -> None:
    def talkative(side: h2.connection.H2Connection, stream: int, _: Requests) -> None:
        side.send_headers(stream, [(":status", "103")])
        side.send_headers(stream, [(":status", "503"), ("x", "y" * 40_000), ("retry-after", "2")])
        side.send_headers(stream, [("trailer", "z")], end_stream=True)

    async with talking(talkative) as (connection, _, sink):
        post(connection, sink, b"1", b"2")
        await heard(sink, 2)
        assert sink.answers == dict.fromkeys((1, 2), (503, b"", "2"))


async def test_what_a_leaving_server_has_not_read_may_be_posted_again() -> None:
    def leave(side: h2.connection.H2Connection, stream: int, requests: Requests) -> None:
        if stream == 5:
            side.close_connection(last_stream_id=3)
        elif stream < 5:
            answer(side, stream, requests)

    async with talking(leave) as (connection, _, sink):
        post(connection, sink, b"1", b"2", b"3", b"4")
        await heard(sink, 4)
        assert set(sink.answers) == {1, 2}
        assert sink.unread == [3, 4]
        assert not connection.usable


async def test_a_refused_stream_was_not_read_and_a_broken_one_nobody_knows() -> None:
    def reset(side: h2.connection.H2Connection, stream: int, _: Requests) -> None:
        side.reset_stream(
            stream, ErrorCodes.REFUSED_STREAM if stream == 1 else ErrorCodes.INTERNAL_ERROR
        )

    async with talking(reset) as (connection, _, sink):
        post(connection, sink, b"1", b"2")
        await heard(sink, 2)
        assert sink.unread == [1]
        assert sink.lost == {2: "STREAM_RESET"}
        assert connection.usable


async def test_no_more_at_once_than_the_server_takes() -> None:
    async with talking(lambda *_: None, max_concurrent_streams=3) as (connection, _, sink):
        post(connection, sink, b"1", b"2", b"3")
        assert not connection.room(1)


async def test_the_window_of_the_connection_is_kept() -> None:
    async with talking(lambda *_: None) as (connection, peer, sink):
        peer.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        sent = 0
        while connection.room(16_000):
            post(connection, sink, b"%d %s" % (sent, b"x" * 15_990))
            sent += 1
        assert sent == 4  # of the 65,535 bytes every connection begins with
        await asyncio.sleep(0.05)
        assert len(peer.requests) == 4


async def test_a_message_larger_than_a_stream_may_be_is_not_posted() -> None:
    async with talking(answer, initial_window_size=100) as (connection, _, _sink):
        assert connection.room(100)
        assert not connection.room(101)


async def test_silence_is_given_up_on_and_a_late_answer_does_no_harm() -> None:
    async with talking(lambda *_: None) as (connection, peer, sink):
        post(connection, sink, b"1")
        await asyncio.sleep(0.05)
        connection.watch(timeout=0.01, ping_after=9, ping_timeout=9)
        assert sink.lost == {1: "TIMED_OUT"}
        await asyncio.sleep(0.05)
        [reset] = [e for e in peer.events if isinstance(e, h2.events.StreamReset)]
        assert reset.error_code == ErrorCodes.CANCEL
        peer.rule = answer
        post(connection, sink, b"2")
        await heard(sink, 2)
        assert set(sink.answers) == {2}


async def test_a_server_that_does_not_answer_a_ping_is_left() -> None:
    async with talking(answer) as (connection, peer, sink):
        connection.watch(9, ping_after=0, ping_timeout=0.2)
        await asyncio.sleep(0.05)
        connection.watch(9, ping_after=9, ping_timeout=0)  # it was answered
        assert connection.usable
        peer.data_received = lambda _: None  # type: ignore[method-assign]
        post(connection, sink, b"1")
        connection.watch(9, ping_after=0, ping_timeout=9)
        await asyncio.sleep(0.02)
        connection.watch(9, ping_after=9, ping_timeout=0.01)
        assert sink.lost == {1: "CONNECTION_LOST"}
        assert connection.lost


async def test_nonsense_ends_the_connection() -> None:
    async with talking(lambda *_: None) as (connection, peer, sink):
        post(connection, sink, b"1")
        peer.transport.write(b"\xff" * 64)
        await heard(sink, 1)
        assert sink.lost == {1: "CONNECTION_LOST"}


async def test_a_server_that_speaks_http_1_never_becomes_ready() -> None:
    async def old(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(lambda: None, lambda _: None, 1), "127.0.0.1", port
    )
    with pytest.raises(ConnectionError):
        await connection.ready()
    server.close()


values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)


@given(st.lists(values, min_size=1, max_size=6), st.sampled_from([0, 100, 4096]))
def test_every_block_of_headers_reads_as_what_was_meant(tokens: list[str], table: int) -> None:
    """Whatever the table's size and however often the token changes."""
    from_us = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False)).decoder
    from_us.max_allowed_table_size = 4096
    from_us.header_table_size = min(table, 4096)
    head = RequestHead(table)
    for token in tokens:
        fields = ((":method", "POST"), ("authorization", token))
        for length in (1, 300):
            wanted = [*fields, ("content-length", str(length))]
            assert [tuple(one) for one in from_us.decode(head.block(fields, length))] == wanted
