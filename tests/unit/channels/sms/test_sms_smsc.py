"""The lab's SMSC, tried with SMPP stacks that are not ours, and its handsets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiosmpplib
import pytest
import smpp34

from channels.lab.smsc import answer, handsets, messages, switch
from channels.sms import SmsChannel
from channels.sms_errors import ReceiptState
from channels.sms_inbox import SmsInbox
from channels.sms_pdu import RawPdu, parse_receipt
from tests.unit.channels.sms.lab import Lab, batch, fresh, sent, until


@pytest.fixture
async def pair(lab: Lab) -> AsyncIterator[tuple[SmsChannel, list[RawPdu]]]:
    kept: list[RawPdu] = []

    async def store(pdus: Sequence[RawPdu]) -> None:
        kept.extend(pdus)

    channel, inbox = SmsChannel(lab.url, "HANOI"), SmsInbox(lab.url, store)
    await channel.open()
    await inbox.open()
    await inbox.bound(30)
    yield channel, kept
    await channel.close()
    await inbox.close()


async def test_smpp34_can_talk_to_it(lab: Lab) -> None:
    await lab.set(receipt_rate=1)
    client = smpp34.Client("127.0.0.1", lab.port, "city", "s@cret", bind_type="TRX")
    smsc = await client.connect()
    (number,) = fresh(1)
    response = await smsc.submit_sm(
        number[1:], b"hello", source_addr="HANOI", dest_addr_ton=1, registered_delivery=1
    )
    assert response.is_success
    receipt = await asyncio.wait_for(smsc.next(), 30)
    assert isinstance(receipt, smpp34.DeliverSmEvent)
    assert receipt.short_message.startswith(f"id:{response.message_id} ".encode())
    await smsc.unbind()
    await client.stop()
    await until(lambda: [row["text"] for row in lab.rows("message", [number])] == ["hello"])


class Hook(aiosmpplib.AbstractHook):
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.bound = asyncio.Event()

    async def sending(self, *_: object) -> None: ...

    async def send_error(self, *_: object) -> None: ...

    async def received(self, message: object, pdu: bytes, client_id: str) -> None:
        self.bound.set()
        if isinstance(message, aiosmpplib.DeliverSm):
            self.texts.append(message.short_message)


async def test_aiosmpplib_can_talk_to_it(lab: Lab) -> None:
    hook = Hook()
    esme = aiosmpplib.ESME(
        "127.0.0.1",
        lab.port,
        "city",
        "s@cret",
        bind_mode=aiosmpplib.BindMode.RECEIVER,
        hook=hook,
        log_level="CRITICAL",
    )
    life = asyncio.create_task(esme.start())
    await asyncio.wait_for(hook.bound.wait(), 30)
    (number,) = fresh(1)
    answer(lab.conn, number, "1022", "Ngập sâu ở hầm")
    await until(lambda: hook.texts == ["Ngập sâu ở hầm"])
    await until(lambda: messages(lab.conn, number)[0].delivered)
    await esme.stop()
    await life


async def test_a_phone_that_is_off_gets_what_is_still_valid(
    lab: Lab, pair: tuple[SmsChannel, list[RawPdu]]
) -> None:
    channel, kept = pair
    (number,) = fresh(1)
    switch(lab.conn, number, online=False)
    await lab.set(receipt_rate=1)
    await sent(channel, batch([number], "Het han", minutes=2 / 60))
    await sent(channel, batch([number], "Con han"))
    assert messages(lab.conn, number) == []
    await until(lambda: len(kept) == 1)
    assert parse_receipt(kept[0]).state is ReceiptState.EXPIRED
    switch(lab.conn, number, online=True)
    await until(lambda: len(kept) == 2)
    assert parse_receipt(kept[1]).state is ReceiptState.CONFIRMED
    await until(lambda: [one.text for one in messages(lab.conn, number)] == ["Con han"])


async def test_a_phone_that_is_off_is_remembered_over_a_restart(own_lab: Lab) -> None:
    channel = SmsChannel(own_lab.url, "HANOI")
    await channel.open()
    (number,) = fresh(1)
    switch(own_lab.conn, number, online=False)
    await own_lab.set()
    text = "Đang giữ hộ " * 12
    await sent(channel, batch([number], text))
    own_lab.stop()
    own_lab.start()
    assert messages(own_lab.conn, number) == []
    switch(own_lab.conn, number, online=True)
    await until(lambda: [one.text for one in messages(own_lab.conn, number)] == [text])
    await channel.close()


async def test_undeliverable_numbers_are_reported_by_the_network(
    lab: Lab, pair: tuple[SmsChannel, list[RawPdu]]
) -> None:
    channel, kept = pair
    await lab.set(receipt_rate=1, undeliverable_rate=1)
    numbers = fresh(1)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: len(kept) == 1)
    receipt = parse_receipt(kept[0])
    assert (receipt.state, receipt.reason) == (
        ReceiptState.FAILED,
        "UNDELIV err:001 unknown subscriber",
    )
    assert receipt.unknown
    assert lab.rows("message", numbers) == []


async def test_what_was_written_to_others_goes_to_the_inbound_account(own_lab: Lab) -> None:
    own_lab.stop()
    own_lab.extra = ["--inbound-system-id", "n1022", "--inbound-password", "other"]
    own_lab.start()
    kept: dict[str, list[RawPdu]] = {"city": [], "n1022": []}
    inboxes = []
    for account, url in (
        ("city", own_lab.url),
        ("n1022", f"smpp://n1022:other@127.0.0.1:{own_lab.port}"),
    ):

        async def store(pdus: Sequence[RawPdu], account: str = account) -> None:
            kept[account].extend(pdus)

        inboxes.append(SmsInbox(url, store))
        await inboxes[-1].open()
        await inboxes[-1].bound(30)
    channel = SmsChannel(own_lab.url, "HANOI")
    await channel.open()
    (number,) = fresh(1)
    await sent(channel, batch([number], "x"))
    answer(own_lab.conn, number, "1022", "Ngap")
    await until(lambda: kept["n1022"] and kept["city"])
    assert kept["n1022"][0].short_message == b"Ngap"
    assert parse_receipt(kept["city"][0]).state is ReceiptState.CONFIRMED
    assert (len(kept["city"]), len(kept["n1022"])) == (1, 1)
    for one in (*inboxes, channel):
        await one.close()


async def test_the_page_finds_phones_and_reads_conversations(lab: Lab) -> None:
    channel = SmsChannel(lab.url, "HANOI")
    await channel.open()
    numbers = fresh(3)
    await sent(channel, batch(numbers, "Bao"))
    await channel.close()
    await until(lambda: len(lab.rows("message", numbers)) == 3)
    answer(lab.conn, numbers[0], "1022", "Cam on")
    assert [(one.text, one.outgoing, one.peer) for one in messages(lab.conn, numbers[0])] == [
        ("Bao", False, "HANOI"),
        ("Cam on", True, "1022"),
    ]
    (found,) = handsets(lab.conn, limit=5, search=numbers[1])
    assert (found.number, found.online, found.messages) == (numbers[1], True, 1)
    assert found.last_text == "Bao"
    assert len(handsets(lab.conn, limit=2)) == 2
    switch(lab.conn, numbers[1], online=False)
    assert not handsets(lab.conn, search=numbers[1])[0].online
    switch(lab.conn, numbers[1], online=True)
