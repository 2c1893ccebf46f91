"""HTTP/2 as a sender of small alike requests needs it: one connection, many answers at once.

A general client costs as much for one request as everything else about a message together. All
requests of a connection differ in their body alone, so their headers are one block of a few bytes
(HPACK's dynamic table holds the fields), a round of messages is one write, and what arrives is
read frame by frame without an object for each. RFC 9113 and 7541 name the parts.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Final, cast

import hpack

from channels.push_h2_parts import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    DEFAULT_TABLE,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    LONGEST_FRAME,
    MOST_STREAMS,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTING,
    SETTINGS,
    TABLE_SIZE,
    WINDOW,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Exchange,
    ProtocolError,
    RequestHead,
    Sink,
    frame,
    unpadded,
)

_DEFAULT_WINDOW: Final = 65_535
_OUR_WINDOW: Final = 1 << 24
"""Bytes of answers we let the server send before we say that we read them."""
_LONGEST_BLOCK: Final = 65_536
_LAST_STREAM: Final = (1 << 31) - 3
_SUCCESS: Final = b"\x88"
"""The whole field `:status: 200`, which stands first in nearly every answer."""


class Connection(asyncio.Protocol):
    """One HTTP/2 connection.

    `changed` is called when it may take more, or never will again; `answered_after` with how long
    an answer took, for one of those that arrive together.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        answered_after: Callable[[float], None],
        most_streams: int,
    ) -> None:
        self._changed = changed
        self._answered_after = answered_after
        self._answered: float | None = None
        self._own_most = self._most = most_streams
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._decoder = hpack.Decoder()
        # The server keeps no table for us, so an answer's block can be read or left unread.
        self._decoder.header_table_size = self._decoder.max_allowed_table_size = 0
        self._head = RequestHead(DEFAULT_TABLE)
        self._open: dict[int, Exchange] = {}
        self._out: list[bytes] = []
        self._rest = b""
        self._partial: tuple[int, int, bytes] | None = None
        self._next = 1
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._unreported = 0
        self._paused = False
        self._leaving = False
        self._pinged: float | None = None
        self._turned_away: float | None = None
        self._heard = self._loop.time()
        self.lost = False

    async def ready(self) -> None:
        """Wait for the server's settings; ConnectionError when the connection ends before."""
        await self._settled

    @property
    def in_flight(self) -> int:
        """Messages written and not answered."""
        return len(self._open)

    @property
    def usable(self) -> bool:
        """Whether it takes messages, now or when others are answered."""
        return not self.lost and not self._leaving

    def room(self, size: int) -> bool:
        """Whether a message of this size can be written at this moment."""
        fits = (
            len(self._open) < self._most
            and self._window >= size <= self._stream_window
            and not self._paused
            and not self._leaving
            and not self.lost
        )
        if not fits and not self._open and self._turned_away is None:
            self._turned_away = self._loop.time()
        return fits

    def takes_nothing_for(self, seconds: float) -> bool:
        """Whether it has turned messages away for so long with nothing on its way."""
        since = self._turned_away
        return since is not None and not self._open and self._loop.time() - since > seconds

    def post(self, fields: Sequence[tuple[str, str]], body: bytes, sink: Sink, index: int) -> None:
        """Put a message into the next write; ask room() first, and flush() after the round."""
        stream, size = self._next, len(body)
        self._next += 2
        self._turned_away = None
        self._leaving = self._leaving or stream >= _LAST_STREAM
        block = self._head.block(fields, size)
        length = len(block)
        self._out += (
            HEAD.pack(length >> 8, length & 0xFF, HEADERS, END_HEADERS, stream),
            block,
            HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM, stream),
            body,
        )
        self._window -= size
        self._open[stream] = Exchange(sink, index, self._loop.time())

    def flush(self) -> None:
        """Write what was posted."""
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            self._transport.write(b"".join(out))

    def watch(self, timeout: float, ping_after: float, ping_timeout: float) -> None:
        """Give up on messages unanswered for too long, and on a server that fell silent."""
        now = self._loop.time()
        late = []
        for stream, exchange in self._open.items():
            if now - exchange.began < timeout:
                break
            late.append(stream)
        for stream in late:
            self._out.append(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
            exchange = self._open.pop(stream)
            exchange.sink.unanswered(exchange.index, "TIMED_OUT")
        if self._pinged is not None and now - self._pinged > ping_timeout:
            self.abort()
        elif self._pinged is None and now - self._heard > ping_after:
            self._pinged = now
            self._out.append(frame(PING, 0, 0, bytes(8)))
        self.flush()
        if late:
            self._changed()

    def abort(self) -> None:
        """Close at once; whoever waits for an answer hears that none will come."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello: no pushes, no table, a large window."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1 << 18)
        settings = SETTING.pack(TABLE_SIZE, 0) + SETTING.pack(ENABLE_PUSH, 0)
        window = struct.pack(">I", _OUR_WINDOW - _DEFAULT_WINDOW)
        self._transport.write(
            PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, window)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer for everything that is on its way."""
        if self.lost:
            return
        self.lost = True
        if not self._settled.done():
            self._settled.set_exception(exc or ConnectionResetError("closed before its settings"))
            self._settled.exception()
        unanswered, self._open = self._open, {}
        for exchange in unanswered.values():
            exchange.sink.unanswered(exchange.index, "CONNECTION_LOST")
        self._changed()

    def pause_writing(self) -> None:
        """Take nothing more: the server does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._changed()

    def data_received(self, data: bytes) -> None:
        """Read every whole frame; keep the rest for the next time."""
        self._heard = self._loop.time()
        if self._rest:
            data = self._rest + data
        try:
            at = self._frames(data)
        except (ProtocolError, hpack.HPACKError, struct.error, ValueError):
            self.abort()
            return
        self._rest = data[at:]
        if self._answered is not None:
            self._answered_after(self._heard - self._answered)
            self._answered = None
        self.flush()
        if self._leaving and not self._open and self._transport is not None:
            self._transport.close()
        self._changed()

    def _frames(self, data: bytes) -> int:
        at, end, unpack = 0, len(data), HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream = unpack(data, at)
            size = high << 8 | low
            if size > LONGEST_FRAME:
                raise ProtocolError("a frame is too long")
            start = at + HEAD_BYTES
            if start + size > end:
                break
            at = start + size
            if self._partial is not None and kind != CONTINUATION:
                raise ProtocolError("a header block was interrupted")
            if kind == DATA:
                self._data(stream, flags, data[start:at])
            elif kind == HEADERS:
                self._headers(stream, flags, data[start:at])
            else:
                self._control(kind, stream, flags, data[start:at])
        return at

    def _data(self, stream: int, flags: int, payload: bytes) -> None:
        self._unreported += len(payload)
        if self._unreported > _OUR_WINDOW // 2:
            update = struct.pack(">I", self._unreported)
            self._out.append(frame(WINDOW_UPDATE, 0, 0, update))
            self._unreported = 0
        exchange = self._open.get(stream)
        if exchange is None:
            return  # given up on
        if flags & PADDED:
            payload = unpadded(payload)
        exchange.body = exchange.body + payload if exchange.body else payload
        if len(exchange.body) > _DEFAULT_WINDOW:
            raise ProtocolError("more than the window of a stream")
        if flags & END_STREAM:
            self._end(stream, exchange)

    def _headers(self, stream: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = unpadded(payload)
        if flags & WITH_PRIORITY:
            payload = payload[5:]
        if flags & END_HEADERS:
            self._block(stream, flags, payload)
        else:
            self._partial = stream, flags, payload

    def _block(self, stream: int, flags: int, block: bytes) -> None:
        exchange = self._open.get(stream)
        if block[:1] == _SUCCESS:  # nothing else of it is of interest
            status, retry_after = 200, None
        else:
            # Read even when nobody waits for it any more: it may set the table's size.
            fields = dict(self._decoder.decode(block, raw=True))
            status = int(fields.get(b":status", b"0"))
            told = fields.get(b"retry-after")
            retry_after = told.decode("latin-1") if told is not None else None
        if exchange is None:
            return
        if status >= 200:
            exchange.status, exchange.retry_after = status, retry_after
        if flags & END_STREAM:
            self._end(stream, exchange)

    def _end(self, stream: int, exchange: Exchange) -> None:
        if not exchange.status:
            raise ProtocolError("an answer without a status")
        del self._open[stream]
        self._answered = exchange.began
        exchange.sink.answered(exchange.index, exchange.status, exchange.body, exchange.retry_after)

    def _control(self, kind: int, stream: int, flags: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            # A message fits its stream's first window, so only the connection's counts.
            if stream == 0:
                self._window += struct.unpack(">I", payload)[0]
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING:
            if flags & ACK:
                self._pinged = None
            else:
                self._reply(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._reset(stream, struct.unpack(">I", payload)[0])
        elif kind == GOAWAY:
            self._go_away(struct.unpack_from(">I", payload)[0])
        elif kind == CONTINUATION:
            self._continue(stream, flags, payload)
        elif kind == PUSH_PROMISE:
            raise ProtocolError("a push that was not allowed")

    def _reply(self, whole: bytes) -> None:
        # Replies are not held back as messages are: who asks on and on without reading the answers
        # would fill our memory.
        if self._paused:
            raise ProtocolError("asks, and does not read")
        self._out.append(whole)

    def _continue(self, stream: int, flags: int, payload: bytes) -> None:
        if self._partial is None or self._partial[0] != stream:
            raise ProtocolError("a continuation of nothing")
        _, first_flags, block = self._partial
        if len(block) > _LONGEST_BLOCK or not (payload or flags & END_HEADERS):
            raise ProtocolError("a header block is too long")
        self._partial = None
        if flags & END_HEADERS:
            self._block(stream, first_flags, block + payload)
        else:
            self._partial = stream, first_flags, block + payload

    def _settings(self, payload: bytes) -> None:
        for name, value in SETTING.iter_unpack(payload):
            if name == MOST_STREAMS:
                # It may take fewer for a while, and more again.
                self._most = min(self._own_most, value)
            elif name == WINDOW:
                self._stream_window = value
            elif name == TABLE_SIZE:
                self._head = RequestHead(value)
        self._reply(frame(SETTINGS, ACK, 0))
        if not self._settled.done():
            self._settled.set_result(None)

    def _reset(self, stream: int, code: int) -> None:
        exchange = self._open.pop(stream, None)
        if exchange is None:
            return
        if code == REFUSED_STREAM:
            exchange.sink.refused(exchange.index)
        elif exchange.status:
            # Answered in full, and told us not to write more of a body that is written.
            exchange.sink.answered(
                exchange.index, exchange.status, exchange.body, exchange.retry_after
            )
        else:
            exchange.sink.unanswered(exchange.index, "STREAM_RESET")

    def _go_away(self, last: int) -> None:
        self._leaving = True
        for stream in [stream for stream in self._open if stream > last & 0x7FFFFFFF]:
            exchange = self._open.pop(stream)
            exchange.sink.refused(exchange.index)
