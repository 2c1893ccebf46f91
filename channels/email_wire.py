"""One kept SMTP connection.

aiosmtplib connects, secures and signs in; then this protocol takes the transport over, because
three things matter here that the library's own dialogue does not offer: knowing whether the body
had been written when a connection broke, pipelining (RFC 2920), which halves the waiting, and a
dialogue of callbacks: a task and its futures for each mail would cost more than the mail.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import aiosmtplib

from channels.email_errors import Stage

_MAX_LINE: Final = 65_536
_MAX_LINES: Final = 200
_PORTS = {"smtp": 25, "smtps": 465}


class Reply(NamedTuple):
    """One answer of the server, its lines joined."""

    code: int
    text: str


class Refused(NamedTuple):
    """The server answered, and the answer was no."""

    stage: Stage
    reply: Reply


class Lost(NamedTuple):
    """The connection broke, or the answer did not come in time."""

    body_written: bool


End = Reply | Refused | Lost
"""How a mail ended: taken, refused or not known."""
Ended = Callable[["Wire", End], None]


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how to connect, read from `smtp[s]://[user:password@]host[:port]`."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> Server:
        """Read the URL; raises ValueError without repeating it, because it holds a password."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("the mail server must be smtp://host or smtps://host")
        return cls(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            parts.scheme == "smtps",
            unquote(parts.username) if parts.username else None,
            unquote(parts.password or "") if parts.username else None,
        )

    @property
    def loopback(self) -> bool:
        """Whether nothing can listen in between."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def client(
        self, domain: str, timeout: float, tls_context: ssl.SSLContext | None
    ) -> aiosmtplib.SMTP:
        """Make the client that opens one connection.

        A password only ever travels inside verified TLS (or never leaves the machine). Without
        one, STARTTLS is used when offered and any certificate will do: refusing a relay's
        self-signed one would send the same mail in clear text instead (RFC 7435).
        """
        guarded = self.user is not None and not self.loopback
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            use_tls=self.implicit_tls,
            start_tls=True if guarded and not self.implicit_tls else None,
            validate_certs=self.implicit_tls or guarded,
            tls_context=tls_context,
            local_hostname=domain,
            timeout=timeout,
        )


_ENVELOPE: Final = (
    (Stage.MAIL, (250,)),
    (Stage.RCPT, (250, 251)),
    (Stage.DATA, (354,)),
)
"""Each command's stage, and what the server must answer."""
_BODY: Final = len(_ENVELOPE)
_RESET: Final = _BODY + 1
"""Steps of a dialogue: the envelope's three, the body, and the reset after a refusal."""


class Wire(asyncio.Protocol):
    """Hands over mails, one at a time, over a connection that is ready for MAIL."""

    def __init__(self, client: aiosmtplib.SMTP, timeout: float) -> None:
        self._transport = cast(asyncio.Transport, client.transport)
        self._pipelining = client.supports_extension("pipelining")
        self._size = client.supports_extension("size")
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._lines: list[str] = []
        self._ended: Ended | None = None
        self._commands: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        self._message = b""
        self._step = 0
        self._refusal: Refused | None = None
        self._spoke_unasked = False
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._goodbye: asyncio.Future[None] | None = None
        self.lost = False
        self.transactions = 0
        self.idle_since = self._loop.time()
        self._transport.set_protocol(self)

    @classmethod
    async def connect(
        cls, server: Server, domain: str, timeout: float, tls_context: ssl.SSLContext | None
    ) -> Wire:
        """Open a connection; raises what aiosmtplib raises, OSError or TimeoutError."""
        client = server.client(domain, timeout, tls_context)
        await client.connect()
        try:
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            client.close()
            raise
        return cls(client, timeout)

    @property
    def usable(self) -> bool:
        """Whether a mail may start: connected, at rest, nothing said unasked."""
        busy = self._ended is not None
        return not (self.lost or busy or self._spoke_unasked or self._transport.is_closing())

    def start(self, mail_from: str, rcpt: str, message: bytes, ended: Ended) -> None:
        """Hand over one mail; `ended` is called once, when it is taken, refused or lost.

        `message` is ready for the wire, without the closing dot.
        """
        announced = f" SIZE={len(message)}" if self._size else ""
        self._commands = (
            f"MAIL FROM:<{mail_from}>{announced}\r\n".encode("ascii"),
            f"RCPT TO:<{rcpt}>\r\n".encode("ascii"),
            b"DATA\r\n",
        )
        self._message, self._ended = message, ended
        self._step, self._refusal = 0, None
        self.transactions += 1
        self._expect()
        self._transport.write(b"".join(self._commands) if self._pipelining else self._commands[0])

    def data_received(self, data: bytes) -> None:
        """Collect whole answers; an answer may arrive in pieces and several at once."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._unread) > _MAX_LINE or len(self._lines) > _MAX_LINES:
            self.abort()

    def _line(self, line: bytes) -> None:
        code = line[:3]
        if not code.isdigit():
            self.abort()
            return
        self._lines.append(line[4:].decode("utf-8", "replace").strip())
        if line[3:4] == b"-":
            return
        reply = Reply(int(code), "\n".join(self._lines))
        self._lines.clear()
        self._answered(reply)

    def _answered(self, reply: Reply) -> None:
        if self._goodbye is not None and not self._goodbye.done():
            self._goodbye.set_result(None)
        elif self._ended is None:
            self._spoke_unasked = True
        elif self._step == _BODY:
            taken = 200 <= reply.code < 300
            self._rest(reply, reply if taken else Refused(Stage.DATA, reply))
        elif self._step == _RESET and self._refusal is not None:
            self._rest(reply, self._refusal)
        else:
            self._envelope(reply)

    def _envelope(self, reply: Reply) -> None:
        stage, wanted = _ENVELOPE[self._step]
        self._step += 1
        if reply.code not in wanted and self._refusal is None:
            self._refusal = Refused(stage, reply)
        if reply.code == 421 or (self._refusal is not None and not self._pipelining):
            self._recover(reply)
        elif self._step < _BODY:
            self._expect()
            if not self._pipelining:
                self._transport.write(self._commands[self._step])
        elif self._refusal is not None:
            self._recover(reply)
        else:
            self._expect()
            self._transport.write(self._message + b".\r\n")

    def _recover(self, last: Reply) -> None:
        """Bring the dialogue back to rest after a refused envelope.

        A server that still wants the body (354 behind a refused recipient) would have to be
        given one: leave it instead.
        """
        refusal = self._refusal
        if refusal is None:
            raise AssertionError("nothing was refused")
        if last.code in (354, 421) or refusal.reply.code < 400:
            self._finish(refusal)
            self.abort()
        else:
            self._step = _RESET
            self._expect()
            self._transport.write(b"RSET\r\n")

    def _rest(self, last: Reply, end: End) -> None:
        """End the dialogue; a server that says 421 closes the connection with it."""
        self.idle_since = self._loop.time()
        if last.code == 421:
            self.lost = True
            self._transport.abort()
        self._finish(end)

    def _finish(self, end: End) -> None:
        ended, self._ended = self._ended, None
        self._message = b""
        if ended is not None:
            ended(self, end)

    def _expect(self) -> None:
        """Give the server its time for the next answer; one timer serves all of them."""
        self._deadline = self._loop.time() + self._timeout
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._ended is None:
            return
        left = self._deadline - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that nothing more will come, and say what became of the mail under way."""
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._goodbye is not None and not self._goodbye.done():
            self._goodbye.set_result(None)
        self._lose()

    def _lose(self) -> None:
        if self._ended is None:
            return
        if self._step == _RESET and self._refusal is not None:
            self._finish(self._refusal)
        else:
            self._finish(Lost(self._step == _BODY))

    def withdraw(self) -> None:
        """Take the mail under way back while its body is not written; later it takes its course."""
        if self._step != _BODY:
            self.abort()

    async def quit(self) -> None:
        """Say goodbye when the dialogue is at rest, and close."""
        if self.usable:
            self._goodbye = self._loop.create_future()
            self._transport.write(b"QUIT\r\n")
            try:
                async with asyncio.timeout(1):
                    await self._goodbye
            except TimeoutError:
                pass
        self.abort()

    def abort(self) -> None:
        """Close at once; the dialogue cannot be trusted any more."""
        self.lost = True
        self._transport.abort()
        self._lose()
