"""SMS end to end: rows claimed, decrypted, submitted over one bind, outcomes durable.

For each message one receipt is stored durably before it is acknowledged.
Our process sends and takes receipts, on one core; PostgreSQL and the SMSC share the other. The
peers speak to the same SMSC in the same run: smpplib on a transceiver bind with the same window,
once acknowledging its receipts and storing nothing, once storing what it must.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import command, sms_peers
from bench.outbox import Carrier, Cores, Outbox, Took, carrier, outbox
from bench.report import Figure, Peer, Report
from broadcaster.fanout import receipts
from broadcaster.jobs import Waker
from broadcaster.processes.intake import Listener
from channels.base import Batch, Recipient, Unlimited
from channels.sms import SmsChannel, SmsContent
from channels.sms_inbox import SmsInbox

_WINDOW = 50
_TEXT = "Bao so 3 do bo luc 19 gio, gio giat cap 14. O yen trong nha kien co."
_NOBODY = "redis://127.0.0.1:1"
"""Receipts wake nobody, so nobody need be there."""
# Every part handed off, and a receipt stored for each of their references.
_OVER = """
SELECT CASE WHEN (SELECT pending FROM progress WHERE alert_id = $1) > 0 THEN false
    ELSE (SELECT count(*) FROM receipt_raw) >= (SELECT count(*) FROM provider_ref) END
"""


def _number(number: int) -> str:
    return f"+8490{number:07}"


def _url(smsc: Carrier, account: str) -> str:
    return f"smpp://{account}:volume@127.0.0.1:{smsc.port}?ids=same"


@asynccontextmanager
async def _receiving(box: Outbox, url: str, provider_id: int) -> AsyncIterator[None]:
    """Take what the SMSC reports, as the intake does."""
    waker = Waker(_NOBODY)
    inbox = SmsInbox(url, Listener(box.pool, box.keyring, waker).pdu_store(provider_id, url))
    await inbox.open()
    await inbox.bound(10)
    try:
        yield
    finally:
        await inbox.close()
        await waker.close()


async def _end_to_end(
    box: Outbox, smsc: Carrier, count: int, runs: int
) -> tuple[list[Took], list[float], int]:
    """Send alerts; returns what each took, receipts joined a second, and parts a message."""
    channel = SmsChannel(_url(smsc, "bench"), "HANOI", _WINDOW)
    await channel.open()
    took, joined = [], []
    try:
        provider_id = await box.provider("sms", "smpp")
        async with _receiving(box, _url(smsc, "bench"), provider_id):
            for number in range(runs + 1):
                size = count if number else min(2_000, count)
                alert_id = await box.alert("sms", size, _number)
                took.append(await box.send(channel, provider_id, alert_id, _OVER))
                joined.append(await _join(box, alert_id))
        parts = await box.pool.fetchval("SELECT max(parts) FROM provider_ref")
    finally:
        await channel.close()
    return took[1:], joined[1:], parts


async def _join(box: Outbox, alert_id: int) -> float:
    """Join what is stored; receipts a second. Raises RuntimeError when a delivery is not told."""
    start, total = time.perf_counter(), 0
    while some := await receipts.join(box.pool, datetime.now(UTC)):
        total += some
    seconds = time.perf_counter() - start
    open_ones = await box.pool.fetchval(
        "SELECT count(*) FROM delivery WHERE alert_id = $1 AND state <> 'confirmed'", alert_id
    )
    if open_ones:
        raise RuntimeError(f"{open_ones} deliveries were not confirmed")
    return total / seconds


async def _alone(smsc: Carrier, count: int) -> tuple[float, float]:
    """Submit without a database: messages a second, and the SMSC's seconds on its core for each."""
    channel = SmsChannel(_url(smsc, "alone"), "HANOI", _WINDOW)
    await channel.open()
    batch = Batch(
        {"vi": SmsContent(_TEXT)},
        [Recipient(n, _number(n), "vi") for n in range(count)],
        datetime.now(UTC) + timedelta(hours=1),
        urgent=True,
    )
    busy, start, taken = smsc.cpu, time.perf_counter(), 0
    async for group in channel.send(batch, lambda: True, Unlimited()):
        taken += len(group)
    seconds = time.perf_counter() - start
    await channel.close()
    if taken != count:
        raise RuntimeError(f"{taken} messages of {count} have an outcome")
    return count / seconds, (smsc.cpu - busy) / count


def _peers(port: int, url: str, count: int) -> tuple[float, float]:
    """Messages a second by smpplib storing nothing, and storing each answer and each receipt."""
    numbers = [_number(number) for number in range(max(500, count // 8))]
    bare = sms_peers.submit(port, _WINDOW, _TEXT, numbers)
    with sms_peers.Storing(url) as store:
        return bare, sms_peers.submit(port, _WINDOW, _TEXT, numbers, store.keep)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Of all runs; rates in messages a second."""

    took: list[Took]
    joined: list[float]
    parts: int
    alone: float
    carrier_s: float
    """The SMSC's seconds on its core for one message and its receipt."""
    forgetting: float
    storing: float


async def _measure(count: int, runs: int) -> Report:
    cores = Cores.share()
    with carrier("smsc", cores) as smsc:
        alone, busy = await _alone(smsc, count)
        async with outbox(cores) as box:
            forgetting, storing = await asyncio.to_thread(_peers, smsc.port, box.url, count)
            found = await _end_to_end(box, smsc, count, runs)
    return _report(count, _Measured(*found, alone, busy, forgetting, storing))


def _report(count: int, found: _Measured) -> Report:
    rates = [count / one.seconds for one in found.took]
    rate, busy = statistics.median(rates), found.carrier_s
    cpu = [one.cpu / count * 1e6 for one in found.took]
    peers = (("nothing stored", found.forgetting), ("answers and receipts stored", found.storing))
    return Report(
        bench="sms",
        figures=[
            Figure("sms.end_to_end_per_s", "messages a second a bind, each with a receipt stored",
                   round(rate), "1/s", 3_000, at_most=False),
            Figure("sms.ratio_smpplib", "times smpplib that stores nothing, same SMSC and window",
                   round(rate / found.forgetting, 2), "x", 2, at_most=False),
            Figure("sms.ratio_smpplib_storing", "times smpplib that stores what it must",
                   round(rate / found.storing, 1), "x"),
            Figure("sms.cpu_us", "our processor time a message and its receipt",
                   round(statistics.median(cpu)), "µs"),
            Figure("sms.joined_per_s", "receipts joined to their deliveries a second",
                   round(statistics.median(found.joined)), "1/s", 5_000, at_most=False),
            Figure("sms.parts", "parts of the message sent", found.parts, ""),
            Figure("sms.sending_alone_per_s", "without a database and receipts",
                   round(found.alone), "1/s"),
        ],
        peers=[Peer(f"smpplib, window {_WINDOW}, {what}", round(peer), "1/s",
                    round(rate / peer, 2)) for what, peer in peers],
        n=count,
        sink=f"bench/sinks/smsc.py on the other core: {busy * 1e6:.0f} µs a message with its"
             f" receipt, so at most {1 / busy if busy else 0:.0f} a second by itself",
        samples={"end_to_end_per_s": rates, "cpu_us": cpu, "joined_per_s": found.joined},
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    command.main("sms", __doc__, "messages", _measure)


if __name__ == "__main__":
    main()
