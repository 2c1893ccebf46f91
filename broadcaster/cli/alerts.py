"""alerts: what is in force, how far it is, and what comes next, in the name of an official."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from broadcaster import spreadsheet
from broadcaster.alerts import (
    archive_search,
    archive_terms,
    draft,
    followup,
    lifecycle,
    order,
)
from broadcaster.alerts.draft import Alert
from broadcaster.cli import exporting
from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.cli.values import positive
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout.progress import ChannelProgress, progress
from broadcaster.jobs import Waker
from broadcaster.people.officials import Actor, authority_so_far, find_actor
from broadcaster.states import AlertState
from broadcaster.terminal import say
from templates.catalogue import LANGS

Act = Callable[[Conn, Actor, datetime, int, str], Awaitable[Alert]]
Start = Callable[[Conn, Actor, datetime, int], Awaitable[Alert]]
_ACTS: dict[str, tuple[Act, str]] = {
    "stop": (lifecycle.stop, "end sending at once; nobody is told"),
    "cancel": (followup.cancel, "call it off: stop it and tell exactly those it reached"),
    "correct": (followup.correct, "sent in error: stop it and say so to those it reached, first"),
    "withdraw": (followup.withdraw, "give up a follow-up that nobody has approved"),
}
_STARTS: dict[str, tuple[Start, str]] = {
    "update": (followup.update, "start an update as a draft; somebody else approves it"),
    "all-clear": (followup.all_clear, "start an all-clear as a draft; somebody else approves it"),
}
_TERMS = {
    "q": "words of it, marks may be left out; its code",
    "place": "code of a unit or a former district it was for",
    "from": "first day, as 2026-09-01",
    "until": "last day",
    "class": "emergency, warning or information",
    "event": "as storm",
    "sender": "code of the unit that issued it",
    "official": "login or part of the name of who wrote or approved it",
    "state": "live, work, over, or one state",
    "kind": "alert, update, all_clear, cancel, correction or exercise",
}
_KINDS = {"update": "update", "all-clear": "all_clear", "cancel": "cancel", "correct": "correction"}


def add_to(commands: Any) -> None:
    """Add the command and what it can do."""
    cmd = commands.add_parser("alerts", help="alerts and what follows them, as an official")
    does = cmd.add_subparsers(dest="does", required=True, metavar="WHAT")
    one = _command(does, "list", "alerts of the units the official sees, the newest first", _list)
    one.add_argument("--all", action="store_true", help="also what is over, drafts too")
    for name, about in _TERMS.items():
        one.add_argument(f"--{name}", default="", dest=f"term_{name}", metavar="TEXT", help=about)
    one.add_argument("--limit", type=positive, default=50, metavar="N")
    one = _command(does, "show", "one alert: how far it is and what may come next", _show)
    one.add_argument("code", help="as HN-2026-0910-017")
    about = "its record as PDF, every message as CSV"
    exporting.add_to(_command(does, "export", about, exporting.run))
    for name, (_, about) in _ACTS.items():
        one = _command(does, name, about, _act)
        one.add_argument("code", help="as HN-2026-0910-017")
        one.add_argument("--reason", required=True, help="stands in the trail")
        one.add_argument(
            "--yes", action="store_true", help="do not ask; needed where nobody can answer"
        )
    for name, (_, about) in _STARTS.items():
        one = _command(does, name, about, _start)
        one.add_argument("code", help="of the alert it follows")
        if name == "all-clear":
            one.add_argument(
                "--set-aside", default="", metavar="CODE",
                help="of the follow-up in its way that nobody has approved: kept and ended",
            )  # fmt: skip


def _command(
    does: Any, name: str, about: str, work: Callable[[Context, argparse.Namespace], Awaitable[int]]
) -> argparse.ArgumentParser:
    cmd: argparse.ArgumentParser = does.add_parser(name, help=about, description=about)
    cmd.add_argument(
        "--as", required=True, dest="login", metavar="LOGIN", help="the official who does it"
    )
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=with_context(work))
    return cmd


async def _list(context: Context, given: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    said = {name: getattr(given, f"term_{name}") for name in _TERMS}
    live_only = not given.all and not any(said.values())
    if live_only:
        said["state"] = archive_terms.LIVE
    async with context.pool.acquire() as conn:
        scope = await archive_search.scope_of(conn, await find_actor(conn, given.login))
        terms = await archive_terms.read_terms(conn, said)
        found = (await archive_search.find(conn, scope, now, terms, limit=given.limit)).alerts
    if given.as_json:
        print(json.dumps([_as_json(one) for one in found], ensure_ascii=False))
        return 0
    for one in found:
        print(_line(one))
    if not found:
        say("Nothing. --all shows what is over, too." if live_only else "Nothing.")
    return 0


async def _show(context: Context, given: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.login)
        alert = (await draft.load(conn, actor, given.code)).alert
        counts = await progress(conn, alert.alert_id)
        family = await draft.family(conn, alert.root_id)
        why_not = {
            name: await _why_not(conn, actor, now, alert, kind) for name, kind in _KINDS.items()
        }
    if given.as_json:
        told = _as_json(alert) | {
            "reason": alert.ended_reason,
            "channels": [_counts(one) for one in counts],
            "line": [_as_json(one) for one in family],
            "next": {name: why or None for name, why in why_not.items()},
        }
        print(json.dumps(told, ensure_ascii=False))
        return 0
    print(_line(alert))
    if alert.ended_reason:
        print(f"  ended by {alert.ended_by_name or 'the service'}: {alert.ended_reason}")
    for channel in counts:
        states = ", ".join(f"{n:,} {state}" for state, n in _counts(channel)["states"].items() if n)
        print(f"  {channel.channel:<6} {states or 'nothing'}")
    for one in family:
        if one.alert_id != alert.alert_id:
            print(f"  {'before' if one.sequence < alert.sequence else 'after '} {_line(one)}")
    for name, why in why_not.items():
        print(f"  {name:<10} {why or 'possible'}")
    return 0


async def _why_not(conn: Conn, actor: Actor, now: datetime, alert: Alert, kind: str) -> str:
    roles = ("author",) if kind in order.WRITTEN else ("author", "approver")
    if alert.unit_id not in await authority_so_far(conn, actor, *roles):
        return f"needs the role {' or '.join(roles)} at {alert.unit_name}"
    refusal = await order.hindrance(conn, now, alert, kind)
    if refusal is not None:
        return refusal.message("en")
    if kind in order.PREPARED and not followup.preparation(
        (await lifecycle.snapshot(conn, alert.alert_id)).content, kind
    ):
        return "No words for this were approved with the alert."
    return ""


async def _start(context: Context, given: argparse.Namespace) -> int:
    start, _ = _STARTS[given.does]
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.login)
        found = (await draft.load(conn, actor, given.code)).alert
        if given.does == "all-clear":
            start = functools.partial(followup.all_clear, set_aside=given.set_aside)
        made = await start(conn, actor, datetime.now(UTC), found.alert_id)
    _tell(made, given)
    say(f"A draft. Write it at {context.settings.public_url}/console/alerts/{made.code}/edit")
    return 0


async def _act(context: Context, given: argparse.Namespace) -> int:
    act, _ = _ACTS[given.does]
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.login)
        found = (await draft.load(conn, actor, given.code)).alert
        if given.does in _KINDS:
            await order.require_may_follow(conn, datetime.now(UTC), found, _KINDS[given.does])
        say(f"{_line(found)}\n{await _consequence(conn, found, given.does)}")
        if not (given.yes or _confirmed(found)):
            say("Nothing was done.")
            return 1
        made = await act(conn, actor, datetime.now(UTC), found.alert_id, given.reason)
    waker = Waker(context.redis_url)
    await waker.wake("start")
    await waker.close()
    _tell(made, given)
    return 0


async def _consequence(conn: Conn, alert: Alert, does: str) -> str:
    """Say what will happen, with how many are told and in which words."""
    counts = await progress(conn, alert.alert_id)
    told = sum(c.handed_off + c.confirmed + c.seen + c.unknown for c in counts)
    waiting = sum(c.pending for c in counts)
    match does:
        case "stop":
            return (
                f"Sending ends: {waiting:,} messages stay unsent. The {told:,} that left stay with"
                " people, and nobody is told."
            )
        case "withdraw":
            return "The draft is given up. What it would have followed stays in force."
        case "cancel":
            end = "Sending ends, and those reached are told that it is called off"
        case _:
            end = "Sending ends, and those reached are told, before any other alert, that it was"
            end += " sent in error"
    said = await _prepared(conn, alert, _KINDS[does])
    return f"{end} ({told:,} messages):\n{said}"


async def _prepared(conn: Conn, alert: Alert, kind: str) -> str:
    if alert.approved_at is None:
        return "  (nothing was approved)"
    content = (await lifecycle.snapshot(conn, alert.alert_id)).content
    words = content.prepared.cancel if kind == "cancel" else content.prepared.correction
    lines = [
        f"  {lang}: {words[lang].push.title} {words[lang].push.body}"
        for lang in LANGS
        if lang in words
    ]
    return "\n".join(lines) or "  (no words for this were approved with the alert)"


def _confirmed(alert: Alert) -> bool:
    """Ask for the code to be typed; raises Refused where nobody can answer."""
    if not sys.stdin.isatty():
        raise Refused(
            "not_confirmed",
            "Không có ai để xác nhận. Thêm --yes nếu đã chắc chắn.",
            "Nobody is there to confirm. Add --yes once you are sure.",
        )
    say(f"Type {alert.code} to go on:")
    return sys.stdin.readline().strip() == alert.code


def _tell(made: Alert, given: argparse.Namespace) -> None:
    print(json.dumps(_as_json(made), ensure_ascii=False) if given.as_json else _line(made))


def _line(alert: Alert) -> str:
    end = (
        ""
        if alert.expires is None
        else f" until {alert.expires.astimezone(draft.HANOI):%Y-%m-%d %H:%M}"
    )
    ended = alert.state in (AlertState.STOPPED, AlertState.EXPIRED, AlertState.REJECTED)
    return (
        f"{alert.code}  {'EXERCISE ' if alert.exercise else ''}{alert.state.value:<9}"
        f" {alert.alert_class:<11} {alert.kind:<10}"
        f" {alert.unit_name}: {alert.title}{'' if ended else end}"
    )


def _as_json(alert: Alert) -> dict[str, Any]:
    return {
        "code": alert.code,
        "kind": alert.kind,
        "status": alert.status,
        "training": alert.training,
        "recipients": "listed" if alert.only_listed else "all",
        "class": alert.alert_class,
        "state": alert.state.value,
        "title": alert.title,
        "unit": alert.unit_name,
        "author": alert.author_name,
        "approver": alert.approver_name,
        "sequence": alert.sequence,
        "started": alert.started_at and spreadsheet.moment(alert.started_at),
        "expires": alert.expires and spreadsheet.moment(alert.expires),
    }


def _counts(one: ChannelProgress) -> dict[str, Any]:
    names = (
        "pending",
        "handed_off",
        "confirmed",
        "seen",
        "failed",
        "expired",
        "stopped",
        "unknown",
    )
    return {"channel": one.channel, "states": {name: getattr(one, name) for name in names}}
