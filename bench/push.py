"""Push end to end: rows claimed, proven and decrypted, sent over HTTPS/2, outcomes durable.

Our process has one core; PostgreSQL and the canned server share the other, and the peers stand
where we stood: firebase-admin's two senders, and h2load for what the server can take at all.
Memory is that of a worker of its own with the whole city before it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import canned, push_memory
from bench.canned import Canned
from bench.outbox import Cores, Took, outbox
from bench.report import Figure, Peer, Report
from broadcaster.embedded import fresh_data_dir
from broadcaster.processes import runner
from channels.base import Batch, Recipient, Unlimited
from channels.lab import certs
from channels.push import PushChannel, PushContent

CITY = 1_500_000
_OVER = "SELECT pending = 0 FROM progress WHERE alert_id = $1"
_BATCH = 1_000
_AT_ONCE = 2
"""Batches under way together, as in a worker."""
_PEER_COUNT = 2_000
_H2LOAD_COUNT = 100_000
_WORDS = PushContent(
    "Bão số 3: ở trong nhà từ 18 giờ",
    "Tránh xa cửa kính. Cắt điện tầng trệt nếu nước dâng. Gọi 112 khi cần cứu giúp.",
    {"code": "HN-2026-0905-001", "kind": "alert", "class": "warning", "lang": "vi"},
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything of one run, in messages a second unless said otherwise."""

    end_to_end: list[Took]
    alone: list[float]
    h2load: list[float]
    each: float
    each_async: float
    memory: list[float]
    """Resident megabytes of a worker, every few seconds; empty when not asked for."""


def _address(number: int) -> str:
    return f"fid:f{number:021d}"


def _channel(server: Canned) -> PushChannel:
    return PushChannel(server.url, server.files.credentials, server.files.ca)


async def _end_to_end(cores: Cores, server: Canned, count: int, runs: int) -> list[Took]:
    channel = _channel(server)
    await channel.open()
    took = []
    try:
        async with outbox(cores) as box:
            provider_id = await box.provider("push", "fcm")
            for number in range(runs + 1):
                alert_id = await box.alert("push", count if number else 5_000, _address)
                took.append(await box.send(channel, provider_id, alert_id, _OVER))
    finally:
        await channel.close()
    return took[1:]


async def _alone(server: Canned, count: int) -> float:
    """Send without a database; returns messages a second."""
    channel = _channel(server)
    await channel.open()
    recipients = [Recipient(number, _address(number), "vi0") for number in range(_BATCH)]

    async def some(batches: int) -> None:
        for _ in range(batches):
            ends = datetime.now(UTC) + timedelta(hours=1)
            batch = Batch({"vi0": _WORDS}, recipients, ends, urgent=True, tag="1", sequence=1)
            accepted = 0
            async for group in channel.send(batch, lambda: True, Unlimited()):
                accepted += sum(outcome.result == "accepted" for outcome in group)
            if accepted != len(recipients):
                raise RuntimeError(f"{accepted} of {len(recipients)} were accepted")

    await some(2)
    each = max(1, count // _BATCH // _AT_ONCE)
    start = time.perf_counter()
    await asyncio.gather(*(some(each) for _ in range(_AT_ONCE)))
    seconds = time.perf_counter() - start
    await channel.close()
    return each * _AT_ONCE * _BATCH / seconds


def _h2load(server: Canned, cores: Cores, directory: Path) -> float | None:
    """Return the requests a second the server takes from nghttp2's h2load; None without it."""
    program = shutil.which("h2load")
    if program is None:
        return None
    body = directory / "message.json"
    # As long as one of our messages.
    body.write_bytes(b"x" * 800)
    command = [program, "-n", str(_H2LOAD_COUNT), "-c", "1", "-m", "100", "-d", str(body)]
    command += ["-H", "content-type: application/json", "-H", "authorization: Bearer canned"]
    command += [f"{server.url}/v1/projects/{certs.PROJECT}/messages:send"]
    with _on(cores.ours):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"([\d.]+) req/s", done.stdout)
    if found is None or f"{_H2LOAD_COUNT} succeeded" not in done.stdout:
        raise RuntimeError(f"h2load says: {done.stdout[-500:]}")
    return float(found[1])


def _firebase(server: Canned, cores: Cores) -> tuple[float, float]:
    """Return messages a second of send_each and send_each_async."""
    command = [sys.executable, "-m", "bench.push_peers", server.url]
    command += [str(server.files.credentials), str(_PEER_COUNT)]
    ca = str(server.files.ca)
    environ = os.environ | {"REQUESTS_CA_BUNDLE": ca, "SSL_CERT_FILE": ca}
    with _on(cores.ours):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environ)
    rates = json.loads(done.stdout)
    return rates["send_each"], rates["send_each_async"]


@contextmanager
def _on(cpus: set[int]) -> Iterator[None]:
    """Start programs inside on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _measure(count: int, runs: int, people: int) -> tuple[Measured, str]:
    cores = Cores.share()
    with fresh_data_dir() as directory, canned.serving(directory, cores.servers) as server:
        os.sched_setaffinity(0, cores.ours)
        alone, h2load = [], []
        for _ in range(runs):
            alone.append(await _alone(server, count))
            if (rate := _h2load(server, cores, directory)) is not None:
                h2load.append(rate)
        each, each_async = _firebase(server, cores)
        took = await _end_to_end(cores, server, count, runs)
        memory = await push_memory.measure(cores, server, people, _address) if people else []
        return Measured(took, alone, h2load, each, each_async, memory), server.what


def _report(measured: Measured, what: str, count: int, people: int) -> Report:
    rates = [count / took.seconds for took in measured.end_to_end]
    rate, alone = statistics.median(rates), statistics.median(measured.alone)
    cpu = [took.cpu / count * 1e6 for took in measured.end_to_end]
    figures = [
        Figure("push.end_to_end_per_s", "pushes a second, rows to durable outcomes, one core",
               round(rate), "1/s", 15_000, at_most=False),
        Figure("push.cpu_us", "our process on its core for one push, end to end",
               round(statistics.median(cpu), 1), "µs", 66),
        Figure("push.ratio_send_each_async", "end to end against firebase-admin's async sender",
               round(rate / measured.each_async, 1), "times", 30, at_most=False),
        Figure("push.ratio_send_each", "end to end against firebase-admin's threads",
               round(rate / measured.each, 1), "times", 15, at_most=False),
    ]  # fmt: skip
    peers = [
        Peer("firebase_admin send_each_async", round(measured.each_async), "1/s",
             round(rate / measured.each_async, 1)),
        Peer("firebase_admin send_each", round(measured.each), "1/s",
             round(rate / measured.each, 1)),
    ]  # fmt: skip
    if measured.h2load:
        most = statistics.median(measured.h2load)
        figures.append(
            Figure("push.ratio_h2load", "sending alone against h2load on the same server",
                   round(alone / most, 2), "times", 0.25, at_most=False)
        )  # fmt: skip
        peers.append(Peer("h2load", round(most), "1/s", round(alone / most, 2)))
    if measured.memory:
        figures.append(
            Figure("push.rss_mb", f"peak memory of a worker with {people} recipients before it",
                   round(max(measured.memory), 1), "MB", 150)
        )  # fmt: skip
    samples = {
        "end_to_end_per_s": rates, "cpu_us": cpu, "alone_per_s": measured.alone,
        "h2load_per_s": measured.h2load, "rss_mb": measured.memory,
    }  # fmt: skip
    return Report("push", figures, count, what, peers, samples)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench push", description=__doc__)
    parser.add_argument("--count", type=int, default=60_000, help="pushes a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--people", type=int, default=CITY, help="recipients; 0: no memory")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("warning")

    async def measure(_: object) -> None:
        measured, what = await _measure(given.count, given.runs, given.people)
        _report(measured, what, given.count, given.people).show()

    runner.run(measure)


if __name__ == "__main__":
    main()
