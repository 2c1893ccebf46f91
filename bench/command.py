"""The command line of the benches that send many messages through one channel."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from bench.report import Report
from broadcaster.processes import runner

COUNT = 20_000
RUNS = 3


def main(
    bench: str,
    about: str | None,
    noun: str,
    measure: Callable[[int, int], Coroutine[Any, Any, Report]],
) -> None:
    """Measure with the number of messages (`--<noun>`) and runs asked for, and print."""
    parser = argparse.ArgumentParser(prog=f"bench {bench}", description=about)
    parser.add_argument(f"--{noun}", dest="count", type=int, default=COUNT)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("warning")

    async def measured(stopping: asyncio.Event) -> int:
        report = await runner.unless(stopping, measure(given.count, given.runs))
        if report is None:
            return runner.INTERRUPTED
        report.show()
        return 0

    sys.exit(runner.run(measured))
