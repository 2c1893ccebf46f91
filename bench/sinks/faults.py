"""What a carrier does wrong on request, and the HTTP address where that is asked for."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from aiohttp import web

from bench.sinks.record import Answer, Record

_LARGEST = 1024**3
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Faults:
    """How the carrier misbehaves; all at rest: it does not."""

    down: bool = False
    """Connections are reset and new ones refused."""
    delay_ms: float = 0.0
    """Before every answer."""
    per_second: float = 0.0
    """So many answers a second at most (0: as many as asked): the carrier's own speed."""
    error_rate: float = 0.0
    """Share of messages answered with a temporary error."""
    throttle_rate: float = 0.0
    """Share answered "too much"."""
    retry_after: float = 1.0
    """Seconds the carrier asks to wait where its protocol can say so."""

    def verdict(self) -> Answer:
        """Draw what this message is answered."""
        if not self.throttle_rate and not self.error_rate:
            return Answer.TAKEN
        luck = random.random()
        if luck < self.throttle_rate:
            return Answer.THROTTLED
        return Answer.FAILED if luck < self.throttle_rate + self.error_rate else Answer.TAKEN


class Sink:
    """One carrier: its record, its faults and the door that opens and shuts."""

    def __init__(
        self,
        record: Record,
        make: Callable[[], asyncio.Protocol],
        port: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.record = record
        self.faults = Faults()
        self.transports: set[asyncio.Transport] = set()
        self._make = make
        self._port, self._context = port, context
        self._server: asyncio.Server | None = None
        self._free_at = 0.0

    async def open(self) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()
        if self._server is None:
            self._server = await loop.create_server(
                self._make, "127.0.0.1", self._port, ssl=self._context, backlog=_BACKLOG
            )

    def shut(self) -> None:
        """Refuse connections and reset those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self.transports):
            transport.abort()

    async def become(self, faults: Faults) -> None:
        """Behave so from now on."""
        self.faults = faults
        if faults.down:
            self.shut()
        else:
            await self.open()

    @property
    def at_once(self) -> bool:
        """Whether answers are given as soon as they are known."""
        return not (self.faults.delay_ms or self.faults.per_second)

    def later(self, answer: Callable[[], None]) -> None:
        """Give an answer when this carrier does."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        if self.faults.per_second:
            at = self._free_at = max(at, self._free_at) + 1 / self.faults.per_second
        loop.call_at(at + self.faults.delay_ms / 1000, answer)


class Control:
    """GET /contents, GET /messages?from=N, POST /faults {…}, POST /clear."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        app = web.Application(client_max_size=_LARGEST)
        app.add_routes(
            [
                web.get("/contents", self._contents),
                web.get("/messages", self._messages),
                web.post("/faults", self._faults),
                web.post("/clear", self._clear),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def open(self, port: int) -> None:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def _contents(self, _: web.Request) -> web.Response:
        return web.json_response(self._sink.record.contents())

    async def _messages(self, request: web.Request) -> web.Response:
        start = int(request.query.get("from", "0"))
        return web.Response(body=self._sink.record.dump(start))

    async def _faults(self, request: web.Request) -> web.Response:
        asked = await request.json()
        unknown = set(asked) - {field.name for field in fields(Faults)}
        if unknown:
            raise web.HTTPBadRequest(text=f"no fault {', '.join(sorted(unknown))}")
        await self._sink.become(replace(self._sink.faults, **asked))
        return web.json_response(asdict(self._sink.faults))

    async def _clear(self, _: web.Request) -> web.Response:
        self._sink.record.clear()
        return web.Response()
