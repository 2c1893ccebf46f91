"""A carrier as a process: its arguments, its loop, its end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench.sinks.faults import Control, Sink

_PRIORITY = -5
"""A carrier that waits for a core would be seen as messages that came in heaps."""


def parser(description: str) -> argparse.ArgumentParser:
    """Return what every carrier is told."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--dir", type=Path, required=True)
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--control", type=int, required=True, help="port of the HTTP control")
    return made


def run(make: Callable[[], Sink], given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    with contextlib.suppress(PermissionError):
        os.nice(_PRIORITY)
    # Millions of small lasting objects: looking through them again and again finds nothing.
    gc.disable()
    uvloop.run(_serve(make, given.control))


async def _serve(make: Callable[[], Sink], control: int) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    sink = make()
    await sink.open()
    await Control(sink).open(control)
    await over.wait()
    sink.shut()
