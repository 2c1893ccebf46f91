"""The listening process: SMPP receiver binds and the SMTP listener.

Everything is committed before the carrier is answered, so a carrier repeats what we lose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from broadcaster import db
from broadcaster.fanout import providers, receipts
from broadcaster.incidents import inbox
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.processes.accounts import smpp_account
from broadcaster.settings import Settings
from channels.email_inbox import MailInbox
from channels.email_reply import RawMail
from channels.sms_errors import ReceiptState
from channels.sms_inbox import SmsInbox
from channels.sms_pdu import RawPdu, is_receipt, message_id_forms, parse_receipt

log = structlog.get_logger(__name__)

# An SMSC says EXPIRED when the handset stayed out of reach to the end: the message failed.
_NEWS = {
    ReceiptState.CONFIRMED: "confirmed",
    ReceiptState.FAILED: "failed",
    ReceiptState.EXPIRED: "failed",
    ReceiptState.NO_NEWS: "none",
}


def _read_receipt(pdu: RawPdu) -> receipts.Receipt:
    read = parse_receipt(pdu)
    written = read.message_id.strip()
    return receipts.Receipt(
        message_ids=[written, *sorted(message_id_forms(written) - {written})],
        news=_NEWS[read.state],
        reason=read.reason,
        dead=read.unknown,
        raw=pdu.wire,
    )


class _Receipts:
    """Commits receipts that arrive together in one transaction, each still before its answer.

    One transaction a receipt would take as much of the machine as sending the message did.
    """

    def __init__(self, pool: db.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._waiting: list[tuple[int, receipts.Receipt, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def store(self, provider_id: int, receipt: receipts.Receipt) -> None:
        """Return once it is committed; raises what the commit raised."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((provider_id, receipt, stored))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await stored

    async def _write(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting, []
            try:
                async with db.transaction(self._pool) as conn:
                    await receipts.store(
                        conn, self._keyring, datetime.now(UTC), [one[:2] for one in some]
                    )
            except Exception as error:
                for *_, stored in some:
                    if not stored.done():
                        stored.set_exception(error)
            else:
                for *_, stored in some:
                    if not stored.done():
                        stored.set_result(None)


class Listener:
    """Stores what arrives and wakes the stage that reads it."""

    def __init__(self, pool: db.Pool, keyring: Keyring, waker: Waker) -> None:
        self._pool = pool
        self._keyring = keyring
        self._waker = waker
        self._receipts = _Receipts(pool, keyring)

    def pdu_store(self, provider_id: int) -> Callable[[RawPdu], Awaitable[None]]:
        """Make the function one SMPP bind hands every deliver_sm to."""

        async def store(pdu: RawPdu) -> None:
            if is_receipt(pdu):
                # Nobody is woken: receipts come by the thousand, and the stage that joins them
                # looks twice a second.
                await self._receipts.store(provider_id, _read_receipt(pdu))
            else:
                async with db.transaction(self._pool) as conn:
                    await inbox.store_sms(conn, self._keyring, datetime.now(UTC), pdu)
                await self._waker.wake("intake")

        return store

    async def mail(self, mail: RawMail) -> None:
        """Store one mail that came in over SMTP."""
        async with db.transaction(self._pool) as conn:
            await inbox.store_mail(conn, self._keyring, datetime.now(UTC), mail)
        await self._waker.wake("intake")


async def run(
    settings: Settings, database_url: str, redis_url: str, stopping: asyncio.Event
) -> None:
    """Listen until `stopping` is set."""
    keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
    pool = await db.connect(database_url, most=16, application="intake")
    waker = Waker(redis_url)
    listener = Listener(pool, keyring, waker)
    inboxes = await _inboxes(pool, settings, listener)
    mail = MailInbox(
        settings.mail_inbound_host,
        settings.mail_inbound_port,
        listener.mail,
        domain=settings.mail_domain,
    )
    await mail.start()
    for bind in inboxes:
        await bind.open()
    log.info("intake ready", smpp=len(inboxes), smtp_port=mail.port)
    try:
        await stopping.wait()
    finally:
        await asyncio.gather(mail.close(), *(bind.close() for bind in inboxes))
        await waker.close()
        await pool.close()


async def _inboxes(pool: db.Pool, settings: Settings, listener: Listener) -> list[SmsInbox]:
    """One receiver bind per account: receipts belong to the one that sent."""
    inboxes = []
    for url in dict.fromkeys(filter(None, (settings.smpp_url, settings.smpp_inbound_url))):
        async with pool.acquire() as conn:
            provider_id = await providers.register(conn, "sms", "smpp", smpp_account(url))
        inboxes.append(SmsInbox(url, listener.pdu_store(provider_id)))
    return inboxes
