"""The other side of HTTP/2: a full implementation, which refuses what is wrong and does as told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

from channels.push_h2 import Connection

FIELDS = (
    (":method", "POST"), (":scheme", "http"), (":authority", "here"), (":path", "/v1/send"),
    ("authorization", "Bearer one"),
)  # fmt: skip
OTHER = (*FIELDS[:4], ("authorization", "Bearer another"))
OK = [(":status", "200"), ("content-type", "application/json")]


@dataclass
class Heard:
    """What a sink was told, by message."""

    answers: dict[int, tuple[int, bytes, str | None]] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)

    def answered(self, index: int, status: int, body: bytes, retry_after: str | None) -> None:
        assert index not in self.answers
        self.answers[index] = status, body, retry_after

    def unanswered(self, index: int, reason: str) -> None:
        self.lost[index] = reason

    def refused(self, index: int) -> None:
        self.unread.append(index)

    @property
    def count(self) -> int:
        return len(self.answers) + len(self.lost) + len(self.unread)


Requests = dict[int, tuple[dict[str, str], bytes]]
Rule = Callable[[h2.connection.H2Connection, int, Requests], None]


class Peer(asyncio.Protocol):
    """A server that hands each whole request to a rule."""

    def __init__(self, rule: Rule, settings: dict[int, int]) -> None:
        self.rule, self.settings = rule, settings
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.requests: Requests = {}
        self.events: list[h2.events.Event] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings(self.settings)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.RequestReceived):
                fields = {k.decode(): v.decode() for k, v in event.headers}
                self.requests[event.stream_id] = fields, b""
            elif isinstance(event, h2.events.DataReceived):
                fields, body = self.requests[event.stream_id]
                self.requests[event.stream_id] = fields, body + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.rule(self.h2, event.stream_id, self.requests)
        self.flush()


@asynccontextmanager
async def talking(
    rule: Rule, most: int = 100, **settings: int
) -> AsyncIterator[tuple[Connection, Peer, Heard]]:
    numbers = {h2.settings.SettingCodes[name.upper()]: value for name, value in settings.items()}
    loop, peers = asyncio.get_running_loop(), []

    def peer() -> Peer:
        peers.append(Peer(rule, numbers))
        return peers[-1]

    server = await loop.create_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, connection = await loop.create_connection(
        lambda: Connection(lambda: None, lambda _: None, most), "127.0.0.1", port
    )
    await connection.ready()
    try:
        yield connection, peers[0], Heard()
    finally:
        connection.abort()
        peers[0].transport.close()
        server.close()
        await server.wait_closed()


async def heard(sink: Heard, count: int) -> None:
    async with asyncio.timeout(30):
        while sink.count < count:
            await asyncio.sleep(0.005)


def post(connection: Connection, sink: Heard, *bodies: bytes, fields=FIELDS) -> None:
    for body in bodies:
        assert connection.room(len(body))
        connection.post(fields, body, sink, int(body.split()[0]))
    connection.flush()


def answer(h2_side: h2.connection.H2Connection, stream: int, requests: Requests) -> None:
    h2_side.send_headers(stream, OK)
    h2_side.send_data(stream, b"to " + requests[stream][1], end_stream=True)
