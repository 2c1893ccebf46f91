"""alerts export: an alert's record as PDF and its messages as CSV, in the name of an official."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from broadcaster.alerts.draft import Alert
from broadcaster.cli.context import Context
from broadcaster.errors import Refused
from broadcaster.fanout.progress import progress
from broadcaster.people.officials import Actor, find_actor
from broadcaster.terminal import bar, say
from broadcaster.web import i18n
from broadcaster.web.console import export, record_pages
from broadcaster.web.geography import Geography
from templates.catalogue import LANGS


def add_to(cmd: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    cmd.add_argument("code", help="as HN-2026-0910-017")
    cmd.add_argument("--pdf", type=Path, metavar="FILE", help="the record, on A4")
    cmd.add_argument("--csv", type=Path, metavar="FILE", help="every message, addresses shortened")
    cmd.add_argument("--lang", choices=LANGS, default="vi", help="of the record")


async def run(context: Context, given: argparse.Namespace) -> int:
    """Write the files asked for; a file is there whole or not at all."""
    if not (given.pdf or given.csv):
        raise Refused(
            "nothing_asked",
            "Chọn --pdf TỆP, --csv TỆP hoặc cả hai.",
            "Ask for --pdf FILE, --csv FILE, or both.",
        )
    i18n.use(given.lang)
    async with context.pool.acquire() as conn:
        actor = await find_actor(conn, given.login)
        alert = (await export.approved(conn, actor, given.code)).alert
        if given.pdf:
            _write(given.pdf, await record_pages.make(conn, Geography(context.pool), alert))
            await export.note(conn, actor, datetime.now(UTC), alert, "pdf")
            say(f"{given.pdf}: the record of {alert.code}")
    if given.csv:
        await _every_delivery(context, actor, alert, given.csv)
    return 0


async def _every_delivery(context: Context, actor: Actor, alert: Alert, file: Path) -> None:
    async with context.pool.acquire() as conn:
        shown = await export.may_see_addresses(conn, actor, alert.code)
        whole = sum(one.total for one in await progress(conn, alert.alert_id))
        await export.note(conn, actor, datetime.now(UTC), alert, "deliveries.csv")
    part = file.with_name(f"{file.name}.part")
    with (
        part.open("w", encoding="utf-8-sig", newline="") as out,
        bar(f"Messages of {alert.code}", "messages", whole) as advance,
    ):
        async for text in export.delivery_lines(
            context.pool, context.keyring, alert, addresses=shown
        ):
            out.write(text)
            advance(text.count("\r\n"))
    part.replace(file)
    say(f"{file}: {whole:,} messages of {alert.code}")


def _write(file: Path, made: bytes) -> None:
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(made)
    part.replace(file)
