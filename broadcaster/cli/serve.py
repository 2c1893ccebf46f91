"""demo, web, worker: what runs for long."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from broadcaster import settings
from broadcaster.cli import values
from broadcaster.cli.context import opened
from broadcaster.demo import main as demo
from broadcaster.processes import clock, intake, runner, sender
from broadcaster.web import site

LANES = {"emergency": 0, "warning": 1, "routine": 2}

Commands = Any


def add_to(commands: Commands) -> None:
    """Add the commands of this file."""
    cmd = commands.add_parser("demo", help="everything on this machine, with carriers of its own")
    cmd.add_argument(
        "--people",
        type=values.positive,
        default=20_000,
        metavar="N",
        help="residents to seed (default: 20000)",
    )
    cmd.add_argument(
        "--exit",
        action="store_true",
        dest="leave",
        help="fresh database and settings of its own, one alert, a summary,"
        " exit 0 when nothing is lost",
    )
    cmd.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="with --exit: one line of JSON on standard output",
    )
    cmd.add_argument("--port", type=int, metavar="P", help="port of the console")
    cmd.set_defaults(run=_demo)

    cmd = commands.add_parser("web", help="the console, the public pages and the API")
    cmd.add_argument("--lab", type=Path, metavar="DIR", help="show the lab's phones from DIR")
    cmd.set_defaults(run=_web)

    cmd = commands.add_parser("worker", help="send, run the clockwork, take what comes in")
    cmd.add_argument("--role", choices=("all", "send", "clock", "intake"), default="all")
    cmd.add_argument(
        "--lanes",
        type=_lanes,
        default=tuple(LANES.values()),
        metavar="LANES",
        help="lanes to send, comma-separated: emergency, warning, routine",
    )
    cmd.set_defaults(run=_worker)  # fmt: skip


def _lanes(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({LANES[name.strip()] for name in text.split(",")}))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"no lane {error}; lanes are {', '.join(LANES)}") from None


def _demo(given: argparse.Namespace) -> int:
    runner.set_up_logging("warning")
    options = demo.Options(given.people, given.leave, given.as_json, given.port)
    return runner.run(lambda stopping: demo.run(options, stopping))


def _web(given: argparse.Namespace) -> int:
    base = settings.load()
    runner.set_up_logging(base.log_level.value)

    async def main(stopping: asyncio.Event) -> None:
        async with opened(base) as context:
            await site.serve(base, context.pool, context.redis_url, given.lab, stopping)

    return runner.run(main)


def _worker(given: argparse.Namespace) -> int:
    base = settings.load()
    runner.set_up_logging(base.log_level.value)

    async def main(stopping: asyncio.Event) -> None:
        async with opened(base) as context:
            urls = context.database_url, context.redis_url
            parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                "send": lambda: sender.run(base, *urls, stopping, given.lanes),
                "clock": lambda: clock.run(base, *urls, stopping),
                "intake": lambda: intake.run(base, *urls, stopping),
            }
            chosen = parts.values() if given.role == "all" else [parts[given.role]]
            async with asyncio.TaskGroup() as group:
                for part in chosen:
                    group.create_task(part())

    return runner.run(main)
