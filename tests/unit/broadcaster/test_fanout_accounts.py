"""Two accounts of a channel over real connections: by their weights, or all to whoever can."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.sinks.record import Messages
from broadcaster.db import Conn, Pool
from broadcaster.demo.carriers import free_port
from broadcaster.fanout.fleet import Carrier, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.sending import Sender
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from channels.base import Channel
from channels.email import EmailChannel
from channels.lab import certs
from channels.limits_rules import RateLimit, Rule
from channels.push import PushChannel
from channels.sms import SmsChannel
from tests.builders import eventually
from tests.unit.broadcaster.pushing import approved, sent

pytestmark = pytest.mark.slow

COUNT, BATCH = 3_000, 75
WEIGHTS = (70, 30)
PACE = 500
"""Messages a second that each carrier answers: every slot is full all the time."""
PROGRAMS = {"push": "fcm", "sms": "smsc", "email": "smtp"}


@dataclass(frozen=True)
class Sink:
    """A carrier in a process of its own."""

    directory: Path
    port: int
    control: int

    def ask(self, what: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/{what}", body) as answer:
            return bytes(answer.read())

    def become(self, **faults: float) -> None:
        self.ask("faults", json.dumps(faults).encode())

    def taken(self) -> list[str]:
        return Messages.read(self.ask("messages?from=0")).addresses

    def channel(self, name: str) -> Channel[Any]:
        if name == "push":
            files = certs.prepare(self.directory, self.port)
            return PushChannel(f"https://127.0.0.1:{self.port}", files.credentials, files.ca)
        if name == "sms":
            return SmsChannel(f"smpp://a:b@127.0.0.1:{self.port}", "HANOI")
        return EmailChannel(
            f"smtp://127.0.0.1:{self.port}", "alerts@canhbao.example", "canhbao.example",
            "https://canhbao.example", 4,
        )  # fmt: skip


@contextmanager
def sink(directory: Path, name: str) -> Iterator[Sink]:
    directory.mkdir()
    made = Sink(directory, free_port(), free_port())
    certs.prepare(directory, made.port)
    arguments = ["--dir", directory, "--port", made.port, "--control", made.control]
    program = [sys.executable, "-m", f"bench.sinks.{PROGRAMS[name]}", *map(str, arguments)]
    process = subprocess.Popen(program)
    try:
        yield made
    finally:
        process.terminate()
        process.wait(10)


async def listening(one: Sink) -> None:
    async def there() -> bool:
        try:
            await asyncio.to_thread(one.become, per_second=PACE)
        except OSError:
            return False
        return True

    await eventually(there, 30, "the carrier listens")


@asynccontextmanager
async def sender(
    pool: Pool, redis_url: str, keyring: Keyring, name: str, sinks: Sequence[Sink], most: int
) -> AsyncIterator[None]:
    """Send by two accounts of the weights, the first with a limit of its own."""
    limits = [RateLimit((Rule(per_second, 1.0),)) for per_second in (most, 50_000)]
    carriers = [
        Carrier(one.channel(name), str(number), f"{number}@lab", limit, weight=weight)
        for number, (one, limit, weight) in enumerate(zip(sinks, limits, WEIGHTS, strict=True))
    ]
    fleet, guard = await Fleet.enlist(pool, redis_url, "w", carriers), Guard(pool)
    for carrier in carriers:
        await carrier.channel.open()
    tasks = [asyncio.create_task(one.run()) for one in (fleet, guard)]

    async def shared() -> bool:
        return all(account.limiter.shared for account in fleet.accounts)

    await eventually(shared, 30, "limits are shared")
    tasks.append(asyncio.create_task(Sender(pool, keyring, fleet, guard, name, "w").run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(carrier.channel.close() for carrier in carriers))


@pytest.fixture
async def pair(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[list[Sink]]:
    with ExitStack() as stack:
        name = request.node.callspec.params["name"]
        sinks = [stack.enter_context(sink(tmp_path / each, name)) for each in ("1", "2")]
        await asyncio.gather(*(listening(one) for one in sinks))
        yield sinks


@pytest.mark.parametrize("name", ["push", "sms", "email"])
@pytest.mark.parametrize(
    ("most", "pace", "low", "high"),
    [
        pytest.param(50_000, PACE, 0.60, 0.80, id="both-can"),
        pytest.param(50, PACE, 0.02, 0.40, id="first-at-its-limit"),
        pytest.param(50_000, PACE / 10, 0.02, 0.40, id="first-is-slow"),
    ],
)
async def test_full_accounts_share_by_weight_and_what_one_cannot_take_goes_to_the_other(
    pool: Pool, conn: Conn, redis_url: str, keyring: Keyring, units: UnitMap,
    pair: list[Sink], name: str, most: int, pace: float, low: float, high: float,
) -> None:  # fmt: skip
    made = await approved(conn, keyring, "A", lane=2, channel=name, count=COUNT, batch=BATCH)
    pair[0].become(per_second=pace)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with sender(pool, redis_url, keyring, name, pair, most):
        await sent(conn, made.alert_id, COUNT, 100)
    took = loop.time() - began
    first, second = (one.taken() for one in pair)
    share = len(first) / COUNT
    print(f"\n{name}: {len(first)} and {len(second)} of {COUNT} in {took:.1f} s: {share:.0%}")
    assert len(first) + len(second) == len(set(first + second)) == COUNT
    assert low < share < high
