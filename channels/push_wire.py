"""The wire to FCM: a few HTTP/2 connections of one account and the token they show."""

from __future__ import annotations

import asyncio
import itertools
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from channels.base import Action, Result
from channels.push_errors import Verdict, judge, lost
from channels.push_token import TokenRefusedError, Tokens, TokenUnavailableError

_STREAMS: Final = 100
"""Requests in flight that one HTTP/2 connection takes; more would wait behind our back, after
the permit was asked."""

_TOKEN_UNAVAILABLE: Final = Verdict(Result.TEMPORARY, "TOKEN_UNAVAILABLE")
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
        self._url = f"{url.rstrip('/')}/v1/projects/{self._tokens.project}/messages:send"
        self._connections = math.ceil(concurrency / _STREAMS)
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._clients: list[Client] = []
        self._next: itertools.cycle[Client] = itertools.cycle(())
        self.slots = asyncio.Semaphore(concurrency)
        """Requests that may be in flight, over all batches."""

    @property
    def is_open(self) -> bool:
        """Say whether messages can be posted."""
        return bool(self._clients)

    def open(self) -> None:
        """Prepare the connections; each connects with its first message."""
        if not self._clients:
            self._clients = [self._client() for _ in range(self._connections)]
            self._next = itertools.cycle(self._clients)

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, []
        self._next = itertools.cycle(())
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

    async def post(self, body: bytes, token: str) -> Verdict:
        """Write one message and wait for FCM's answer."""
        try:
            request = next(self._next).post(self._url).bearer_auth(token).body_bytes(body).build()
            answer = await request.send()
            content = bytes(await answer.bytes())
        except PyreqwestError as error:
            return lost(error)
        retry_after = None if answer.status == 200 else answer.get_header("retry-after")
        return judge(answer.status, content, retry_after, datetime.now(UTC))

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
