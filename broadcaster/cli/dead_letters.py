"""dead-letters: what did not arrive and why, as a table, JSON or CSV; and sending it again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster import spreadsheet
from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.fanout import dead_letters, letter_file, replay
from broadcaster.fanout.dead_letters import Filters, Group, Scope
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reasons import Family
from broadcaster.people.officials import find_actor
from broadcaster.terminal import say


def add_to(commands: Any) -> None:
    """Add the command."""
    cmd = commands.add_parser("dead-letters", help="messages that did not arrive, and why")
    cmd.add_argument("--alert", metavar="CODE", help="of this alert; `direct`: of no alert")
    cmd.add_argument("--channel", choices=CHANNELS)
    cmd.add_argument("--provider", metavar="ID", help="that went through this provider last")
    cmd.add_argument("--family", choices=list(map(str, Family)), help="kind of reason")
    cmd.add_argument("--reason", metavar="CODE", help="the carrier's own code")
    cmd.add_argument("--state", choices=dead_letters.STATES)
    cmd.add_argument("--all", action="store_true", help="also what cannot be sent again")
    cmd.add_argument("--lang", choices=("vi", "en"), default="en")
    form = cmd.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", dest="as_json")
    form.add_argument("--csv", type=Path, metavar="FILE", help="every letter, addresses masked")
    cmd.add_argument("--replay", action="store_true", help="send them again; needs --by")
    cmd.add_argument("--by", metavar="LOGIN", help="the approver or admin who sends them again")
    cmd.add_argument(
        "--retired", action="store_true", help="use retired endpoints of theirs again, and send"
    )
    cmd.set_defaults(run=with_context(_dead_letters))


async def _dead_letters(context: Context, given: argparse.Namespace) -> int:
    if given.replay and not given.by:
        say("--replay needs --by LOGIN: who sends again stands in the trail.")
        return 2
    now, wanted = datetime.now(UTC), _wanted(given)
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.by) if given.replay else None
        filters = await dead_letters.filters_of(conn, actor, wanted, now)
        scope = await dead_letters.whole(conn)
    if actor is not None:
        done = await replay.replay(context.pool, actor, now, filters, retired=given.retired)
        told = {"again": done.again, "left": done.left}
        print(json.dumps(told) if given.as_json else f"sent again {done.again}, left {done.left}")
        return 0
    if given.csv:
        return await _write(context, given, now, scope, filters)
    async with context.pool.acquire() as conn:
        found = await dead_letters.groups(conn, now, scope, filters)
    if given.as_json:
        print(json.dumps([_as_json(one) for one in found], ensure_ascii=False))
    else:
        _print(found, given.lang)
    return 0


def _wanted(given: argparse.Namespace) -> dict[str, str]:
    names = ("alert", "channel", "provider", "family", "reason", "state")
    wanted = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    return wanted | ({"show": "all"} if given.all else {})


async def _write(
    context: Context, given: argparse.Namespace, now: datetime, scope: Scope, filters: Filters
) -> int:
    written = 0
    with given.csv.open("w", encoding="utf-8", newline="") as file:
        file.write(letter_file.heading())
        async with context.pool.acquire() as conn:
            async for some in dead_letters.every(conn, context.keyring, now, scope, filters):
                file.write(letter_file.lines(some, given.lang))
                written += len(some)
    say(f"{written} letters in {given.csv}")
    return 0


def _as_json(one: Group) -> dict[str, Any]:
    return {
        "alert": one.alert_code,
        "channel": one.channel,
        "provider": one.provider_id,
        "provider_name": one.provider,
        "family": one.family,
        "reason": one.reason,
        "message": {"vi": one.meaning.vi, "en": one.meaning.en},
        "state": one.state,
        "count": one.count,
        "usable": one.usable,
        "retired": one.retired,
        "newest": spreadsheet.moment(one.newest),
    }


def _print(found: Sequence[Group], lang: str) -> None:
    if not found:
        print("nothing lies there")
    for one in found:
        print(
            f"{one.count:>9,}  {one.channel:<6} {one.state:<8} {one.alert_code or 'direct':<18}"
            f" {one.reason or '-'} ({one.provider or 'no provider'})"
        )
        print(f"{'':>11}{one.meaning.said(lang)}")
        print(f"{'':>11}can be sent again: {one.usable:,}; retired endpoints: {one.retired:,}")
