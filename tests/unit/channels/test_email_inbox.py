"""The listener for incoming mail: stored first, acknowledged then."""

from __future__ import annotations

import asyncio
import logging
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from channels.email_inbox import MailInbox, RawMail

DOMAIN = "tin.canhbao.example"
MAIL = "From: Lê <a@cu.example>\r\nSubject: ngập\r\n\r\nNước lên\r\n.dấu chấm\r\n".encode()


@asynccontextmanager
async def inbox(
    store: Callable[[RawMail], Awaitable[None]], **options: object
) -> AsyncIterator[MailInbox]:
    listener = MailInbox("127.0.0.1", 0, store, domain=DOMAIN, **options)  # type: ignore[arg-type]
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close()


async def hand_in(
    listener: MailInbox,
    data: bytes = MAIL,
    mail_from: str = "a@cu.example",
    rcpts: tuple[str, ...] = (f"reply+tok@{DOMAIN}",),
) -> None:
    def run() -> None:
        with smtplib.SMTP("127.0.0.1", listener.port, "test", timeout=30) as client:
            client.sendmail(mail_from, list(rcpts), data)

    await asyncio.to_thread(run)


async def test_a_mail_is_stored_byte_for_byte_with_its_envelope() -> None:
    kept: list[RawMail] = []

    async def store(mail: RawMail) -> None:
        kept.append(mail)

    rcpts = (f"reply+tok@{DOMAIN}", f"canhbao@{DOMAIN.upper()}")
    async with inbox(store) as listener:
        await hand_in(listener, rcpts=rcpts)
    (mail,) = kept
    assert (mail.mail_from, mail.rcpt_tos, mail.data) == ("a@cu.example", rcpts, MAIL)
    assert mail.remote == "127.0.0.1"
    assert datetime.now(UTC) - mail.received_at < timedelta(seconds=5)


async def test_the_empty_return_path_of_a_bounce_is_empty() -> None:
    kept: list[RawMail] = []

    async def store(mail: RawMail) -> None:
        kept.append(mail)

    async with inbox(store) as listener:
        await hand_in(listener, mail_from="")
    assert kept[0].mail_from == ""


async def test_the_answer_waits_for_the_store() -> None:
    may_store = asyncio.Event()

    async def store(mail: RawMail) -> None:
        await may_store.wait()

    async with inbox(store) as listener:
        sending = asyncio.create_task(hand_in(listener))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        may_store.set()
        await asyncio.wait_for(sending, 30)


async def test_a_mail_that_cannot_be_stored_is_asked_for_again() -> None:
    tries: list[RawMail] = []

    async def store(mail: RawMail) -> None:
        tries.append(mail)
        if len(tries) == 1:
            raise ConnectionError("the database is away")

    async with inbox(store) as listener:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            await hand_in(listener)
        assert refused.value.smtp_code == 451
        await hand_in(listener)
    assert len(tries) == 2


async def keep_nothing(mail: RawMail) -> None:
    raise AssertionError("nothing may be stored")


async def test_mail_for_other_domains_is_not_taken() -> None:
    async with inbox(keep_nothing) as listener:
        for rcpt in ("a@elsewhere.example", f"a@x{DOMAIN}", f"a@{DOMAIN}.example"):
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                await hand_in(listener, rcpts=(rcpt,))


async def test_a_mail_beyond_the_limit_is_refused_announced_or_not() -> None:
    async with inbox(keep_nothing, size_limit=1_000) as listener:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            await hand_in(listener, MAIL + b"x\r\n" * 1_000)
        assert refused.value.smtp_code == 552

        def unannounced() -> int:
            with smtplib.SMTP("127.0.0.1", listener.port, "test", timeout=30) as client:
                client.helo()
                client.mail("a@cu.example")
                client.rcpt(f"reply@{DOMAIN}")
                return client.data(MAIL + b"x\r\n" * 1_000)[0]

        assert await asyncio.to_thread(unannounced) == 552


async def test_overlong_lines_and_utf8_addresses_are_taken() -> None:
    kept: list[RawMail] = []

    async def store(mail: RawMail) -> None:
        kept.append(mail)

    def run(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, "test", timeout=30) as client:
            client.ehlo()
            client.command_encoding = "utf-8"
            assert client.docmd("MAIL FROM:<lê@cu.example> SMTPUTF8")[0] == 250
            assert client.docmd(f"RCPT TO:<reply@{DOMAIN}>")[0] == 250
            assert client.data(b"Subject: x\r\n\r\n" + b"a" * 20_000 + b"\r\n")[0] == 250

    async with inbox(store) as listener:
        await asyncio.to_thread(run, listener.port)
    assert kept[0].mail_from == "lê@cu.example"
    assert len(kept[0].data) > 20_000


async def test_a_connection_cut_before_the_end_stores_nothing() -> None:
    async with inbox(keep_nothing) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(
            f"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<r@{DOMAIN}>\r\nDATA\r\nhal".encode()
        )
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.sleep(0.05)


async def test_nobodys_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def store(mail: RawMail) -> None:
        raise ConnectionError("away")

    caplog.set_level(logging.DEBUG)
    async with inbox(store) as listener:
        with pytest.raises(smtplib.SMTPDataError):
            await hand_in(listener)
    assert "a@cu.example" not in caplog.text
    assert "could not be stored" in caplog.text


async def test_the_hundred_and_first_connection_is_asked_to_come_later() -> None:
    async with inbox(keep_nothing) as listener:
        others = []
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"EHLO x\r\n")
            await reader.readuntil(b"250 HELP\r\n")
            others.append(writer)

        def last() -> int:
            with smtplib.SMTP("127.0.0.1", listener.port, timeout=30) as client:
                return client.ehlo("x")[0]

        assert await asyncio.to_thread(last) == 421
        others.pop().close()
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(last) == 250
        for writer in others:
            writer.close()
