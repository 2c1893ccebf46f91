"""Starts a process's coroutine: event loop, logging, signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
import uvloop

INTERRUPTED = 130
"""Exit status of what a signal ended before it was done."""

Result = TypeVar("Result")


def set_up_logging(level: str, *, colours: bool | None = None) -> None:
    """Structured lines on standard error: standard output belongs to what was asked for."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() if colours is None else colours
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # Both write a line for every request or job: noise at this service's rates.
    for noisy in ("aiohttp.access", "arq.worker", "mail.log"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, int | None]]) -> int:
    """Run a coroutine with an event that SIGTERM and SIGINT set; returns its exit status."""

    async def with_signals() -> int:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        return await main(stopping) or 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(with_signals())


async def unless(stopping: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Do the work; when `stopping` is set first, cancel it, wait for its end and give None."""
    doing = asyncio.create_task(work)
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not doing.done():
            doing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await doing
    return None if doing.cancelled() else doing.result()


def run_to_end(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a coroutine that ends by itself; a signal cancels it."""

    async def main(stopping: asyncio.Event) -> int:
        status = await unless(stopping, work())
        return INTERRUPTED if status is None else status

    return run(main)
