"""SMS from the wire and back: submitted over SMPP, reported, stored, joined, by real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import providers, receipts
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.progress import progress
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from broadcaster.processes.intake import Listener
from channels.base import Batch, Outcome, Recipient, Result, Unlimited
from channels.lab.smsc import open_store
from channels.lab.store import configure
from channels.sms import SmsChannel, SmsContent
from channels.sms_inbox import SmsInbox
from tests.builders import eventually
from tests.unit.broadcaster.sending import TABLE, Sending, author, sending
from tests.unit.channels.sms.lab import Lab, until

LONG = "Nước sông Hồng lên nhanh, người dân ngoài đê di chuyển ngay tới điểm sơ tán gần nhất. " * 2


@asynccontextmanager
async def smsc(directory: Path, **settings: float) -> AsyncIterator[Lab]:
    lab = Lab(directory, open_store(directory))
    configure(lab.conn, receipt_delay_ms=0, redeliver_ms=50, **settings)
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()
        lab.conn.close()


def batch(made: Sending, text: str) -> Batch[SmsContent]:
    people = [Recipient(one, TABLE["sms"].format(one), "vi") for one in made.endpoint_ids]
    expires = datetime.now(UTC) + timedelta(hours=1)
    return Batch({"vi": SmsContent(text)}, people, expires, urgent=True)


async def book(pool: Pool, provider_id: int, alert_id: int, group: list[Outcome]) -> None:
    """Commit what a group of outcomes commits."""
    now = datetime.now(UTC)
    async with pool.acquire() as conn, conn.transaction():
        ids = {one.ref: one.provider_ids for one in group}
        await receipts.keep_refs(conn, now, "sms", provider_id, alert_id, ids)
        states = {Result.ACCEPTED: "handed_off", Result.PERMANENT: "failed"}
        some = [Move(o.ref, states.get(o.result), o.reason, tries=1) for o in group]
        await move(conn, now, alert_id, some)


async def join_all(pool: Pool, provider_id: int) -> None:
    async with asyncio.timeout(30):
        while True:
            await receipts.join(pool, datetime.now(UTC))
            async with pool.acquire() as conn:
                standing = await receipts.standing(conn)
            if not sum(one.waiting for one in standing):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_two_parts_with_receipts_before_their_outcomes(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path, count: int
) -> None:
    made = await sending(
        conn, keyring, await author(conn), code="A", channel="sms", count=count, batch=500
    )
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    waker = Waker("redis://127.0.0.1:1")
    async with smsc(tmp_path, undeliverable_rate=0.1, decimal_receipts=1) as lab:
        url = f"{lab.url}?ids=decimal"
        store = Listener(pool, keyring, waker).pdu_store(provider_id, url)
        channel, inbox = SmsChannel(url, "HANOI"), SmsInbox(url, store)
        await channel.open()
        await inbox.open()
        await inbox.bound(30)
        early = False
        async for group in channel.send(batch(made, LONG), lambda: True, Unlimited()):
            if not early:
                # The receipts of the first group are here before their references.
                await eventually(
                    lambda: conn.fetchval("SELECT EXISTS (SELECT FROM receipt_raw)"),
                    30, "a receipt before its reference",
                )  # fmt: skip
                early = True
            await book(pool, provider_id, made.alert_id, group)
            await receipts.join(pool, datetime.now(UTC))
        parts = [TABLE["sms"].format(one) for one in made.endpoint_ids]
        await until(
            lambda: {row["receipt"] for row in lab.rows("part", parts)} == {"acknowledged"}, 60
        )
        await join_all(pool, provider_id)
        gone = {row["number"] for row in lab.rows("part", parts) if row["state"] == "UNDELIV"}
        await channel.close()
        await inbox.close()
    [now] = await progress(conn, made.alert_id)
    assert gone
    assert (now.confirmed, now.failed, now.total) == (count - len(gone), len(gone), count)
    assert await conn.fetchval("SELECT count(*) FROM receipt_raw") >= 2 * count
    assert [one.unknown for one in await receipts.standing(conn)] in ([], [0])


async def test_the_database_away_for_a_moment_costs_no_receipt(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, tmp_path: Path
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", channel="sms", count=50)
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    async with smsc(tmp_path) as lab:
        listener = Listener(pool, keyring, Waker("redis://127.0.0.1:1"))
        store = listener.pdu_store(provider_id, lab.url)
        channel, inbox = SmsChannel(lab.url, "HANOI"), SmsInbox(lab.url, store)
        await channel.open()
        await inbox.open()
        await inbox.bound(30)
        blocked = conn.transaction()
        await blocked.start()
        await conn.execute("LOCK TABLE receipt_raw")
        async for group in channel.send(batch(made, "Ngap"), lambda: True, Unlimited()):
            await book(pool, provider_id, made.alert_id, group)
        numbers = [TABLE["sms"].format(one) for one in made.endpoint_ids]
        await asyncio.sleep(0.3)
        assert {row["receipt"] for row in lab.rows("part", numbers)} == {"due"}
        # The writers' connections break under them, as when a server restarts.
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        await blocked.rollback()
        await until(
            lambda: {row["receipt"] for row in lab.rows("part", numbers)} == {"acknowledged"}, 10
        )
        await join_all(pool, provider_id)
        await channel.close()
        await inbox.close()
    [count] = await progress(conn, made.alert_id)
    assert (count.confirmed, count.total) == (50, 50)
