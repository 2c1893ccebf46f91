"""The bearer token FCM wants: one per account, shared by every batch, renewed off the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from firebase_admin import credentials  # type: ignore[import-untyped]
from google.auth import exceptions, transport
from google.auth.credentials import TokenState
from google.oauth2.service_account import Credentials
from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import PyreqwestError

_TIMEOUT: Final = 10.0


class TokenRefusedError(Exception):
    """Google refused our credentials: nothing can be sent until an operator acts."""


class TokenUnavailableError(Exception):
    """The token address could not be reached: worth trying again."""


class Tokens:
    """Access tokens of one service account."""

    def __init__(self, credentials_path: Path, ca: bytes | None) -> None:
        """Read the service account; ValueError or OSError when it is no good."""
        certificate = credentials.Certificate(str(credentials_path))
        self.project: Final[str] = certificate.project_id
        self._credentials: Credentials = certificate.get_credential()
        self._request = _Request(ca)
        self._lock = asyncio.Lock()

    async def bearer(self) -> str:
        """Return a token good for the next minutes."""
        if self._credentials.token_state is not TokenState.FRESH:
            async with self._lock:
                if self._credentials.token_state is not TokenState.FRESH:
                    await self._refresh()
        return str(self._credentials.token)

    async def renew(self, refused: str) -> str:
        """Return another token than one that was refused before its time."""
        async with self._lock:
            if self._credentials.token == refused:
                await self._refresh()
        return str(self._credentials.token)

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(_refresh, self._credentials, self._request)
        except exceptions.GoogleAuthError as error:
            if self._credentials.token_state is TokenState.STALE:
                return  # minutes of the old token are left; the next batch tries again
            if isinstance(error, exceptions.TransportError) or error.retryable:
                raise TokenUnavailableError(str(error)) from error
            raise TokenRefusedError(str(error)) from error


def _refresh(held: Credentials, request: _Request) -> None:
    held.refresh(request)  # type: ignore[no-untyped-call]


class _Request(transport.Request):
    """google-auth's transport over the client and the CA that carry the messages too."""

    def __init__(self, ca: bytes | None) -> None:
        builder = SyncClientBuilder().timeout(timedelta(seconds=_TIMEOUT)).follow_redirects(False)
        self._client = (builder.add_root_certificate_pem(ca) if ca else builder).build()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Response:
        """Make one request; google-auth asks for it in this shape."""
        builder = self._client.request(method, url).headers(dict(headers or {}))
        if body is not None:
            builder = builder.body_bytes(body)
        try:
            answer = builder.timeout(timedelta(seconds=timeout or _TIMEOUT)).build().send()
            return _Response(answer.status, dict(answer.headers), bytes(answer.bytes()))
        except PyreqwestError as error:
            raise exceptions.TransportError(error) from error  # type: ignore[no-untyped-call]


class _Response(transport.Response):
    """An answer as google-auth wants it."""

    def __init__(self, status: int, headers: Mapping[str, Any], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._status

    @property
    def headers(self) -> Mapping[str, Any]:
        """HTTP headers."""
        return self._headers

    @property
    def data(self) -> bytes:
        """Body."""
        return self._data
