"""Just enough HTTP/2 to take requests by the ten thousand a second on one connection.

Who speaks HTTP/1.1, as clients of the token address may, is answered one request at a time.
Header blocks are not decoded: a carrier for measuring tells its few requests apart by their
bodies, and HPACK would cost more than all the rest. The lab's FCM speaks the whole protocol.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable
from typing import Final, cast

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS: Final = 100
"""Requests in flight on one connection, as FCM allows."""
_HEAD: Final = struct.Struct(">HBBBI")
"""Length (upper two and lowest octet), type, flags, stream."""
_DATA, _HEADERS, _RST, _SETTINGS, _PING = 0x0, 0x1, 0x3, 0x4, 0x6
_ACK: Final = 0x1
_END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x4, 0x8
_ROOM: Final = 2**30
_WINDOW_UPDATE: Final = b"\0\0\4\x08\0\0\0\0\0"
_HELLO: Final = (
    # No dynamic table, so that header blocks need no memory; so many streams; a wide window.
    b"\0\0\x12\x04\0\0\0\0\0"
    + struct.pack(">HIHIHI", 0x1, 0, 0x3, STREAMS, 0x4, 2**20)
    + _WINDOW_UPDATE
    + struct.pack(">I", _ROOM)
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK: Final = b"\x88"
_RETRY_AFTER: Final = b"\x0f\x26"
"""Static name 53, written without an index."""

Respond = Callable[[int, bytes, int], None]
"""Status, body, Retry-After in seconds (0: none)."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


class Http2(asyncio.Protocol):
    """One connection; `on_request(body, respond)` gets every request."""

    def __init__(
        self, on_request: Callable[[bytes, Respond], None], connections: set[asyncio.Transport]
    ) -> None:
        self._on_request = on_request
        self._connections = connections
        self._buffer = bytearray()
        self._bodies: dict[int, bytes] = {}
        self._out: list[bytes] = []
        self._reading = False
        self._taken = 0
        self._greeted = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for what the client speaks."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take whole frames; answers given meanwhile leave as one write."""
        buffer = self._buffer
        buffer += data
        at = 0
        if not self._greeted:
            if not buffer.startswith(PREFACE):
                self._plain()
                return
            self._greeted, at = True, len(PREFACE)
            self._out.append(_HELLO)
        self._reading = True
        end = len(buffer)
        while end - at >= 9:
            upper, lowest, kind, flags, stream = _HEAD.unpack_from(buffer, at)
            after = at + 9 + (upper << 8) + lowest
            if after > end:
                break
            if kind == _DATA:
                self._data(stream, flags, bytes(buffer[at + 9 : after]))
            elif kind != _HEADERS:
                self._other(kind, flags, stream, bytes(buffer[at + 9 : after]))
            at = after
        del buffer[:at]
        self._reading = False
        self._flush()

    def _data(self, stream: int, flags: int, body: bytes) -> None:
        self._taken += len(body)
        if flags & _PADDED:
            body = body[1 : len(body) - body[0]]
        earlier = self._bodies.pop(stream, b"") if self._bodies else b""
        if flags & _END_STREAM:
            self._on_request(earlier + body, self._responder(stream))
        else:
            self._bodies[stream] = earlier + body
        if self._taken > _ROOM // 2:
            self._out.append(_WINDOW_UPDATE + struct.pack(">I", self._taken))
            self._taken = 0

    def _other(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._out.append(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _RST:
            self._bodies.pop(stream, None)

    def _plain(self) -> None:
        """Answer a whole HTTP/1.1 request."""
        head, end, body = bytes(self._buffer).partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._buffer.clear()

        def respond(status: int, body: bytes, _: int = 0) -> None:
            if self._transport.is_closing():
                return
            self._transport.write(
                b"HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )

        self._on_request(body, respond)

    def _responder(self, stream: int) -> Respond:
        def respond(status: int, body: bytes, retry_after: int = 0) -> None:
            if status == 200:
                block = _OK
            else:
                block = b"\x08\x03%d" % status
                if retry_after:
                    seconds = b"%d" % retry_after
                    block += _RETRY_AFTER + bytes([len(seconds)]) + seconds
            self._out.append(_frame(_HEADERS, _END_HEADERS, stream, block))
            self._out.append(_frame(_DATA, _END_STREAM, stream, body))
            if not self._reading:
                self._flush()

        return respond

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()
