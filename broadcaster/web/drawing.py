"""Geometry works in threads of its own, few of them, with a short queue before them.

A heavy area holds up neither the event loop nor whoever asks about something else: when the queue
is full, the next one is told so at once. Only the work is timed, never the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from broadcaster.errors import Refused

THREADS = 2
WAITING = 16
"""How many may wait: each of the worst areas within the limits takes two seconds."""
Answer = TypeVar("Answer")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="area")
_under_way = 0


class Busy(Refused):
    """All threads work and enough others wait."""

    seconds = 5

    def __init__(self) -> None:
        super().__init__(
            "busy",
            "Hệ thống đang bận tính các vùng khác. Thử lại sau vài giây.",
            "The service is busy with other areas. Try again in a few seconds.",
        )


async def drawn(longest: float, function: Callable[..., Answer], *arguments: object) -> Answer:
    """Run a function in a thread of geometry; raises Busy, or TimeoutError after `longest` s.

    What takes too long runs on and keeps its thread: nothing can end it.
    """
    global _under_way
    if _under_way >= THREADS + WAITING:
        raise Busy
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[None] = loop.create_future()

    def work() -> Answer:
        loop.call_soon_threadsafe(_begin, begun)
        return function(*arguments)

    _under_way += 1
    running = loop.run_in_executor(_threads, work)
    running.add_done_callback(_end)
    await asyncio.wait((running, begun), return_when=asyncio.FIRST_COMPLETED)
    return await asyncio.wait_for(asyncio.shield(running), longest)


def _begin(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)


def _end(running: asyncio.Future[Answer]) -> None:
    global _under_way
    _under_way -= 1
    if not running.cancelled():
        # Whoever asked may have gone; what it raised is then nobody's news.
        running.exception()
