"""providers: how each carrier's account stands, and the switch by hand."""

from __future__ import annotations

import argparse
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.errors import Refused
from broadcaster.fanout import provider_board
from broadcaster.fanout.provider_board import SWITCHES, Standing
from broadcaster.people.officials import find_actor
from broadcaster.terminal import say


def add_to(commands: Any) -> None:
    """Add the command and what it can do."""
    cmd = commands.add_parser("providers", help="how the carriers' accounts stand; switch one")
    does = cmd.add_subparsers(dest="does", required=True, metavar="list|switch")
    one = does.add_parser("list", help="every account, its state and why")
    one.add_argument("--json", action="store_true", dest="as_json")
    one.set_defaults(run=with_context(_list))
    two = does.add_parser("switch", help="always on, automatic or off; workers obey in a second")
    two.add_argument("provider", help="channel/name as `providers list` shows it, or its number")
    two.add_argument("to", choices=SWITCHES)
    two.add_argument("--reason", required=True, help="for the trail and for who is on duty next")
    two.add_argument(
        "--as", required=True, dest="login", metavar="LOGIN", help="an administrator of the city"
    )
    two.set_defaults(run=with_context(_switch))


async def _list(context: Context, given: argparse.Namespace) -> int:
    async with context.pool.acquire() as conn:
        found = await provider_board.standings(conn, datetime.now(UTC))
    if given.as_json:
        print(json.dumps([dataclasses.asdict(one) for one in found], default=str))
        return 0
    for one in found:
        print(_line(one))
    if not found:
        say("No provider: none is configured, or no worker that sends has run today.")
    return 0


def _line(one: Standing) -> str:
    why = one.breaker_detail.get("last") or one.breaker_detail.get("code") or ""
    parts = [
        f"{one.provider_id:>3}  {one.channel}/{one.name:<16} {one.state:<10}",
        f"weight {one.weight}, switch {one.switch},",
        f"{one.tried} a minute, {one.faults} errors",
    ]
    if one.state in {"open", "half_open", "forced"}:
        parts.append(f"({why}, next try {one.next_try or 'under way'})")
    if one.paused_until:
        parts.append(f"(until {one.paused_until:%H:%M:%S}Z: {one.paused_reason})")
    if one.switch != "auto":
        parts.append(f"({one.switch_by}: {one.switch_reason})")
    return " ".join(parts)


async def _switch(context: Context, given: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.login)
        found = await provider_board.standings(conn, now)
        one = _named(found, given.provider)
        await provider_board.switch(
            conn, actor, now, one.provider_id, was=one.switch, to=given.to, reason=given.reason
        )
    say(f"{one.channel}/{one.name}: {one.switch} → {given.to}")
    return 0


def _named(found: list[Standing], name: str) -> Standing:
    fits = [one for one in found if name in {f"{one.channel}/{one.name}", str(one.provider_id)}]
    if len(fits) == 1:
        return fits[0]
    known = ", ".join(f"{one.channel}/{one.name} ({one.provider_id})" for one in found)
    raise Refused(
        "provider",
        f"Không rõ nhà cung cấp nào là {name}; hiện có: {known}.",
        f"{name} names {'no' if not fits else 'more than one'} provider; there are: {known}.",
    )
