"""How soon the first message leaves, and an alert to a whole city, by the real processes.

The first hand-off is measured in a city of 1.5 million with carriers that are fast (handoff.py).
The demo's city is then written to as a whole, several times in fresh databases: the lab's carriers
keep every message they receive, so that is the service together with a careful listener.
"""

from __future__ import annotations

import argparse
import os
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from bench import handoff
from bench.report import Figure, Report
from broadcaster import embedded, settings
from broadcaster.demo import carriers, storm, summary
from broadcaster.demo.main import City, city
from broadcaster.people.selection import Selector
from broadcaster.processes import runner

_SETTLE = 300.0
_SINK = (
    "first hand-offs: bench/sinks (HTTPS/2, SMPP 3.4, SMTP); whole city: the lab's carriers"
    " (SMSC: 1,000 parts a second)"
)

Samples: TypeAlias = dict[str, list[float]]


def _resident_mb(pid: int) -> float:
    """Peak resident memory of a process in MB, as the kernel counts it."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"no VmHWM for {pid}")


async def _broadcast(running: City, selector: Selector) -> summary.Summary:
    async with running.pool.acquire() as conn:
        alert = await storm.write(conn, datetime.now(UTC), selector)
        await storm.approve(conn, datetime.now(UTC), alert)
    await running.waker.wake("start")
    settled = await summary.wait_settled(running.pool, alert.alert_id, _SETTLE)
    async with running.pool.acquire() as conn:
        result = await summary.summarise(conn, alert.alert_id, settled)
    if result.problems:
        raise RuntimeError(f"lost: {result.problems}")
    return result


async def _whole(people: int, runs: int) -> tuple[list[Figure], Samples]:
    samples: Samples = {"seconds": [], "first_handoff_s": [], "rss_mb": []}
    for _ in range(runs):
        with embedded.fresh_data_dir() as directory:
            port = carriers.free_port()
            base = settings.load({}, Path("/dev/null"), data_dir=directory, http_port=port)
            async with city(base, people) as running:
                result = await _broadcast(running, Selector())
                samples["seconds"].append(result.last_handoff_s or _SETTLE)
                samples["first_handoff_s"].append(result.first_handoff_s or _SETTLE)
                pid = running.supervisor.pid("worker send")
                if pid is not None:
                    samples["rss_mb"].append(_resident_mb(pid))
    middle = {name: round(statistics.median(values), 2) for name, values in samples.items()}
    return (
        [
            Figure("fanout.city_s", f"approval to the last hand-off, {people} people",
                   middle["seconds"], "s"),
            Figure("fanout.city_first_handoff_s", "approval to the first hand-off",
                   middle["first_handoff_s"], "s"),
            Figure("fanout.worker_rss_mb", "peak memory of the sending worker",
                   middle["rss_mb"], "MB"),
        ],
        samples,
    )  # fmt: skip


async def _first_handoffs(people: int, alerts: int) -> tuple[list[Figure], Samples]:
    found = await handoff.measure(people, alerts)
    shares = {name: statistics.median(values) for name, values in found.shares.items() if values}
    figures = [
        Figure("fanout.first_handoff_idle_p95_s",
               f"approval to the first message on the wire, {people} people,"
               f" p95 of {len(found.idle_s)}",
               round(handoff.p95(found.idle_s), 3), "s", 1.0),
        Figure("fanout.first_handoff_behind_bulk_p95_s",
               f"the same while a bulk to all of them is going out, p95 of {len(found.behind_s)}",
               round(handoff.p95(found.behind_s), 3), "s", 2.0),
        Figure("fanout.emergency_share",
               "an emergency's share of the messages on the wire beside the bulk, worst channel",
               round(min(shares.values()), 3), "", 0.9, at_most=False),
        *(Figure(f"fanout.emergency_share_{name}", f"the same on {name}", round(share, 3), "",
                 0.9, at_most=False) for name, share in shares.items()),
    ]  # fmt: skip
    if found.rates:
        figures += _cost(found.rates)
    return figures, {
        "first_handoff_idle_s": found.idle_s,
        "first_handoff_behind_bulk_s": found.behind_s,
        "push_per_s_by_workers": [rate.pushes for rate in found.rates],
        "message_per_s_by_workers": [rate.messages for rate in found.rates],
        **{f"emergency_share_{channel}": values for channel, values in found.shares.items()},
    }


def _cost(rates: list[handoff.Rate]) -> list[Figure]:
    one = rates[0]
    figures = [
        Figure("fanout.database_us_per_message",
               "PostgreSQL's processor time for a message of a bulk on three channels",
               round(one.database_us, 1), "µs"),
        Figure("fanout.wal_bytes_per_message", "its write-ahead log for the same",
               round(one.wal_bytes), "bytes"),
    ]  # fmt: skip
    if len(rates) > 1 and one.messages:
        figures.append(
            Figure("fanout.two_workers_ratio",
                   f"messages a second by two workers to those by one, {os.cpu_count()} cores for"
                   " workers, database and carriers together",
                   round(rates[1].messages / one.messages, 2), "")
        )  # fmt: skip
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench fanout", description=__doc__)
    parser.add_argument("--people", type=int, default=20_000, help="of the demo's city")
    parser.add_argument("--runs", type=int, default=3, help="alerts to the demo's city")
    parser.add_argument("--million", type=int, default=handoff.PEOPLE, help="people of the large")
    parser.add_argument("--alerts", type=int, default=handoff.RUNS, help="alerts to the large city")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("warning")

    async def measure(_: object) -> None:
        handoffs, times = await _first_handoffs(given.million, given.alerts)
        whole, samples = await _whole(given.people, given.runs)
        Report("fanout", [*handoffs, *whole], given.million, _SINK, samples=times | samples).show()

    runner.run(measure)


if __name__ == "__main__":
    main()
