"""An SMSC for the lab: SMPP 3.4 over TCP in a process of its own, keeping all it received.

    python -m channels.lab.smsc --dir DIR --port P [--system-id ID --password PASSWORD]
                                [--inbound-system-id ID --inbound-password PASSWORD]

Answers are given before the row is on disk (commits follow within 20 ms): a carrier's memory is
not what is tested here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import logging
import random
import signal
import sqlite3
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import smpp34

from channels.lab.smsc_ledger import Ledger
from channels.lab.smsc_parts import Part, originated_pdu, read_submit, receipt_pdu
from channels.lab.smsc_store import answer, handsets, messages, open_store, switch
from channels.lab.store import answering, settings
from channels.sms_errors import (
    RALYBND,
    RINVBNDSTS,
    RINVDSTADR,
    RINVPASWD,
    RINVSYSID,
    ROK,
    RSYSERR,
    RTHROTTLED,
)
from channels.sms_link import (
    BIND_RECEIVER,
    BIND_TRANSMITTER,
    BINDS,
    SUBMIT_SM,
    UNBIND,
    Answer,
    Frame,
    Link,
    Silence,
)
from channels.sms_pdu import part_of
from channels.sms_text import encode

__all__ = ["DEFAULTS", "Smsc", "answer", "handsets", "main", "messages", "open_store", "switch"]

log = logging.getLogger(__name__)

DEFAULTS: Final[dict[str, float]] = {
    "delay_ms": 0,
    "jitter_ms": 0,
    "error_rate": 0,  # answered RSYSERR
    "throttle_rate": 0,  # answered RTHROTTLED
    "unknown_subscriber_rate": 0,  # answered RINVDSTADR, always the same numbers
    "undeliverable_rate": 0,  # taken, then a receipt UNDELIV, always the same numbers
    "no_answer_rate": 0,  # taken and delivered, never answered
    "receipt_rate": 1,
    "receipt_delay_ms": 200,
    "redeliver_ms": 1000,
    "decimal_receipts": 0,
    "reverse_parts": 0,  # what people write arrives last part first
}
_RINVEXPIRY: Final = 0x00000062
_FIRST_ID: Final = 0x10000000
_TICK: Final = 0.01
_UNBOUND_PAUSE: Final = 0.3
_FLUSH_EVERY: Final = 2
_LOOK_EVERY: Final = 10
_WINDOW: Final = 50
_ANSWER_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Session:
    """One bind."""

    account: str
    submits: bool
    receives: bool


def _chosen(number: str, rate: float, salt: str) -> bool:
    """Choose a fixed share of all numbers."""
    return zlib.crc32(f"{salt}{number}".encode()) < rate * 2**32


class Smsc:
    """Takes messages, shows them on handsets, reports back, and brings what people write."""

    def __init__(self, conn: sqlite3.Connection, accounts: dict[str, str], inbound: str) -> None:
        self._conn = conn
        self._ledger = Ledger(conn)
        self._accounts = accounts
        self._inbound = inbound
        self._settings = settings(conn, DEFAULTS)
        self._sessions: dict[Link, Session] = {}
        self._links: set[Link] = set()
        self._offline: set[str] = set()
        self._waiting: defaultdict[str, list[Part]] = defaultdict(list)
        self._half_shown: defaultdict[tuple[object, ...], dict[int, Part]] = defaultdict(dict)
        self._due: list[tuple[float, int, Part]] = []
        self._originating: dict[int, asyncio.Task[None]] = {}
        self._next_id = max(_FIRST_ID, self._ledger.last_id() + 1)
        self._load()

    def _load(self) -> None:
        """Take up where the last process stopped."""
        self._look()
        for part in self._ledger.unfinished():
            if part.state == "ENROUTE":
                self._waiting[part.pdu.destination].append(part)
            elif part.receipt == "due":
                heapq.heappush(self._due, (time.time(), part.id, part))
            if part.state == "DELIVRD" and not part.shown:
                self._show(part)

    def connection(self) -> Link:
        """Return the protocol of a new connection."""
        link = Link(self._on_request, _WINDOW, _ANSWER_TIMEOUT)
        self._links.add(link)
        return link

    def _on_request(self, link: Link, frame: Frame) -> None:
        if frame.command in BINDS:
            self._on_bind(link, frame)
        elif frame.command == SUBMIT_SM:
            self._on_submit(link, frame)
        else:
            link.nack(frame)

    def _on_bind(self, link: Link, frame: Frame) -> None:
        system_id, password = (field.decode("latin-1") for field in frame.body.split(b"\0")[:2])
        status = ROK
        if link in self._sessions:
            status = RALYBND
        elif self._accounts and system_id not in self._accounts:
            status = RINVSYSID
        elif self._accounts and self._accounts[system_id] != password:
            status = RINVPASWD
        else:
            self._sessions[link] = Session(
                system_id, frame.command != BIND_RECEIVER, frame.command != BIND_TRANSMITTER
            )
        link.answer(frame, status, b"lab\0" if status == ROK else b"")

    def _on_submit(self, link: Link, frame: Frame) -> None:
        chance = self._settings
        if random.random() < chance["throttle_rate"]:  # noqa: S311
            status: int | Part = RTHROTTLED
        elif random.random() < chance["error_rate"]:  # noqa: S311
            status = RSYSERR
        else:
            status = self._accept(link, frame)
        if not isinstance(status, Part):
            self._answer_later(link, frame, status)
            return
        if random.random() >= chance["no_answer_rate"]:  # noqa: S311
            self._answer_later(link, frame, ROK, f"{status.id:08x}".encode() + b"\0")

    def _answer_later(self, link: Link, frame: Frame, status: int, body: bytes = b"") -> None:
        delay = self._settings["delay_ms"] + random.random() * self._settings["jitter_ms"]  # noqa: S311
        if delay > 0:
            asyncio.get_running_loop().call_later(delay / 1000, link.answer, frame, status, body)
        else:
            link.answer(frame, status, body)

    def _accept(self, link: Link, frame: Frame) -> int | Part:
        """Take a message, or return why not."""
        session = self._sessions.get(link)
        if session is None or not session.submits:
            return RINVBNDSTS
        try:
            part = read_submit(frame.wire, self._next_id, session.account, datetime.now(UTC))
        except smpp34.SmppError:
            return RSYSERR
        except ValueError:
            return _RINVEXPIRY
        number = part.pdu.destination
        if part.expires <= part.received_at:
            return _RINVEXPIRY
        if not number.removeprefix("+").isdigit() or _chosen(
            number, self._settings["unknown_subscriber_rate"], "unknown"
        ):
            return RINVDSTADR
        self._next_id += 1
        self._ledger.accepted(part)
        if number in self._offline:
            self._waiting[number].append(part)
        else:
            self._reach(part)
        return part

    def _reach(self, part: Part) -> None:
        """Bring a part to its handset, which is on."""
        gone = _chosen(part.pdu.destination, self._settings["undeliverable_rate"], "gone")
        self._settle(part, "UNDELIV" if gone else "DELIVRD")
        if not gone:
            self._show(part)

    def _settle(self, part: Part, state: str) -> None:
        part.state, part.settled_at = state, time.time()
        if part.registered and random.random() < self._settings["receipt_rate"]:  # noqa: S311
            part.receipt = "due"
            due = part.settled_at + self._settings["receipt_delay_ms"] / 1000
            heapq.heappush(self._due, (due, part.id, part))
        self._ledger.changed(part)

    def _show(self, part: Part) -> None:
        """Show a message once all its parts are there, as a handset does."""
        place = part_of(part.pdu)
        parts = {1: part}
        if place:
            reference, number, total = place
            key = (part.pdu.destination, part.pdu.source, reference, total)
            parts = self._half_shown[key]
            parts[number] = part
            if len(parts) < total:
                return
            del self._half_shown[key]
        self._ledger.shown(list(parts.values()))

    async def run(self) -> None:
        """Do what time brings: commits, receipts, handsets switched on, expiry."""
        beat = 0
        while True:
            await asyncio.sleep(_TICK)
            beat += 1
            if beat % _FLUSH_EVERY == 0:
                self._ledger.flush()
            if beat % _LOOK_EVERY == 0:
                with answering(self._conn):
                    self._look()
                    self._wake()
            await self._report()

    def _look(self) -> None:
        """Read what was changed from outside: settings, handsets, what people wrote."""
        self._settings = settings(self._conn, DEFAULTS)
        rows = self._conn.execute("SELECT number FROM handset WHERE online = 0")
        self._offline = {row["number"] for row in rows}
        for link in [link for link in self._links if link.lost.is_set()]:
            self._links.discard(link)
            self._sessions.pop(link, None)
        written = self._conn.execute("SELECT * FROM outbox WHERE delivered_at IS NULL").fetchall()
        for row in written:
            if row["id"] not in self._originating and self._receivers(self._inbound):
                self._originating[row["id"]] = asyncio.create_task(self._originate(row))

    def _wake(self) -> None:
        now = time.time()
        for number in list(self._waiting):
            on = number not in self._offline
            still = []
            for part in self._waiting.pop(number):
                if part.expires <= now:
                    self._settle(part, "EXPIRED")
                elif on:
                    self._reach(part)
                else:
                    still.append(part)
            if still:
                self._waiting[number] = still

    def _receivers(self, account: str) -> list[Link]:
        """Return the binds of an account ("": of any) that take deliver_sm."""
        return [
            link
            for link, session in self._sessions.items()
            if session.receives and not link.closed and account in ("", session.account)
        ]

    async def _report(self) -> None:
        """Send the receipts that are due, as far as the windows allow."""
        now = time.time()
        free = {}
        held = []
        while self._due and self._due[0][0] <= now:
            _, _, part = heapq.heappop(self._due)
            if part.account not in free:
                free[part.account] = self._receivers(part.account)
            if not free[part.account]:
                heapq.heappush(self._due, (now + _UNBOUND_PAUSE, part.id, part))
                continue
            links = [link for link in free[part.account] if not link.room.locked()]
            if not links:
                held.append(part)
                if len(held) > _WINDOW:
                    break
                continue
            link = random.choice(links)  # noqa: S311
            await link.room.acquire()
            sequence = link.next_sequence()
            decimal = bool(self._settings["decimal_receipts"])
            sent = link.post(receipt_pdu(part, sequence, decimal=decimal), sequence)
            sent.add_done_callback(partial(self._reported, part))
        for part in held:
            heapq.heappush(self._due, (now + _TICK, part.id, part))

    def _reported(self, part: Part, answer: Answer) -> None:
        if _acknowledged(answer.result()):
            part.receipt = "acknowledged"
            self._ledger.changed(part)
        else:
            again = time.time() + self._settings["redeliver_ms"] / 1000
            heapq.heappush(self._due, (again, part.id, part))

    async def _originate(self, row: sqlite3.Row) -> None:
        """Deliver what a person wrote, part by part, until every part is acknowledged."""
        message = encode(row["text"])
        parts = list(message.parts)
        if self._settings["reverse_parts"]:
            parts.reverse()
        while parts:
            links = self._receivers(self._inbound)
            if links:
                link = links[0]
                await link.room.acquire()
                sequence = link.next_sequence()
                wire = originated_pdu(
                    row["number"], row["destination"], parts[0], sequence,
                    message.esm_class, message.data_coding,
                )  # fmt: skip
                if _acknowledged(await link.post(wire, sequence)):
                    parts.pop(0)
                    continue
            await asyncio.sleep(self._settings["redeliver_ms"] / 1000)
        self._conn.execute(
            "UPDATE outbox SET delivered_at = ? WHERE id = ?", (time.time(), row["id"])
        )
        del self._originating[row["id"]]

    async def stop(self) -> None:
        """Unbind everybody and commit."""
        for task in self._originating.values():
            task.cancel()
        calls = [asyncio.wait_for(link.call(UNBIND), 0.3) for link in self._sessions]
        await asyncio.gather(*calls, return_exceptions=True)
        for link in self._links:
            link.close()
        self._ledger.flush()


def _acknowledged(outcome: Frame | Silence) -> bool:
    return isinstance(outcome, Frame) and outcome.status == ROK


async def serve(directory: Path, port: int, accounts: dict[str, str], inbound: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    conn = open_store(directory)
    smsc = Smsc(conn, accounts, inbound)
    over = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, over.set)
    server = await loop.create_server(smsc.connection, "127.0.0.1", port)
    print(f"SMSC listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    life = asyncio.create_task(smsc.run())
    ended = asyncio.create_task(over.wait())
    await asyncio.wait({life, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    life.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await life
    await smsc.stop()
    conn.close()


def main() -> None:
    """Run the SMSC."""
    parser = argparse.ArgumentParser(prog="python -m channels.lab.smsc", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="0 chooses a free one")
    parser.add_argument("--system-id", default="", help="the sending account; any when left out")
    parser.add_argument("--password", default="")
    parser.add_argument("--inbound-system-id", default="", help="takes what people write")
    parser.add_argument("--inbound-password", default="")
    given = parser.parse_args()
    accounts = {given.system_id: given.password} if given.system_id else {}
    if given.inbound_system_id:
        accounts[given.inbound_system_id] = given.inbound_password
    asyncio.run(serve(given.dir, given.port, accounts, given.inbound_system_id))


if __name__ == "__main__":
    main()
