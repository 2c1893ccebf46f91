"""One kept SMTP connection.

aiosmtplib connects, secures and signs in; then this protocol takes the transport over, because
two things matter here that the library's own dialogue does not offer: knowing whether the body
had been written when a connection broke, and pipelining (RFC 2920), which halves the waiting.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

import aiosmtplib

from channels.email_errors import Stage

_MAX_BUFFER = 65_536
_PORTS = {"smtp": 25, "smtps": 465}


class Reply(NamedTuple):
    """One answer of the server, its lines joined."""

    code: int
    text: str


class RefusedError(Exception):
    """The server answered, and the answer was no."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        super().__init__(stage, reply.code)
        self.stage = stage
        self.reply = reply


class LostError(Exception):
    """The connection broke, or the answer did not come in time."""

    def __init__(self, *, body_written: bool) -> None:
        super().__init__(body_written)
        self.body_written = body_written


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


class Wire(asyncio.Protocol):
    """Runs mail transactions, one at a time, over a connection that is ready for MAIL."""

    def __init__(self, client: aiosmtplib.SMTP, timeout: float) -> None:
        self._transport = cast(asyncio.Transport, client.transport)
        self._pipelining = client.supports_extension("pipelining")
        self._size = client.supports_extension("size")
        self._timeout = timeout
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._busy = False
        self.lost = False
        self.transactions = 0
        self.idle_since = asyncio.get_running_loop().time()
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
        """Whether a transaction may start: connected, at rest, nothing said unasked."""
        return not (self.lost or self._busy or self._replies or self._transport.is_closing())

    def data_received(self, data: bytes) -> None:
        """Collect whole answers; an answer may arrive in pieces and several at once."""
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFER:
            self.abort()
            return
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].decode("utf-8", "replace").rstrip("\r")
            del self._buffer[: end + 1]
            self._line(line)

    def _line(self, line: str) -> None:
        if not (line[:3].isascii() and line[:3].isdigit()):
            self.abort()
            return
        self._lines.append(line[4:].strip())
        if line[3:4] == "-":
            return
        self._replies.append(Reply(int(line[:3]), "\n".join(self._lines)))
        self._lines.clear()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that nothing more will come."""
        self.lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _reply(self) -> Reply:
        while not self._replies:
            if self.lost:
                raise ConnectionResetError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    async def transact(self, mail_from: str, rcpt: str, message: bytes) -> Reply:
        """Hand over one mail. `message` is ready for the wire, without the closing dot.

        Returns when the server has taken responsibility; raises RefusedError or LostError.
        """
        self._busy = True
        self.transactions += 1
        body_written = False
        try:
            async with asyncio.timeout(self._timeout):
                await self._envelope(mail_from, rcpt, len(message))
            async with asyncio.timeout(self._timeout):
                self._transport.write(message + b".\r\n")
                body_written = True
                reply = await self._reply()
        except (TimeoutError, OSError):
            self.abort()
            raise LostError(body_written=body_written) from None
        except BaseException:
            if self._busy:
                self.abort()
            raise
        self._rest(reply)
        if not 200 <= reply.code < 300:
            raise RefusedError(Stage.DATA, reply)
        return reply

    async def _envelope(self, mail_from: str, rcpt: str, size: int) -> None:
        announced = f" SIZE={size}" if self._size else ""
        commands = (
            (Stage.MAIL, f"MAIL FROM:<{mail_from}>{announced}\r\n".encode("ascii"), (250,)),
            (Stage.RCPT, f"RCPT TO:<{rcpt}>\r\n".encode("ascii"), (250, 251)),
            (Stage.DATA, b"DATA\r\n", (354,)),
        )
        if self._pipelining:
            self._transport.write(b"".join(command for _, command, _ in commands))
        refusal: RefusedError | None = None
        reply = Reply(0, "")
        for stage, command, wanted in commands:
            if not self._pipelining:
                self._transport.write(command)
            reply = await self._reply()
            if reply.code not in wanted and refusal is None:
                refusal = RefusedError(stage, reply)
            if reply.code == 421 or (refusal is not None and not self._pipelining):
                break
        if refusal is not None:
            await self._recover(refusal, reply)
            raise refusal

    async def _recover(self, refusal: RefusedError, last: Reply) -> None:
        """Bring the dialogue back to rest after a refused envelope.

        A server that still wants the body (354 behind a refused recipient) would have to be
        given one: leave it instead.
        """
        if last.code in (354, 421):
            self.abort()
        else:
            self._transport.write(b"RSET\r\n")
            try:
                reply = await self._reply()
            except OSError:
                reply = Reply(421, "")
            self._rest(reply)
        if refusal.reply.code < 400:
            self.abort()

    def _rest(self, reply: Reply) -> None:
        self._busy = False
        self.idle_since = asyncio.get_running_loop().time()
        if reply.code == 421:
            self.abort()

    async def quit(self) -> None:
        """Say goodbye when the dialogue is at rest, and close."""
        if self.usable:
            self._transport.write(b"QUIT\r\n")
            try:
                async with asyncio.timeout(1):
                    await self._reply()
            except (TimeoutError, OSError):
                pass
        self.abort()

    def abort(self) -> None:
        """Close at once; the dialogue cannot be trusted any more."""
        self._busy = False
        self.lost = True
        self._transport.abort()
        self._wake()
