"""The wire to FCM: a few HTTP/2 connections of one account and the token they show."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.http import Url

from channels.base import Action, Result
from channels.push_errors import Verdict, judge, lost
from channels.push_token import TokenRefusedError, Tokens, TokenUnavailableError

_STREAMS: Final = 100
"""Requests in flight that one HTTP/2 connection takes; more would wait behind our back, after
the permit was asked."""

_LATENCY_WEIGHT: Final = 0.01

_CLOSED: Final = Verdict(Result.NOT_SENT, "CLOSED")
_TOKEN_UNAVAILABLE: Final = Verdict(Result.TEMPORARY, "TOKEN_UNAVAILABLE", action=Action.AWAY)
_TOKEN_REFUSED: Final = Verdict(Result.TEMPORARY, "TOKEN_REFUSED", action=Action.PAUSE)


class Wire:
    """Posts message bodies and says what became of each."""

    def __init__(
        self,
        url: str,
        credentials_path: Path,
        ca_path: Path | None,
        concurrency: int,
        timeout: timedelta,
        connect_timeout: timedelta,
    ) -> None:
        self._ca = ca_path.read_bytes() if ca_path else None
        self._tokens = Tokens(credentials_path, self._ca)
        self._url = Url(f"{url.rstrip('/')}/v1/projects/{self._tokens.project}/messages:send")
        self._concurrency = concurrency
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._clients: list[Client] = []
        self._in_flight: list[int] = []
        self._latency = 0.0
        self.slots = asyncio.Semaphore(concurrency)
        """Requests that may be in flight, over all batches."""

    @property
    def is_open(self) -> bool:
        """Say whether messages can be posted."""
        return bool(self._clients)

    def open(self) -> None:
        """Prepare the connections; each connects with its first message."""
        if not self._clients:
            connections = math.ceil(self._concurrency / _STREAMS)
            self._clients = [self._client() for _ in range(connections)]
            self._in_flight = [0] * connections

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, []
        for client in clients:
            await client.close()

    async def bearer(self, refused: str | None = None) -> str | Verdict:
        """Return a token, another one than `refused`, or what its absence means."""
        try:
            return await (self._tokens.renew(refused) if refused else self._tokens.bearer())
        except TokenUnavailableError:
            return _TOKEN_UNAVAILABLE
        except TokenRefusedError:
            return _TOKEN_REFUSED

    def wanted(self, per_second: int) -> int:
        """Return how many requests in flight reach a rate at the latency seen of late.

        More than that is only a queue at the other end, and one packet a message on this one:
        against a server that answers in 1 ms, 500 in flight cost twice the CPU of 100.
        """
        return min(self._concurrency, max(_STREAMS, math.ceil(per_second * self._latency)))

    async def post(self, body: bytes, token: str) -> Verdict:
        """Write one message and wait for FCM's answer."""
        if not self._clients:
            return _CLOSED
        place = self._place()
        self._in_flight[place] += 1
        began = time.monotonic()
        try:
            request = self._clients[place].post(self._url).bearer_auth(token).body_bytes(body)
            answer = await request.build().send()
            content = bytes(await answer.bytes())
        except PyreqwestError as error:
            return lost(error)
        finally:
            self._in_flight[place] -= 1
            self._latency += _LATENCY_WEIGHT * (time.monotonic() - began - self._latency)
        retry_after = None if answer.status == 200 else answer.get_header("retry-after")
        return judge(answer.status, content, retry_after, datetime.now(UTC))

    def _place(self) -> int:
        """Return the first connection with room: full ones share packets, idle ones cost none."""
        for place, count in enumerate(self._in_flight):
            if count < _STREAMS:
                return place
        return 0

    def _client(self) -> Client:
        # Without prior knowledge every request that finds no connection yet opens one of its own.
        builder = (
            ClientBuilder()
            .http2_prior_knowledge()
            .http2_keep_alive_interval(timedelta(seconds=20))
            .http2_keep_alive_timeout(timedelta(seconds=10))
            .connect_timeout(self._connect_timeout)
            .timeout(self._timeout)
            .follow_redirects(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .default_headers({"content-type": "application/json", "x-goog-api-format-version": "2"})
        )
        return (builder.add_root_certificate_pem(self._ca) if self._ca else builder).build()
