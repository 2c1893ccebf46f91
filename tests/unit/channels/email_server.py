"""An SMTP server that does what a test tells it, command by command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

HANG_UP = "HANG UP"
SILENCE = "SILENCE"

Rule = Callable[[str, str], str | None]
"""Given the verb (`MAIL`, `RCPT`, `DATA`, `BODY`, `GREETING` …) and its argument; returns the
reply, HANG_UP, SILENCE or None for the usual answer."""

USUAL = {
    "GREETING": "220 test ESMTP",
    "MAIL": "250 2.1.0 OK",
    "RCPT": "250 2.1.5 OK",
    "DATA": "354 go on",
    "BODY": "250 2.0.0 queued",
    "RSET": "250 2.0.0 OK",
    "QUIT": "221 2.0.0 bye",
}


@dataclass
class Mail:
    mail_from: str
    rcpt: str
    data: bytes


@dataclass
class Server:
    rule: Rule = lambda verb, arg: None
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 1000000")
    mails: list[Mail] = field(default_factory=list)
    connections: int = 0
    verbs: list[str] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    port: int = 0
    _sessions: set[Session] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Die at once, with every connection."""
        if self._server:
            self._server.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        for session in tuple(self._sessions):
            session.transport.abort()

    def say(self, line: str) -> None:
        for session in self._sessions:
            session.transport.write(line.encode() + b"\r\n")

    @property
    def open_connections(self) -> int:
        return len(self._sessions)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


class Session(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""
        self.in_body = False
        self.mail_from = self.rcpt = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections += 1
        self.server._sessions.add(self)
        self.reply("GREETING", "")

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        self.server.reads.append(data)
        self.buffer += data
        while not self.transport.is_closing():
            end = b"\r\n.\r\n" if self.in_body else b"\r\n"
            head, found, rest = self.buffer.partition(end)
            if not found:
                return
            self.buffer = rest
            if self.in_body:
                self.in_body = False
                mail = Mail(self.mail_from, self.rcpt, head.replace(b"\r\n..", b"\r\n.") + b"\r\n")
                if self.reply("BODY", self.rcpt).startswith("250"):
                    self.server.mails.append(mail)
            else:
                self.command(head.decode())

    def command(self, line: str) -> None:
        verb, _, arg = line.partition(" ")
        if verb == "EHLO":
            self.reply_lines(["test", *self.server.extensions])
            return
        if verb == "MAIL":
            self.mail_from, self.rcpt = arg[6:].split(">")[0], ""
        answer = self.reply(verb, arg)
        if verb == "RCPT" and answer.startswith("250"):
            self.rcpt = arg[4:].split(">")[0]
        self.in_body = verb == "DATA" and answer.startswith("354")

    def reply(self, verb: str, arg: str) -> str:
        self.server.verbs.append(verb)
        answer = self.server.rule(verb, arg)
        if answer is None:
            refused = verb == "DATA" and not self.rcpt
            answer = "503 5.5.1 need RCPT" if refused else USUAL.get(verb, "500 5.5.1 what?")
        if answer == HANG_UP:
            self.transport.abort()
        elif answer != SILENCE:
            self.transport.write(answer.encode() + b"\r\n")
            if answer.startswith("421"):
                self.transport.close()
        return answer

    def reply_lines(self, lines: list[str]) -> None:
        *first, last = lines
        text = "".join(f"250-{line}\r\n" for line in first) + f"250 {last}\r\n"
        self.transport.write(text.encode())
