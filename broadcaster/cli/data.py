"""migrate, units, people: what is in the database."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster import db, embedded, settings
from broadcaster.cli import records, values
from broadcaster.cli.context import Context, opened
from broadcaster.people import place_index
from broadcaster.people.importing import import_csv
from broadcaster.people.synth import synth
from broadcaster.people.unit_import import import_units
from broadcaster.people.units import load_map, seed_units
from broadcaster.processes import runner
from broadcaster.terminal import bar, say


def add_to(commands: Any) -> None:
    """Add the commands of this file."""
    cmd = commands.add_parser("migrate", help="bring the database up to this program")
    cmd.set_defaults(run=_migrate)

    units = commands.add_parser("units", help="administrative units")
    unit_commands = units.add_subparsers(dest="what", required=True, metavar="WHAT")
    cmd = unit_commands.add_parser("import", help="units and outlines from a GeoJSON file")
    cmd.add_argument("file", type=Path)
    cmd.add_argument(
        "--vintage",
        type=values.day,
        required=True,
        metavar="DATE",
        help="the day from which these units hold, as 2025-07-01",
    )
    cmd.add_argument(
        "--former",
        type=Path,
        metavar="TABLE",
        help="from the units before to these: a CSV file old_code,old_name,new_code (for Hanoi's"
        " reform of 2025 it ships with us)",
    )
    cmd.set_defaults(run=_import_units)

    people = commands.add_parser("people", help="residents")
    people_commands = people.add_subparsers(dest="what", required=True, metavar="WHAT")
    cmd = people_commands.add_parser("import", help="residents from a CSV file")
    cmd.add_argument("file", type=Path)
    cmd.set_defaults(run=_import_people)
    cmd = people_commands.add_parser("synth", help="invented residents, for load and demos")
    cmd.add_argument("number", type=values.positive, metavar="N")
    cmd.add_argument("--seed", type=int, default=1, help="the same seed invents the same people")
    cmd.set_defaults(run=_synth)  # fmt: skip
    records.add_to(people_commands, with_context)


def with_context(
    work: Callable[[Context, argparse.Namespace], Awaitable[int]],
) -> Callable[[argparse.Namespace], int]:
    """Make a command of a coroutine that wants an open database."""

    def run(given: argparse.Namespace) -> int:
        base = settings.load()
        runner.set_up_logging("warning")

        async def main() -> int:
            async with opened(base) as context:
                return await work(context, given)

        return runner.run_to_end(main)

    return run


def _migrate(_: argparse.Namespace) -> int:
    base = settings.load()
    runner.set_up_logging("warning")

    async def main() -> int:
        async with embedded.servers(base) as found:
            applied = await db.migrate(found.database_url)
        say(f"applied: {', '.join(applied)}" if applied else "nothing to apply")
        return 0

    return runner.run_to_end(main)


def _now() -> datetime:
    return datetime.now(UTC)


async def _units(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        done = await import_units(conn, None, _now(), given.file, given.vintage, given.former)
    await place_index.fold(context.pool)
    people = done.people
    say(f"{given.file}: {done.added} units added, {done.updated} updated, {done.closed} ended")
    say(
        f"places of people: {people.by_point} moved by their point, {people.by_table} by unit,"
        f" {people.split} of a unit that was split (alerted under each part, and asked),"
        f" {people.outside} outside every unit"
    )
    if people.lost:
        say(
            f"{people.lost} places are known only by a unit without a known successor and get no"
            " alerts: import again with --former TABLE"
        )
    for left in done.left_roles:
        heirs = f"today {', '.join(left.successors)}" if left.successors else "no successor known"
        say(f"not handed on: {left.role} of {left.login} at {left.name} ({left.code}; {heirs})")
    return 0


async def _people(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        await seed_units(conn, _now())
        units = await load_map(conn)
    with bar("Importing", "rows") as advance:
        done = await import_csv(
            context.pool, context.keyring, units, None, _now(), given.file, advance
        )
    await place_index.fold(context.pool)
    print(json.dumps({"saved": done.saved, "bad": done.bad}))
    if done.bad:
        say(f"{done.bad} rows were not saved; they stand with their reasons in {done.error_file}")
    return 1 if done.bad else 0


async def _invent(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        await seed_units(conn, _now())
        units = await load_map(conn)
    with bar("Inventing", "people", given.number) as advance:
        await synth(context.pool, context.keyring, units, _now(), given.number, given.seed, advance)
    await place_index.fold(context.pool)
    say(f"{given.number} residents added")
    return 0


_import_units = with_context(_units)
_import_people = with_context(_people)
_synth = with_context(_invent)
