"""exercises: who takes part in exercises, and the sessions in which alerts begin as exercises."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.alerts import exercise_sessions
from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.people import exercise_import, exercise_recipients
from broadcaster.people.officials import find_actor
from broadcaster.terminal import say


def add_to(commands: Any) -> None:
    """Add the command and what it can do."""
    cmd = commands.add_parser("exercises", help="who takes part in exercises, and sessions")
    does = cmd.add_subparsers(dest="does", required=True, metavar="WHAT")
    _acting(does, "list", "everybody on the lists you keep, addresses masked", _list).add_argument(
        "--removed", action="store_true", help="those who left, with the reason"
    )
    one = _acting(does, "import", "enrol from a CSV file", _import)
    one.add_argument("file", type=Path, help=", ".join(exercise_import.COLUMNS))
    one = _acting(does, "remove", "take an address off its list, at once", _remove)
    one.add_argument("number", type=int, help="as `exercises list` gives it")
    one.add_argument("--reason", required=True, help="kept with the entry")
    _acting(does, "sessions", "sessions of your units, the newest first", _sessions)


def _acting(does: Any, name: str, about: str, run: Any) -> argparse.ArgumentParser:
    cmd: argparse.ArgumentParser = does.add_parser(name, help=about)
    cmd.add_argument(
        "--as", required=True, dest="keeper", metavar="LOGIN", help="an official who keeps lists"
    )
    cmd.set_defaults(run=with_context(run))
    return cmd


async def _list(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        keeper = await find_actor(conn, given.keeper)
        found = await exercise_recipients.listing(
            conn, context.keyring, keeper, removed=given.removed
        )
    for one in found:
        ended = f"  removed: {one.removed_why}" if one.removed_at else ""
        unused = "" if one.usable else "  not in use"
        print(
            f"{one.recipient_id:>6}  {one.channel:<5} {one.address:<24} {one.unit_name}"
            f"  agreed {one.consented_on} ({one.consent}){unused}{ended}"
        )
    say(f"{len(found)} on the list")
    return 0


async def _import(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        keeper = await find_actor(conn, given.keeper)
    done = await exercise_import.import_csv(
        context.pool, context.keyring, keeper, datetime.now(UTC), given.file
    )
    for line, why in done.bad:
        print(f"{given.file.name}:{line}: {why}", file=sys.stderr)
    say(f"{done.added} addresses enrolled, {done.known} rows known, {len(done.bad)} rows wrong")
    return 1 if done.bad else 0


async def _remove(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        keeper = await find_actor(conn, given.keeper)
        await exercise_recipients.remove(
            conn, keeper, datetime.now(UTC), given.number, given.reason
        )
    say(f"{given.number} is off the list")
    return 0


async def _sessions(context: Context, given: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    async with context.pool.acquire() as conn:
        keeper = await find_actor(conn, given.keeper)
        for one in await exercise_sessions.listing(conn, keeper):
            stands = "under way" if one.under_way(now) else "over" if one.over(now) else "to come"
            print(
                f"{one.session_id:>4}  {stands:<9} {one.begins_at:%Y-%m-%d %H:%M} to"
                f" {one.ends_at:%Y-%m-%d %H:%M} UTC  {one.name}"
            )
    return 0
