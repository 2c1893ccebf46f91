"""The SMTP listener for what comes back: answers, bounces, unsubscribe mails.

A mail is acknowledged only after it was stored; the server that sent it keeps it until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from channels.email_reply import RawMail

__all__ = ["MailInbox", "RawMail"]

_log = logging.getLogger(__name__)

_MAX_RECIPIENTS = 20
_MAX_CONNECTIONS = 100
_STORED = "250 2.0.0 Stored"
_NOT_STORED = "451 4.3.0 Not stored, try again later"
_NOT_HERE = "550 5.1.1 No such mailbox here"
_TOO_MANY = "452 4.5.3 Too many recipients"


class _Connection(SMTP):
    """aiosmtpd's server side, with room for the overlong HTML lines some programs send."""

    line_length_limit = 65_536


class MailInbox:
    """Listens on one address and hands every mail to `store` before it is acknowledged."""

    def __init__(
        self,
        host: str,
        port: int,
        store: Callable[[RawMail], Awaitable[None]],
        *,
        domain: str | None = None,
        size_limit: int = 10 * 1024 * 1024,
        timeout: float = 60.0,
    ) -> None:
        """Prepare the listener; port 0 takes a free one.

        With a `domain`, mail to any other is refused before its body is read.
        """
        self._address = (host, port)
        self._store = store
        self._suffix = f"@{domain.lower()}" if domain else ""
        self._size_limit = size_limit
        self._timeout = timeout
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        if self._server is None:
            return self._address[1]
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Start to listen."""
        # aiosmtpd logs every command, people's addresses included, at INFO.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, *self._address)

    async def close(self) -> None:
        """Stop to listen and end what is connected; unacknowledged mails will come again."""
        if self._server is None:
            return
        self._server.close()
        for transport in tuple(self._connections):
            transport.close()
        self._server = None

    def _connection(self) -> SMTP:
        return _Connection(
            self,
            data_size_limit=self._size_limit,
            enable_SMTPUTF8=True,
            hostname=self._suffix.removeprefix("@") or "localhost",
            ident="ESMTP",
            timeout=self._timeout,
            loop=asyncio.get_running_loop(),
        )

    async def handle_EHLO(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Greet, unless too many others are being served already."""
        self._connections = {known for known in self._connections if not known.is_closing()}
        if len(self._connections) >= _MAX_CONNECTIONS:
            return ["421 4.3.2 Too many connections, try again later"]
        self._connections.add(cast(asyncio.Transport, server.transport))
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take recipients of our own domain."""
        if not address.lower().endswith(self._suffix):
            return _NOT_HERE
        if len(envelope.rcpt_tos) >= _MAX_RECIPIENTS:
            return _TOO_MANY
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Store first, acknowledge then."""
        mail = RawMail(
            mail_from="" if envelope.mail_from in (None, "<>") else str(envelope.mail_from),
            rcpt_tos=tuple(envelope.rcpt_tos),
            data=envelope.original_content or b"",
            received_at=datetime.now(UTC),
            remote=str(session.peer[0]) if session.peer else "",
        )
        try:
            await self._store(mail)
        except Exception:
            _log.exception("a mail could not be stored; its server was told to try again")
            return _NOT_STORED
        return _STORED
