"""A city under alarm: servers of its own to be killed, several senders, carriers that count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.sinks import carriers
from bench.sinks.carriers import Sinks
from bench.sinks.faults import Faults
from broadcaster.alerts import lifecycle
from broadcaster.db import migrate
from broadcaster.demo.carriers import Carriers
from broadcaster.demo.supervise import Supervisor
from broadcaster.embedded import Postgres, Valkey, fresh_data_dir, start_postgres, start_valkey
from tests.builders import Service, eventually, now, service
from tests.chaos import stepped

SENDERS = ("send", "send 2", "send 3")
SLOTS = 3
"""Batches of a channel that a sender sends at a time; one is kept free for emergencies."""
WRONG_CLOCK = "send 3"
"""The sender whose clock can be set, and nobody else's."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large and how long everything is."""

    people: int
    rates: Mapping[str, int]
    """Messages a second that each carrier allows, over all senders."""
    kills: int
    outage: float
    """Seconds a carrier is down."""
    trouble: float
    """Seconds it is slow, then throttles, then errs, each."""
    settle: float
    """Seconds after which an alert should have settled."""


# A push account begins at a fifth of its rate and climbs for a minute.
SMALL = Scale(3_000, {"push": 2_500, "sms": 600, "email": 200}, 3, 2.0, 1.5, 150.0)
# 110,000 people have 200,000 endpoints: 94,000 phones with the app, 80,000 numbers, 27,000 boxes.
FULL = Scale(110_000, {"push": 2_400, "sms": 1_500, "email": 500}, 20, 30.0, 20.0, 290.0)

AT_REST = asdict(Faults())


def scale() -> Scale:
    """The small set by default; `make chaos` asks for the whole."""
    return FULL if os.environ.get("CHAOS") == "full" else SMALL


@dataclass
class City:
    """A running service, the servers beneath it and the carriers beside it."""

    service: Service
    postgres: Postgres
    valkey: Valkey
    sinks: Sinks
    scale: Scale
    clock: Path
    endpoints: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    """(channel, address, language) of every active endpoint."""

    async def learn(self) -> None:
        """Read the address of everybody once."""
        rows = await self.service.rows("SELECT endpoint_id FROM endpoint WHERE state = 'active'")
        self.endpoints = await self.service.addresses([row["endpoint_id"] for row in rows])

    async def carriers_become(self, **faults: float) -> None:
        """Change how every carrier behaves."""
        await asyncio.gather(*(self.sinks.become(name, **faults) for name in self.sinks.controls))

    async def at_rest(self) -> None:
        """Everything runs and behaves, and nothing is remembered of what was."""
        for server in (self.postgres, self.valkey):
            if not server.running:
                server.start()
        stepped.set_clock(self.clock, 0.0)
        await self.carriers_become(**AT_REST)
        for name in (*SENDERS, "clock", "intake"):
            await self.service.running(name)
        await self._stop_all()
        await self.sinks.clear()

    async def _stop_all(self) -> None:
        """Stop what an earlier scenario left unsettled, so that it is not seen as this one's."""
        service = self.service
        rows = await service.rows("SELECT alert_id FROM alert WHERE state = 'sending'")
        if not rows:
            return
        actor = await service.actor("tuan")
        for row in rows:
            async with service.pool.acquire() as conn:
                await lifecycle.stop(conn, actor, now(), row["alert_id"], "an earlier scenario")

        async def still() -> bool:
            return not await service.value(
                "SELECT EXISTS (SELECT FROM batch WHERE state <> 'done')"
            )

        await eventually(still, 30, "nothing on the wire")


@asynccontextmanager
async def city(directory: Path, asked: Scale) -> AsyncIterator[City]:
    """Start everything and seed the people; all of it ends with the block."""
    with ExitStack() as stack:
        data_dir = stack.enter_context(fresh_data_dir())
        # As in production: what is committed survives a kill.
        postgres = start_postgres(data_dir)
        stack.callback(postgres.stop)
        valkey = start_valkey(data_dir)
        stack.callback(valkey.stop)
        await migrate(postgres.url)
        clock, limits, found = directory / "wrong-by", directory / "limits.toml", list[Sinks]()
        limits.write_text(_limits(asked), "utf-8")
        stepped.set_clock(clock, 0.0)

        async def start(supervisor: Supervisor, where: Path, reply_number: str) -> Carriers:
            found.append(await carriers.start(supervisor, where, reply_number))
            return found[0].carriers

        async with service(
            postgres.url,
            valkey.url,
            directory,
            people=asked.people,
            workers=(*SENDERS, "clock", "intake"),
            environ={"BROADCASTER_PROVIDERS": str(limits)},
            start_carriers=start,
            through={WRONG_CLOCK: ["-m", "tests.chaos.stepped", str(clock)]},
        ) as running:
            made = City(running, postgres, valkey, found[0], asked, clock)
            await made.learn()
            yield made


def _limits(asked: Scale) -> str:
    """Write what each account may be given, as an operator would."""
    names = {"push": "fcm", "sms": "smpp", "email": "smtp"}
    return "".join(
        f"[{channel}.{names[channel]}]\nper_second = {rate}\nslots = {SLOTS}\n"
        for channel, rate in asked.rates.items()
    )
