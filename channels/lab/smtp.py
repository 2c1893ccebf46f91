"""A local mail server: takes every mail, keeps it, and fails as often as it is told to.

    python -m channels.lab.smtp --dir DIR --port P [--inbound HOST:PORT]

It is its own process; `smtp.sqlite` in DIR holds what it received and its settings.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import re
import signal
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.lab import smtp_mail, store

CARRIER = "smtp"
SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY, mail_from TEXT NOT NULL, rcpt TEXT NOT NULL, subject TEXT NOT NULL,
    headers TEXT NOT NULL, text TEXT NOT NULL, html TEXT NOT NULL, raw BLOB NOT NULL,
    received_at REAL NOT NULL, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS mail_rcpt ON mail (rcpt, id);
CREATE TABLE IF NOT EXISTS answer (
    id INTEGER PRIMARY KEY, mail_id INTEGER NOT NULL REFERENCES mail, text TEXT NOT NULL,
    sent_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS answer_mail ON answer (mail_id);
"""
DEFAULTS = {
    "delay_ms": 0.0,
    "jitter_ms": 0.0,
    "tempfail_rate": 0.0,
    "unknown_user_rate": 0.0,
    "bounce_rate": 0.0,
    "drop_rate": 0.0,
}
_POLL = 0.1
_BOUNCE_DELAY = 0.2
_chance = random.SystemRandom()


class Lab:
    """The server's behaviour, called by aiosmtpd for each step of a dialogue."""

    def __init__(self, conn: sqlite3.Connection, inbound: tuple[str, int] | None) -> None:
        self._conn = conn
        self._inbound = inbound
        self._tasks: set[asyncio.Task[None]] = set()
        self.settings = dict(DEFAULTS)
        self.received = 0

    async def handle_EHLO(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Offer pipelining: aiosmtpd reads command by command and so has always done it."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse the share of addresses that nobody lives at: always the same ones."""
        share = zlib.crc32(address.lower().encode()) / 2**32
        if share < self.settings["unknown_user_rate"]:
            return "550 5.1.1 No such user here"
        if _chance.random() < self.settings["tempfail_rate"]:
            return "451 4.3.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail, then answer, hang up or bounce as the settings say."""
        await self._wait()
        raw = envelope.original_content or b""
        drop = _chance.random() < self.settings["drop_rate"]
        for rcpt in envelope.rcpt_tos:
            self._keep(_null_path(envelope.mail_from), rcpt, raw, drop)
        if drop:
            cast(asyncio.Transport, server.transport).abort()
        elif self._inbound and _chance.random() < self.settings["bounce_rate"]:
            self._later(self._bounce(_null_path(envelope.mail_from), envelope.rcpt_tos, raw))
        return "250 2.0.0 OK"

    async def _wait(self) -> None:
        jitter = self.settings["jitter_ms"]
        delay = self.settings["delay_ms"] + (_chance.uniform(0, jitter) if jitter else 0)
        if delay > 0:
            await asyncio.sleep(delay / 1000)

    def _keep(self, mail_from: str, rcpt: str, raw: bytes, dropped: bool) -> None:
        seen = smtp_mail.read(raw)
        self._conn.execute(
            "INSERT INTO mail (mail_from, rcpt, subject, headers, text, html, raw, received_at,"
            " dropped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                mail_from,
                rcpt.lower(),
                seen.subject,
                seen.headers,
                seen.text,
                seen.html,
                raw,
                time.time(),
                dropped,
            ),
        )
        self.received += 1

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bounce(self, return_path: str, rcpts: list[str], raw: bytes) -> None:
        if not return_path or self._inbound is None:
            return
        await asyncio.sleep(_BOUNCE_DELAY)
        for rcpt in rcpts:
            notice = smtp_mail.bounce(return_path, rcpt, raw)
            try:
                await smtp_mail.deliver("", return_path, notice, *self._inbound)
            except OSError as error:
                print(f"bounce not delivered: {error}", file=sys.stderr)

    async def follow_settings(self) -> None:
        """Read the settings again and again; tests and the /lab page change them."""
        while True:
            with store.answering(self._conn):
                self.settings = store.settings(self._conn, DEFAULTS)
            await asyncio.sleep(_POLL)


def _null_path(mail_from: str | None) -> str:
    return "" if mail_from in (None, "<>") else str(mail_from)


def connect(directory: Path) -> sqlite3.Connection:
    """Open the server's store."""
    return store.connect(directory, CARRIER, SCHEMA)


def mailboxes(conn: sqlite3.Connection, limit: int = 50, search: str = "") -> list[sqlite3.Row]:
    """List mailboxes, the last written to first: address, mails, subject and received_at."""
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", search.lower()) + "%"
    return conn.execute(
        "SELECT m.rcpt AS address, count(*) AS mails, max(m.id) AS mail_id, m.subject,"
        " m.received_at FROM mail m WHERE m.rcpt LIKE ? ESCAPE '\\'"
        " GROUP BY m.rcpt ORDER BY mail_id DESC LIMIT ?",
        (pattern, limit),
    ).fetchall()


def mails(conn: sqlite3.Connection, address: str) -> list[sqlite3.Row]:
    """List the mails of one mailbox, newest first, with the last answer given to each."""
    return conn.execute(
        "SELECT m.id, m.mail_from, m.rcpt, m.subject, m.headers, m.text, m.html, m.received_at,"
        " m.dropped, (SELECT text FROM answer a WHERE a.mail_id = m.id ORDER BY a.id DESC LIMIT 1)"
        " AS answer FROM mail m WHERE m.rcpt = ? ORDER BY m.id DESC",
        (address.lower(),),
    ).fetchall()


async def answer(
    conn: sqlite3.Connection, mail_id: int, text: str, inbound_host: str, inbound_port: int
) -> None:
    """Answer a mail as the person who received it, from a Vietnamese Gmail.

    Raises LookupError when there is no such mail, OSError when it cannot be delivered.
    """
    row = conn.execute("SELECT rcpt, raw FROM mail WHERE id = ?", (mail_id,)).fetchone()
    if row is None:
        raise LookupError(f"no mail {mail_id}")
    to, reply = smtp_mail.gmail_reply(row["rcpt"], row["raw"], text)
    await smtp_mail.deliver(row["rcpt"], to, reply, inbound_host, inbound_port)
    conn.execute(
        "INSERT INTO answer (mail_id, text, sent_at) VALUES (?, ?, ?)",
        (mail_id, text, time.time()),
    )


def session_factory(handler: object) -> Callable[[], SMTP]:
    """Make the protocol factory; the host name is given because asking for it blocks."""

    def make() -> SMTP:
        loop = asyncio.get_running_loop()
        return SMTP(handler, enable_SMTPUTF8=True, hostname="lab.example", loop=loop)

    return make


async def serve(directory: Path, port: int, inbound: tuple[str, int] | None) -> None:
    """Run until SIGTERM or SIGINT; prints one line when ready."""
    # aiosmtpd writes every command, addresses included, to this log.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    conn = connect(directory)
    lab = Lab(conn, inbound)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(session_factory(lab), "127.0.0.1", port, backlog=512)
    print(f"listening 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    following = asyncio.create_task(lab.follow_settings())
    await stopped.wait()
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    server.close()
    conn.close()


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="channels.lab.smtp", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--inbound", type=_host_port, metavar="HOST:PORT")
    args = parser.parse_args()
    uvloop.run(serve(args.dir, args.port, args.inbound))


if __name__ == "__main__":
    main()
