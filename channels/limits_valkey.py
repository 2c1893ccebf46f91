"""The questions a limiter asks Valkey: one script, answered in one piece by one clock."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import redis.asyncio
from redis.exceptions import NoScriptError, RedisError

AWAY: Final = (RedisError, OSError, TimeoutError)
"""Valkey cannot be asked."""
_SCRIPT: Final = Path(__file__).with_name("limits.lua").read_text("utf-8")


class Reservations:
    """One account's limiter in Valkey."""

    def __init__(self, redis_url: str | None, account: str, fixed: bytes) -> None:
        """Take what never changes in a question as `fixed`, in JSON."""
        self._redis_url = redis_url
        self._keys = (f"limit:{{{account}}}", f"limit:{{{account}}}:members")
        self._fixed = fixed
        self._client: redis.asyncio.Redis | None = None
        self._sha: str | None = None

    async def clock(self) -> int:
        """Return what Valkey's clock shows, in microseconds; raises one of AWAY."""
        seconds, micros = await self._connected().time()
        return int(seconds) * 1_000_000 + int(micros)

    async def reserve(self, question: bytes) -> list[int]:
        """Ask; returns the script's answer, raises one of AWAY."""
        client = self._connected()
        if self._sha is None:
            self._sha = str(await client.script_load(_SCRIPT))
        arguments = (2, *self._keys, self._fixed, question)
        try:
            return list(await client.evalsha(self._sha, *arguments))  # type: ignore[misc, arg-type]
        except NoScriptError:
            return list(await client.eval(_SCRIPT, *arguments))  # type: ignore[misc, arg-type]

    async def forget(self) -> None:
        """Close the connection: an answer that is still to come must not be taken for another."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*AWAY):
                await client.aclose()

    def _connected(self) -> redis.asyncio.Redis:
        if self._redis_url is None:
            raise ConnectionError("there is no Valkey")
        if self._client is None:
            self._client = redis.asyncio.from_url(self._redis_url)  # type: ignore[no-untyped-call]
        return self._client
