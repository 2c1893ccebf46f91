"""worker: sends, runs the clockwork, takes what comes in; one role in a process, or all three.

A role's module is loaded when the role is chosen: the geometry, the console and the readers of
replies would make a sender half as large again, and there may be many of them.
"""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module
from typing import Any

from broadcaster import settings
from broadcaster.cli.called import called
from broadcaster.cli.context import opened
from broadcaster.processes import runner

LANES = {"emergency": 0, "warning": 1, "routine": 2}
_ROLES = {
    "send": "broadcaster.processes.sender",
    "clock": "broadcaster.processes.clock",
    "intake": "broadcaster.processes.intake",
}

Commands = Any


def add_to(commands: Commands) -> None:
    """Add the command of this file."""
    cmd = commands.add_parser("worker", help="send, run the clockwork, take what comes in")
    cmd.add_argument("--role", choices=("all", *_ROLES), default="all")
    cmd.add_argument(
        "--lanes",
        type=_lanes,
        metavar="LANES",
        help="lanes to send, comma-separated: emergency, warning, routine; for a role that sends",
    )
    cmd.set_defaults(run=_worker, usage=cmd.error)


def main() -> int:
    """Read a command line that begins with `worker`, without loading the other commands."""
    top = argparse.ArgumentParser(prog="run.py", allow_abbrev=False)
    add_to(top.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return called(top.parse_args())


def _lanes(text: str) -> tuple[int, ...]:
    try:
        lanes = [LANES[name.strip()] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"no lane {error}; lanes are {', '.join(LANES)}") from None
    if len(set(lanes)) < len(lanes):
        raise argparse.ArgumentTypeError(f"{text} names a lane twice; name each once")
    return tuple(sorted(lanes))


def _worker(given: argparse.Namespace) -> int:
    if given.lanes is not None and given.role not in ("all", "send"):
        given.usage(f"--lanes is for sending; role {given.role} has no lanes: leave it out")
    lanes = given.lanes or tuple(LANES.values())
    base = settings.load()
    runner.set_up_logging(base.log_level.value)
    roles = _ROLES if given.role == "all" else (given.role,)
    parts = {role: import_module(_ROLES[role]) for role in roles}

    async def main(stopping: asyncio.Event) -> None:
        async with opened(base) as context, asyncio.TaskGroup() as group:
            urls = context.database_url, context.redis_url
            for role, part in parts.items():
                more = (lanes,) if role == "send" else ()
                group.create_task(part.run(base, *urls, stopping, *more))

    return runner.run(main)
