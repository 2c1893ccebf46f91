"""cap, bench, doctor: questions and measurements."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from broadcaster import db, embedded, settings
from broadcaster.alerts.cap_check import check_file
from broadcaster.jobs import Waker
from broadcaster.processes import accounts, runner
from broadcaster.terminal import say

ROOT = Path(__file__).resolve().parents[2]
BENCHES = {
    "audience": "the people of an area, counted and written down, beside PostGIS",
    "email": "mails a second, with their outcomes durable",
    "fanout": "how soon the first message leaves, and an alert to a whole city",
    "pages": "the server's time for each page, with 100,000 alerts in the archive",
    "push": "pushes a second, with their outcomes durable, and memory",
    "sms": "texts a second over one bind, with their receipts",
    "storage": "what kept deliveries take, and how soon they are found again",
}
"""Modules of `bench` that measure something; the others there help them."""
_LIST = "list"


def add_to(commands: Any) -> None:
    """Add the commands of this file."""
    cap = commands.add_parser("cap", help="Common Alerting Protocol")
    cap_commands = cap.add_subparsers(dest="what", required=True, metavar="WHAT")
    cmd = cap_commands.add_parser("check", help="would a receiver accept these files?")
    cmd.add_argument("files", type=Path, nargs="+", metavar="FILE")
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=_cap_check)

    cmd = commands.add_parser(
        "bench",
        help="measure, beside a peer",
        epilog=_benches(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(BENCHES)
    cmd.add_argument(
        "name", nargs="?", default=_LIST, help=f"{names}; `{_LIST}`, or nothing, tells what each is"
    )
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    cmd.set_defaults(run=_bench)

    cmd = commands.add_parser("doctor", help="what is configured, what answers, what to do")
    cmd.set_defaults(run=_doctor)


def _cap_check(given: argparse.Namespace) -> int:
    accepted = True
    for path in given.files:
        verdict = check_file(path)
        accepted &= verdict.verdict == "accept"
        if given.as_json:
            print(json.dumps(verdict.as_json(), ensure_ascii=False))
        else:
            print(f"{path}: {verdict.verdict}")
            for problem in verdict.problems:
                print(f"  {problem.code} at {problem.where}: {problem.message}")
    return 0 if accepted else 1


def _benches() -> str:
    return "\n".join(f"{name:<10} {what}" for name, what in BENCHES.items())


def _bench(given: argparse.Namespace) -> int:
    if given.name == _LIST:
        print(_benches())
        return 0
    if given.name not in BENCHES:
        say(f"no bench {given.name}; there are {', '.join(BENCHES)}")
        return 2
    # A process of its own: what is measured shares nothing with the command line.
    command = [sys.executable, "-m", f"bench.{given.name}", *given.rest]
    return subprocess.run(  # noqa: S603 - our own module
        command + (["--json"] if given.as_json else []), cwd=ROOT, check=False
    ).returncode


def _doctor(_: argparse.Namespace) -> int:
    base = settings.load()
    runner.set_up_logging("error")

    async def main() -> int:
        async with embedded.servers(base) as found:
            healthy = await _doctor_servers(base, found)
        return 0 if healthy and await _doctor_carriers(base) else 1

    return runner.run_to_end(main)


async def _doctor_servers(base: settings.Settings, found: embedded.Servers) -> bool:
    kind = "configured" if base.database_url else f"embedded in {base.data_dir}"
    pool = await db.connect(found.database_url)
    try:
        version = await pool.fetchval("SELECT current_setting('server_version')")
        known = await pool.fetchval("SELECT to_regclass('migration') IS NOT NULL")
        problem = db.too_old(await _major(pool))
        print(f"PostgreSQL   {problem or f'ok, {version}, {kind}'}")
        applied = await pool.fetchval("SELECT count(*) FROM migration") if known else 0
        missing = len(list(db.MIGRATIONS.glob("*.sql"))) - applied
        print(f"migrations   {'ok' if not missing else f'{missing} missing: run.py migrate'}")
    finally:
        await pool.close()
    waker = Waker(found.redis_url)
    reached = await waker.wake("doctor")
    await waker.close()
    print(f"Valkey       {'ok' if reached else 'away: alerts still go out, a second later'}")
    return not missing and not problem


async def _major(pool: db.Pool) -> int:
    async with pool.acquire() as conn:
        return int(conn.get_server_version().major)


async def _doctor_carriers(base: settings.Settings) -> bool:
    try:
        found = accounts.carriers(base)
    except (ValueError, OSError) as error:
        print(f"carriers     {error}")
        return False
    for carrier in found:
        await asyncio.wait_for(carrier.channel.open(), 15)
        await carrier.channel.close()
        print(f"{carrier.channel.name:<12} {carrier.name}, {carrier.account}")
    silent = {"push", "sms", "email"} - {carrier.channel.name for carrier in found}
    for name in sorted(silent):
        print(f"{name:<12} not configured: nothing is sent on this channel")
    return True
