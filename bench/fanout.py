"""One alert to a whole city on three channels, by the processes that would send it for real.

Runs the demo's city several times in fresh databases and takes medians. The lab's carriers keep
every message they receive, so this measures the service together with a careful listener.
"""

from __future__ import annotations

import argparse
import statistics
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Figure, Report
from broadcaster import embedded, settings
from broadcaster.demo import carriers, storm, summary
from broadcaster.demo.main import City, city
from broadcaster.people.selection import Selector
from broadcaster.processes import runner

_SETTLE = 300.0


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


async def _measure(people: int, runs: int) -> Report:
    samples: dict[str, list[float]] = {"seconds": [], "first_handoff_s": [], "rss_mb": []}
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
    return Report(
        bench="fanout",
        figures=[
            Figure("fanout.city_s", f"approval to the last hand-off, {people} people",
                   middle["seconds"], "s"),
            Figure("fanout.city_first_handoff_s", "approval to the first hand-off",
                   middle["first_handoff_s"], "s"),
            Figure("fanout.worker_rss_mb", "peak memory of the sending worker",
                   middle["rss_mb"], "MB"),
        ],
        n=people,
        sink="lab: FCM over HTTPS/2, SMSC over SMPP 3.4 (1,000 parts a second), SMTP",
        samples=samples,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench fanout", description=__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("warning")

    async def measure(_: object) -> None:
        (await _measure(given.people, given.runs)).show()

    runner.run(measure)


if __name__ == "__main__":
    main()
