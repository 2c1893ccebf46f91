"""The wire to FCM: a few HTTP/2 connections of one account and the token they show."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from channels.base import Action, Result
from channels.push_errors import Verdict
from channels.push_h2 import Connection
from channels.push_h2_parts import Sink
from channels.push_token import TokenRefusedError, Tokens, TokenUnavailableError

_STREAMS: Final = 100
"""Requests in flight that one HTTP/2 connection takes."""
_WATCH_SECONDS: Final = 0.25
_PING_AFTER: Final = 20.0
_PING_TIMEOUT: Final = 10.0
_REDIAL_SECONDS: Final = 0.5
"""Seconds for which a failed connect answers for all: 1,000 messages do not dial 1,000 times."""

_LATENCY_WEIGHT: Final = 0.05

_TOKEN_UNAVAILABLE: Final = Verdict(Result.TEMPORARY, "TOKEN_UNAVAILABLE", action=Action.AWAY)
_TOKEN_REFUSED: Final = Verdict(Result.TEMPORARY, "TOKEN_REFUSED", action=Action.PAUSE)

Fields = Sequence[tuple[str, str]]


class Run(Sink, Protocol):
    """One batch on its way: it posts when there is room, the more urgent before the others."""

    lane: int

    def fill(self) -> None:
        """Post as long as there is room."""

    def cut_off(self) -> None:
        """Take it that no connection can be made, or that all were closed."""


class Wire:
    """Keeps the connections, and lets those who have messages know where there is room."""

    def __init__(
        self,
        url: str,
        credentials_path: Path,
        ca_path: Path | None,
        concurrency: int,
        timeout: timedelta,
        connect_timeout: timedelta,
    ) -> None:
        ca = ca_path.read_bytes() if ca_path else None
        self._tokens = Tokens(credentials_path, ca)
        where = urlsplit(url)
        self._host, self._secure = where.hostname or "", where.scheme != "http"
        self._port = where.port or (443 if self._secure else 80)
        self._authority = where.netloc
        path = f"{where.path.rstrip('/')}/v1/projects/{self._tokens.project}/messages:send"
        self._path = path
        self._tls = _tls(ca) if self._secure else None
        self._concurrency = concurrency
        self._timeout = timeout.total_seconds()
        self._connect_timeout = connect_timeout.total_seconds()
        self._connections: list[Connection] = []
        self._dialling: asyncio.Task[None] | None = None
        self._failed_at = -math.inf
        self._watching: asyncio.Task[None] | None = None
        self._runs: list[Run] = []
        self._refilling = False
        self.latency = 0.0
        """Seconds from writing a message to its answer, of late."""
        self._fields: dict[str, Fields] = {}
        self.is_open = False

    def open(self) -> None:
        """Be ready to connect: the first message does."""
        if not self.is_open:
            self.is_open = True
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Close every connection; messages without an answer hear that none will come."""
        self.is_open = False
        tasks = [task for task in (self._dialling, self._watching) if task is not None]
        self._dialling = self._watching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.abort()
        for run in list(self._runs):
            run.cut_off()
        # The transports close with the loop's next round.
        await asyncio.sleep(0)

    async def bearer(self, refused: str | None = None) -> str | Verdict:
        """Return a token, another one than `refused`, or what its absence means."""
        try:
            return await (self._tokens.renew(refused) if refused else self._tokens.bearer())
        except TokenUnavailableError:
            return _TOKEN_UNAVAILABLE
        except TokenRefusedError:
            return _TOKEN_REFUSED

    def fields(self, bearer: str) -> Fields:
        """Return the headers of every request under this token, the same object each time."""
        if bearer not in self._fields:
            self._fields = {
                bearer: (
                    (":method", "POST"),
                    (":scheme", "https" if self._secure else "http"),
                    (":authority", self._authority),
                    (":path", self._path),
                    ("authorization", f"Bearer {bearer}"),
                    ("content-type", "application/json"),
                    ("x-goog-api-format-version", "2"),
                )
            }
        return self._fields[bearer]

    def enter(self, run: Run) -> None:
        """Let a batch post from now on, whenever there is room."""
        self._runs.append(run)
        self._runs.sort(key=lambda one: one.lane)
        self.refill()

    def leave(self, run: Run) -> None:
        """Forget a batch; what it still has in flight is answered for all the same."""
        if run in self._runs:
            self._runs.remove(run)

    def place(self, size: int, per_second: int) -> tuple[Connection | None, int]:
        """Return the first connection with room and for how many; full ones share packets.

        What is in flight is no more than reaches the rate at the latency seen of late: more would
        only be a queue at the other end. Without room a further connection is opened, up to
        where all of them together hold what may be in flight.
        """
        wanted = min(self._concurrency, max(_STREAMS, math.ceil(2 * per_second * self.latency)))
        room = wanted - sum(connection.in_flight for connection in self._connections)
        if room <= 0:
            return None, 0
        for connection in self._connections:
            if connection.room(size):
                return connection, room
        self._dial()
        return None, 0

    def refill(self) -> None:
        """Let everybody post who has messages, the more urgent first, in one write each."""
        if self._refilling or not self.is_open:
            return
        self._refilling = True
        try:
            for run in list(self._runs):
                run.fill()
            for connection in self._connections:
                connection.flush()
        finally:
            self._refilling = False

    def _dial(self) -> None:
        usable = [connection for connection in self._connections if connection.usable]
        if self._dialling is not None or len(usable) * _STREAMS >= self._concurrency:
            return
        now = asyncio.get_running_loop().time()
        if now - self._failed_at < _REDIAL_SECONDS:
            if not usable:
                asyncio.get_running_loop().call_soon(self._cut_off)
            return
        self._dialling = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        most = min(_STREAMS, self._concurrency)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport, connection = await loop.create_connection(
                    lambda: Connection(self._changed, self._answered_after, most),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
                _check_protocol(transport, secure=self._secure)
                await connection.ready()
        except (OSError, TimeoutError):
            self._failed_at = loop.time()
            if connection is not None:
                connection.abort()
            self._dialling = None
            if not any(one.usable for one in self._connections):
                self._cut_off()
            return
        self._connections.append(connection)
        self._dialling = None
        self.refill()

    def _answered_after(self, seconds: float) -> None:
        self.latency += _LATENCY_WEIGHT * (seconds - self.latency)

    def _cut_off(self) -> None:
        for run in list(self._runs):
            run.cut_off()

    def _changed(self) -> None:
        if any(connection.lost for connection in self._connections):
            self._connections = [one for one in self._connections if not one.lost]
        self.refill()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for connection in list(self._connections):
                connection.watch(self._timeout, _PING_AFTER, _PING_TIMEOUT)
                if connection.takes_nothing_for(self._timeout):
                    # No windows, no streams, or it does not read: as good as no connection.
                    self._failed_at = asyncio.get_running_loop().time()
                    connection.abort()


def _tls(ca: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    context.set_alpn_protocols(["h2"])
    return context


def _check_protocol(transport: asyncio.BaseTransport, *, secure: bool) -> None:
    """Raise ConnectionError when the server chose another protocol than HTTP/2."""
    if not secure:
        return
    tls = transport.get_extra_info("ssl_object")
    if tls is None or tls.selected_alpn_protocol() != "h2":
        transport.close()
        raise ConnectionError("the server does not speak HTTP/2")
