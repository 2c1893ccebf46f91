"""people record, people received: what went to somebody, and the proof of it, for operators."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from broadcaster import audit, spreadsheet
from broadcaster.cli.context import Context
from broadcaster.fanout import received, record, whom
from broadcaster.people.selection import Selector
from broadcaster.terminal import say
from broadcaster.web.api.records import record_said

_ADDRESS = (
    "telephone number or mail address; - reads it from standard input, so that it stays out of"
    " the shell's history"
)


def add_to(people_commands: Any, with_context: Any) -> None:
    """Add the commands of this file."""
    cmd = people_commands.add_parser("record", help="what of an alert went to somebody, proven")
    cmd.add_argument("--alert", required=True, metavar="CODE", help="as HN-2026-0910-017")
    cmd.add_argument("--address", required=True, help=_ADDRESS)
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=with_context(print_record))
    cmd = people_commands.add_parser("received", help="every alert that went to somebody")
    cmd.add_argument("--address", required=True, help=_ADDRESS)
    cmd.set_defaults(run=with_context(print_received))


def _address(given: argparse.Namespace) -> str:
    typed: str = sys.stdin.readline() if given.address == "-" else given.address
    return typed.strip()


async def print_record(context: Context, given: argparse.Namespace) -> int:
    """Print a record; status 1 when a link of its proof does not hold."""
    selector = Selector(context.settings.data_dir / "index")
    try:
        async with context.pool.acquire() as conn, conn.transaction():
            made = await record.show_to_operator(
                conn, context.keyring, selector, datetime.now(UTC), given.alert, _address(given)
            )
    finally:
        await selector.close()
    if given.as_json:
        print(orjson.dumps(record_said(made).model_dump(mode="json", by_alias=True)).decode())
    else:
        _print(made)
    return 0 if made.proven else 1


def _print(made: record.Record) -> None:
    alert, chain = made.alert, made.chain
    print(f"{alert.code}  {alert.title}")
    print(f"approved by {alert.approver_name}, {_time(alert.approved_at)}")
    print(f"words     {chain.content_hash}  {chain.content}")
    print(f"people    {chain.people_hash}  {chain.audience}, {chain.people} of them")
    print(f"together  {chain.chain_hash}  {chain.audience}")
    if chain.packed_at:
        print(f"archived {_time(chain.packed_at)}; batches that did not verify:"
              f" {chain.batches_unproven} of {chain.batches}")  # fmt: skip
    if made.nobody:
        print(made.nobody[1])
    for person in made.people:
        if person.why:
            print(f"\n{person.why.sentence[1]}")
            for place in person.why.places:
                if place.inside:
                    print(f"  {place.name[1]}: {', '.join(part[1] for part in place.parts)}")
        for one in person.sent:
            _print_one(one)
    print(f"\nproof: {'every link holds' if made.proven else 'NOT EVERY LINK HOLDS'}")


def _print_one(one: record.Sent) -> None:
    print(f"\n  {one.channel} {one.address}  {one.state}  {one.reason or ''}".rstrip())
    print(f"    written {_time(one.written_at)}, last change {_time(one.changed_at)},"
          f" batch or block {one.proof}")  # fmt: skip
    print(f"    words {one.lang}{one.wording}, SHA-256 {one.said_hash or 'unknown'}")
    for text in one.said:
        for line in text.splitlines():
            print(f"    | {line}")
    for tried in one.tries:
        print(f"    {tried.number}. {_time(tried.at)} {tried.provider}: {tried.result}"
              f" {tried.reason or ''}".rstrip())  # fmt: skip


def _time(moment: datetime | None) -> str:
    return "–" if moment is None else spreadsheet.moment(moment)


async def print_received(context: Context, given: argparse.Namespace) -> int:
    """Print every alert that went to the people behind an address, newest first."""
    async with context.pool.acquire() as conn, conn.transaction():
        asked = await whom.find(conn, context.keyring, None, address=_address(given))
        await audit.record(
            conn, None, datetime.now(UTC), "person.received_shown", "endpoint", asked.endpoint_id,
            person_ids=asked.person_ids, at="command line", **asked.by,
        )  # fmt: skip
        ways = await whom.ways_to(conn, context.keyring, asked.person_ids)
        ids = sorted({*ways} | ({asked.endpoint_id} if asked.endpoint_id else set()))
        page = await received.by_endpoints(conn, ids)
        while True:
            for alert in page.alerts:
                print(f"{_time(alert.at)}  {alert.code}  {alert.alert_class}  {alert.title}")
                for one in alert.deliveries:
                    print(f"    {one.channel}  {one.state}  {_time(one.updated_at)}")
            if page.before is None:
                break
            page = await received.by_endpoints(conn, ids, before=page.before)
    if asked.nobody:
        say(asked.nobody[1])
    return 0
