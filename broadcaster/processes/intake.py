"""The listening process: SMPP receiver binds and the SMTP listener.

Everything is committed before the carrier is answered, so a carrier repeats what we lose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime

import structlog

from broadcaster import db
from broadcaster.fanout import providers, receipts
from broadcaster.incidents import inbox
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.processes import alive
from broadcaster.processes.accounts import inbound
from broadcaster.provider_file import ProviderSettings, account_of
from broadcaster.settings import Settings
from channels.email_inbox import MailInbox
from channels.email_reply import RawMail
from channels.sms_errors import ReceiptState
from channels.sms_flavours import Reading
from channels.sms_inbox import SmsInbox
from channels.sms_pdu import RawPdu, is_receipt, parse_receipt

log = structlog.get_logger(__name__)

# An SMSC says EXPIRED when the handset stayed out of reach to the end: the message failed.
_NEWS = {
    ReceiptState.CONFIRMED: "confirmed",
    ReceiptState.FAILED: "failed",
    ReceiptState.EXPIRED: "failed",
    ReceiptState.NO_NEWS: "none",
}


def read_receipt(pdu: RawPdu, reading: Reading) -> receipts.Receipt:
    """Say what a receipt tells; one that names no message is kept all the same, and never joins."""
    try:
        told = parse_receipt(pdu, reading.flavour)
    except ValueError:
        return receipts.Receipt([], "none", "unreadable", dead=False, raw=pdu.wire)
    return receipts.Receipt(
        message_ids=reading.message_ids(told.message_id.strip()),
        news=_NEWS[told.state],
        reason=told.reason,
        dead=told.unknown,
        raw=pdu.wire,
        sure=reading.sure,
    )


class Listener:
    """Stores what arrives and wakes the stage that reads it."""

    def __init__(self, pool: db.Pool, keyring: Keyring, waker: Waker) -> None:
        self._pool = pool
        self._keyring = keyring
        self._waker = waker
        self._numbers = receipts.Numbers()

    def pdu_store(
        self, provider_id: int, url: str
    ) -> Callable[[Sequence[RawPdu]], Awaitable[None]]:
        """Make the function the receiver bind of one account hands what arrived to.

        How its receipts are read stands in its address; raises ValueError when that is wrong.
        """
        reading = Reading.of(url)

        async def store(pdus: Sequence[RawPdu]) -> None:
            now = datetime.now(UTC)
            written, told = [], []
            for pdu in pdus:
                if is_receipt(pdu):
                    told.append((provider_id, read_receipt(pdu, reading)))
                else:
                    written.append(pdu)
            # Mostly receipts alone: those are one statement, which needs no transaction around it.
            async with (
                self._pool.acquire() as conn,
                conn.transaction() if written else nullcontext(),
            ):
                if told:
                    await receipts.store(conn, self._keyring, now, told, self._numbers)
                for pdu in written:
                    await inbox.store_sms(conn, self._keyring, now, pdu)
            # For receipts nobody is woken: they come by the thousand, and the stage that joins
            # them looks twice a second.
            if written:
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
    sign_of_life = asyncio.create_task(alive.beat(pool, "intake"))
    log.info("intake ready", smpp=len(inboxes), smtp_port=mail.port)
    try:
        await stopping.wait()
    finally:
        sign_of_life.cancel()
        await asyncio.gather(sign_of_life, return_exceptions=True)
        await asyncio.gather(mail.close(), *(bind.close() for bind in inboxes))
        await waker.close()
        await pool.close()


async def _inboxes(pool: db.Pool, settings: Settings, listener: Listener) -> list[SmsInbox]:
    """One receiver bind per account: receipts belong to the one that sent."""
    inboxes = []
    for name, url in inbound(settings):
        account = account_of(ProviderSettings("sms", name, url))
        async with pool.acquire() as conn:
            provider_id = await providers.register(conn, "sms", name, account)
        inboxes.append(SmsInbox(url, listener.pdu_store(provider_id, url)))
    return inboxes
