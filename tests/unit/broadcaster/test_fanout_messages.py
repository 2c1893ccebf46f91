"""Direct messages over the lab's own SMSC: sent once, with their receipts joined."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.demo.supervise import listens
from broadcaster.fanout import direct, receipts
from broadcaster.fanout.fleet import Carrier, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.messages import Courier
from broadcaster.keyring import Keyring
from channels.lab import smsc_store
from channels.limits_rules import RateLimit, Rule
from channels.sms import SmsChannel
from tests.builders import eventually
from tests.unit.broadcaster.sending import endpoints


@pytest.fixture
def smsc(lab_dir: Path, free_port: Callable[[], int]) -> Iterator[int]:
    """The port of the lab's SMSC."""
    port = free_port()
    command = [sys.executable, "-m", "channels.lab.smsc", "--dir", lab_dir, "--port", str(port)]
    process = subprocess.Popen(command)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture
async def sms(smsc: int) -> AsyncIterator[SmsChannel]:
    await eventually(lambda: listens("127.0.0.1", smsc), 60, "the SMSC listens")
    channel = SmsChannel(f"smpp://demo:demo@127.0.0.1:{smsc}", "HANOI")
    await channel.open()
    yield channel
    await channel.close()


@pytest.fixture
async def fleet(pool: Pool, sms: SmsChannel) -> AsyncIterator[Fleet]:
    limit = RateLimit((Rule(1_000, 1.0),))
    fleet = await Fleet.enlist(pool, None, "w", [Carrier(sms, "smpp", "demo", limit)])
    running = asyncio.create_task(fleet.run())
    yield fleet
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_code_is_sent_once_and_its_receipt_finds_it(
    pool: Pool, conn: Conn, keyring: Keyring, fleet: Fleet, lab_dir: Path
) -> None:
    [endpoint_id] = await endpoints(conn, keyring, "sms", 1)
    now = datetime.now(UTC)
    order = {
        "endpoint_id": endpoint_id,
        "channel": "sms",
        "purpose": "verification",
        "content": {"text": "Ma xac nhan: 123456"},
        "expires": now + timedelta(minutes=10),
        "dedupe_key": "code/1",
    }
    assert await direct.enqueue(conn, now, **order) is not None
    assert await direct.enqueue(conn, now, **order) is None
    courier = Courier(pool, keyring, fleet, Guard(pool), "sms")
    assert await courier.send_some() == 1
    assert await courier.send_some() == 0
    assert await conn.fetchval("SELECT state::text FROM direct_message") == "handed_off"
    with closing(smsc_store.open_store(lab_dir)) as handsets:
        async with asyncio.timeout(30):
            while not (found := smsc_store.handsets(handsets)):
                await asyncio.sleep(0.02)
    assert [phone.last_text for phone in found] == ["Ma xac nhan: 123456"]
    ref = await conn.fetchval("SELECT message_id FROM provider_ref")
    receipt = receipts.Receipt([ref], "confirmed", "", False, b"raw")
    await receipts.store(conn, keyring, now, [(fleet.accounts[0].provider_id, receipt)])
    assert await receipts.join(pool, now) == 1


async def test_a_message_past_its_end_stays_at_home(
    pool: Pool, conn: Conn, keyring: Keyring, fleet: Fleet
) -> None:
    [endpoint_id] = await endpoints(conn, keyring, "sms", 1)
    now = datetime.now(UTC)
    await direct.enqueue(
        conn, now, endpoint_id=endpoint_id, channel="sms", purpose="verification",
        content={"text": "x"}, expires=now - timedelta(seconds=1),
    )  # fmt: skip
    courier = Courier(pool, keyring, fleet, Guard(pool), "sms")
    assert await courier.send_some() == 0
    await direct.expire_due(conn)
    assert await conn.fetchval("SELECT state::text FROM direct_message") == "expired"


async def test_a_machine_whose_clock_is_wrong_sends_no_codes(
    pool: Pool, conn: Conn, keyring: Keyring, fleet: Fleet, lab_dir: Path
) -> None:
    [endpoint_id] = await endpoints(conn, keyring, "sms", 1)
    now, off = datetime.now(UTC), timedelta(hours=3)
    await direct.enqueue(
        conn, now, endpoint_id=endpoint_id, channel="sms", purpose="verification",
        content={"text": "x"}, expires=now + timedelta(minutes=10),
    )  # fmt: skip
    guard = Guard(pool, lambda: datetime.now(UTC) + off)
    await guard.check()
    courier = Courier(pool, keyring, fleet, guard, "sms")
    assert await courier.send_some() == 0
    assert await conn.fetchval("SELECT lease_until IS NULL FROM direct_message")
    off = timedelta(0)
    await guard.check()
    assert await courier.send_some() == 1
    assert await conn.fetchval("SELECT state::text FROM direct_message") == "handed_off"
