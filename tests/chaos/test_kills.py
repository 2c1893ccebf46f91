"""Kill processes and servers in the middle of a broadcast; nobody is lost, few are told twice.

Real processes, `kill -9`, and the carriers' own records: what is asserted is what phones got.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from broadcaster import db
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.fanout.policy import POLICIES
from channels.email import EmailChannel
from channels.push import PushChannel
from channels.sms import SmsChannel
from tests.builders import CHANNELS, Service, area_of, eventually, warning
from tests.chaos.conftest import Fragile

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(150)]

IN_DOUBT = {c.name: c.limits.in_doubt for c in (PushChannel, SmsChannel, EmailChannel)}
WINDOW = {channel: IN_DOUBT[channel] * POLICIES[channel].slots for channel in CHANNELS}
"""Messages that one killed sender may have put on the wire without a word in the database."""
MID_WAY = 2
"""Channels under way at a kill: the few mails of a small city may be out in the first second."""


@dataclass
class Broadcast:
    """One alert to the whole city on its way."""

    service: Service
    alert: Alert
    content: Content
    began: float

    async def mid_way(self, share: float, channels: int = MID_WAY) -> str:
        """Wait until so great a share is with the carriers; returns the counts.

        Fails when fewer than so many channels are under way by then, begun and not done: a kill
        that comes early or late tests nothing.
        """

        async def there() -> dict[str, tuple[int, int]] | None:
            rows = await self.service.rows(
                "SELECT channel::text, handed_off + confirmed AS done, pending FROM progress"
                " WHERE alert_id = $1",
                self.alert.alert_id,
            )
            counts = {row["channel"]: (row["done"], row["pending"]) for row in rows}
            done = sum(done for done, _ in counts.values())
            enough = done >= max(1, share * sum(done + left for done, left in counts.values()))
            begun = sum(done > 0 for done, _ in counts.values()) == len(CHANNELS)
            return counts if enough and begun else None

        counts: dict[str, tuple[int, int]] = await eventually(there, 40, f"{share:.0%} sent", 0.02)
        assert sum(left > 0 for _, left in counts.values()) >= channels, f"too late: {counts}"
        return ", ".join(f"{name} {done}/{done + left}" for name, (done, left) in counts.items())

    async def account(self, what: str, killed_senders: int) -> None:
        """Wait for the end, then hold the carriers' records against the frozen audience."""
        await self.service.settled(self.alert.alert_id, timeout=90)
        took = time.monotonic() - self.began
        assert await self.service.state(self.alert.alert_id) == "sent"
        states = await self.service.states(self.alert.alert_id)
        assert {state for found in states.values() for state in found} <= {
            "handed_off",
            "confirmed",
        }
        expected = await _reachable(self.service)
        received = self.service.received(self.alert, self.content)
        figures = []
        for channel in CHANNELS:
            wire = Counter(message.address for message in received[channel])
            assert set(wire) == expected[channel], f"{channel}: lost or wrong people"
            assert sum(states[channel].values()) == len(wire)
            twice = sum(wire.values()) - len(wire)
            figures.append(f"{channel} {len(wire)}, {twice} twice")
            assert twice <= killed_senders * WINDOW[channel], (channel, twice)
        print(f"\n{what}: {took:.1f} s; {'; '.join(figures)}")


async def _reachable(service: Service) -> dict[str, set[str]]:
    rows = await service.rows("SELECT endpoint_id FROM endpoint WHERE state = 'active'")
    found: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
    known = await service.addresses([row["endpoint_id"] for row in rows])
    for channel, address, _ in known.values():
        found[channel].add(address)
    return found


async def _begin(service: Service, where: str) -> Broadcast:
    async with service.pool.acquire() as conn:
        content = warning(await area_of(conn, "01"), where)
    alert = await service.broadcast(content)
    return Broadcast(service, alert, content, time.monotonic())


async def test_senders_killed_one_after_the_other(fragile: Fragile) -> None:
    service = fragile.service
    broadcast = await _begin(service, "người gửi bị ngắt")
    kills = []
    for share, channels, victim in ((0.05, 2, "send"), (0.3, 2, "send 2"), (0.55, 1, "send")):
        await service.running(victim)
        kills.append(await broadcast.mid_way(share, channels))
        service.kill(victim)
    await broadcast.account(f"senders killed at {'; '.join(kills)}", killed_senders=3)


async def test_clockwork_killed_while_it_writes_deliveries(fragile: Fragile) -> None:
    service = fragile.service
    broadcast = await _begin(service, "bộ định giờ bị ngắt")
    alert_id = broadcast.alert.alert_id
    async with service.pool.acquire() as conn:
        # A chunk waits for the alert's row before it is written: hold it, and the clockwork is
        # in the middle for as long as we like.
        await _until(lambda: _expanded(conn, alert_id))
        async with conn.transaction():
            await conn.execute("SELECT FROM alert WHERE alert_id = $1 FOR UPDATE", alert_id)
            through, whole = await _expanded(conn, alert_id) or (0, True)
            assert not whole, "killed too late"
            assert 0 <= through < await conn.fetchval("SELECT max(person_id) FROM person")
            service.kill("clock")
    written = await service.value("SELECT count(*) FROM delivery WHERE alert_id = $1", alert_id)
    await broadcast.account("clockwork killed mid-expansion", killed_senders=0)
    every_one = await service.value("SELECT count(*) FROM delivery WHERE alert_id = $1", alert_id)
    assert 0 < written < every_one


async def _expanded(conn: asyncpg.Connection, alert_id: int) -> tuple[int, bool] | None:
    """How far the expansion is, once its first chunk is written."""
    row = await conn.fetchrow(
        "SELECT expanded_through, expanded_at IS NOT NULL AS whole FROM audience_step"
        " WHERE alert_id = $1 AND expanded_through >= 0",
        alert_id,
    )
    return None if row is None else (row["expanded_through"], row["whole"])


async def _until(holds: Callable[[], Awaitable[object]]) -> None:
    await eventually(holds, 20, "the first chunk", every=0.001)


async def test_queue_dead_at_approval_then_lost_mid_way(fragile: Fragile) -> None:
    service, valkey = fragile.service, fragile.valkey
    valkey.kill()
    broadcast = await _begin(service, "hàng đợi mất")
    await broadcast.mid_way(0.1)
    assert not valkey.running, "it was sent without the queue"
    valkey.start()
    await broadcast.mid_way(0.3, 2)
    valkey.kill()
    await asyncio.sleep(0.5)
    valkey.start()
    await broadcast.account("queue dead at approval, back, lost again", killed_senders=0)
    assert await service.waker.wake("start"), "the queue takes wake-ups again"


async def test_database_killed_mid_way(fragile: Fragile) -> None:
    service, postgres = fragile.service, fragile.postgres
    broadcast = await _begin(service, "cơ sở dữ liệu bị ngắt")
    before = await broadcast.mid_way(0.2)
    senders = {name: service.supervisor.pid(name) for name in ("send", "send 2", "clock")}
    postgres.kill()
    with pytest.raises(db.AWAY):
        await asyncpg.connect(postgres.url, timeout=2)
    await asyncio.sleep(1.0)
    postgres.start()
    # Whoever holds outcomes writes them as soon as it can, and no lease is given away before every
    # holder had the time to be heard: nobody is told twice.
    await broadcast.account(f"database killed at {before}", killed_senders=0)
    alive = {name: service.supervisor.pid(name) for name in senders}
    assert alive == senders, "a process died of a restarting database"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_everything_killed_again_and_again(fragile: Fragile, seed: int) -> None:
    service, dice = fragile.service, random.Random(seed)
    broadcast = await _begin(service, f"mọi thứ bị ngắt {seed}")
    killed: Counter[str] = Counter()
    while sum(killed.values()) < 12:
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice(("send", "send 2", "clock", "intake", "valkey", "postgres"))
        if victim in ("valkey", "postgres"):
            server = fragile.valkey if victim == "valkey" else fragile.postgres
            server.kill()
            await asyncio.sleep(dice.uniform(0, 1.0))
            server.start()
        elif service.supervisor.pid(victim) is None:
            continue
        else:
            service.kill(victim)
        killed[victim] += 1
        if await service.state(broadcast.alert.alert_id) == "sent":
            break
    assert sum(killed.values()) >= 5, "it was over before it was tested"
    await broadcast.account(str(dict(killed)), killed["send"] + killed["send 2"])
