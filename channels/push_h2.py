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
from typing import Final, Protocol, cast

import hpack

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = struct.Struct(">HBBBI")
"""A frame's head: length (16 and 8 bits), type, flags, stream."""
_SETTING: Final = struct.Struct(">HI")
_HEAD_BYTES: Final = 9
_LONGEST_FRAME: Final = 16_384

_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS = range(5)
_PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = range(5, 10)
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_WITH_PRIORITY: Final = 0x20

_TABLE_SIZE, _ENABLE_PUSH, _MOST_STREAMS, _WINDOW = range(1, 5)
_REFUSED_STREAM: Final = 0x7
_CANCEL: Final = 0x8

_DEFAULT_WINDOW: Final = 65_535
_DEFAULT_TABLE: Final = 4096
_OUR_WINDOW: Final = 1 << 24
"""Bytes of answers we let the server send before we say that we read them."""
_LONGEST_BLOCK: Final = 65_536
_LAST_STREAM: Final = (1 << 31) - 3
_SUCCESS: Final = b"\x88"
"""The whole field `:status: 200`, which stands first in nearly every answer."""


class Sink(Protocol):
    """Who posted a message and hears of it; exactly one call for each message."""

    def answered(self, index: int, status: int, body: bytes, retry_after: str | None) -> None:
        """Take the server's answer."""

    def unanswered(self, index: int, reason: str) -> None:
        """Take it that no answer will come: the server may or may not have the message."""

    def refused(self, index: int) -> None:
        """Take it that the server has surely not read the message: it may be posted again."""


class ProtocolError(Exception):
    """The server does not speak HTTP/2 as it must."""


class Exchange:
    """One message on its way."""

    __slots__ = ("began", "body", "index", "retry_after", "sink", "status")

    def __init__(self, sink: Sink, index: int, began: float) -> None:
        self.sink = sink
        self.index = index
        self.began = began
        self.status = 0
        self.retry_after: str | None = None
        self.body = b""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _integer(value: int, prefix: int, mark: int) -> bytes:
    """Encode an HPACK integer behind the bits of `mark`."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((mark | value,))
    encoded = bytearray((mark | most,))
    value -= most
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _text(value: str) -> bytes:
    raw = value.encode("ascii")
    return _integer(len(raw), 7, 0) + raw


class RequestHead:
    """The header block that all requests of a connection share, but for their length.

    The first block after a change empties the server's table and enters every field; the blocks
    after it name them by their number, a byte each.
    """

    def __init__(self, table_size: int) -> None:
        self._table_size = min(table_size, _DEFAULT_TABLE)
        self._fields: Sequence[tuple[str, str]] = ()
        self._block = b""
        self._lengths: dict[int, bytes] = {}

    def block(self, fields: Sequence[tuple[str, str]], length: int) -> bytes:
        """Return the block of the next request, whose body has this length."""
        block = self._block if fields is self._fields else self._enter(fields)
        tail = self._lengths.get(length)
        if tail is None:
            # Static name 28, content-length, kept out of the table.
            tail = self._lengths[length] = _integer(28, 4, 0) + _text(str(length))
        return block + tail

    def _enter(self, fields: Sequence[tuple[str, str]]) -> bytes:
        self._fields = fields
        if sum(len(name) + len(value) + 32 for name, value in fields) > self._table_size:
            self._block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
            return _integer(0, 5, 0x20) + self._block
        # The newest entry is number 62, so the first of them has the highest number.
        self._block = b"".join(
            _integer(61 + len(fields) - place, 7, 0x80) for place in range(len(fields))
        )
        emptied = _integer(0, 5, 0x20) + _integer(self._table_size, 5, 0x20)
        return emptied + b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields)


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
        self._most = most_streams
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._decoder = hpack.Decoder()
        # The server keeps no table for us, so an answer's block can be read or left unread.
        self._decoder.header_table_size = self._decoder.max_allowed_table_size = 0
        self._head = RequestHead(_DEFAULT_TABLE)
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
        return (
            len(self._open) < self._most
            and self._window >= size <= self._stream_window
            and not self._paused
            and not self._leaving
            and not self.lost
        )

    def post(self, fields: Sequence[tuple[str, str]], body: bytes, sink: Sink, index: int) -> None:
        """Put a message into the next write; ask room() first, and flush() after the round."""
        stream, size = self._next, len(body)
        self._next += 2
        self._leaving = self._leaving or stream >= _LAST_STREAM
        block = self._head.block(fields, size)
        length = len(block)
        self._out += (
            _HEAD.pack(length >> 8, length & 0xFF, _HEADERS, _END_HEADERS, stream),
            block,
            _HEAD.pack(size >> 8, size & 0xFF, _DATA, _END_STREAM, stream),
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
            self._out.append(_frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))
            exchange = self._open.pop(stream)
            exchange.sink.unanswered(exchange.index, "TIMED_OUT")
        if self._pinged is not None and now - self._pinged > ping_timeout:
            self.abort()
        elif self._pinged is None and now - self._heard > ping_after:
            self._pinged = now
            self._out.append(_frame(_PING, 0, 0, bytes(8)))
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
        settings = _SETTING.pack(_TABLE_SIZE, 0) + _SETTING.pack(_ENABLE_PUSH, 0)
        window = struct.pack(">I", _OUR_WINDOW - _DEFAULT_WINDOW)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, window)
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
        except (ProtocolError, hpack.HPACKError, struct.error, IndexError):
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
        at, end, unpack = 0, len(data), _HEAD.unpack_from
        while end - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = unpack(data, at)
            size = high << 8 | low
            if size > _LONGEST_FRAME:
                raise ProtocolError("a frame is too long")
            start = at + _HEAD_BYTES
            if start + size > end:
                break
            at = start + size
            if self._partial is not None and kind != _CONTINUATION:
                raise ProtocolError("a header block was interrupted")
            if kind == _DATA:
                self._data(stream, flags, data[start:at])
            elif kind == _HEADERS:
                self._headers(stream, flags, data[start:at])
            else:
                self._control(kind, stream, flags, data[start:at])
        return at

    def _data(self, stream: int, flags: int, payload: bytes) -> None:
        self._unreported += len(payload)
        if self._unreported > _OUR_WINDOW // 2:
            update = struct.pack(">I", self._unreported)
            self._out.append(_frame(_WINDOW_UPDATE, 0, 0, update))
            self._unreported = 0
        exchange = self._open.get(stream)
        if exchange is None:
            return  # given up on
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        exchange.body = exchange.body + payload if exchange.body else payload
        if flags & _END_STREAM:
            self._end(stream, exchange)

    def _headers(self, stream: int, flags: int, payload: bytes) -> None:
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & _WITH_PRIORITY:
            payload = payload[5:]
        if flags & _END_HEADERS:
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
        if flags & _END_STREAM:
            self._end(stream, exchange)

    def _end(self, stream: int, exchange: Exchange) -> None:
        del self._open[stream]
        self._answered = exchange.began
        exchange.sink.answered(exchange.index, exchange.status, exchange.body, exchange.retry_after)

    def _control(self, kind: int, stream: int, flags: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            # A message fits its stream's first window, so only the connection's counts.
            if stream == 0:
                self._window += struct.unpack(">I", payload)[0]
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING:
            if flags & _ACK:
                self._pinged = None
            else:
                self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM:
            self._reset(stream, struct.unpack(">I", payload)[0])
        elif kind == _GOAWAY:
            self._go_away(struct.unpack_from(">I", payload)[0])
        elif kind == _CONTINUATION:
            self._continue(stream, flags, payload)
        elif kind == _PUSH_PROMISE:
            raise ProtocolError("a push that was not allowed")

    def _continue(self, stream: int, flags: int, payload: bytes) -> None:
        if self._partial is None or self._partial[0] != stream:
            raise ProtocolError("a continuation of nothing")
        _, first_flags, block = self._partial
        if len(block) > _LONGEST_BLOCK:
            raise ProtocolError("a header block is too long")
        self._partial = None
        if flags & _END_HEADERS:
            self._block(stream, first_flags, block + payload)
        else:
            self._partial = stream, first_flags, block + payload

    def _settings(self, payload: bytes) -> None:
        for name, value in _SETTING.iter_unpack(payload):
            if name == _MOST_STREAMS:
                self._most = min(self._most, value)
            elif name == _WINDOW:
                self._stream_window = value
            elif name == _TABLE_SIZE:
                self._head = RequestHead(value)
        self._out.append(_frame(_SETTINGS, _ACK, 0))
        if not self._settled.done():
            self._settled.set_result(None)

    def _reset(self, stream: int, code: int) -> None:
        exchange = self._open.pop(stream, None)
        if exchange is None:
            return
        if code == _REFUSED_STREAM:
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
