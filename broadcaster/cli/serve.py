"""demo, web: what runs for long. Workers start lighter, by `worker.py`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from broadcaster import settings
from broadcaster.cli import values
from broadcaster.cli.context import opened
from broadcaster.demo import main as demo
from broadcaster.processes import runner
from broadcaster.web import site

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
