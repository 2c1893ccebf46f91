from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from channels.lab.smsc import answer, messages
from channels.sms import SmsChannel
from channels.sms_errors import ReceiptState
from channels.sms_flavours import Notation, Reading
from channels.sms_inbox import SmsInbox
from channels.sms_pdu import (
    RawPdu,
    is_receipt,
    join_parts,
    parse_receipt,
    part_of,
)
from tests.unit.channels.sms.lab import Lab, batch, fresh, sent, until

REPORT = "Nước ngập tới 0,5m ở phố Phú Thượng, xe chết máy hết rồi, xin giúp đỡ, nhà có người già ạ"


class Store:
    """Keeps what it is given, after failing as often as it is told to."""

    def __init__(self) -> None:
        self.kept: list[RawPdu] = []
        self.seen = 0
        self.failures = 0
        self.poison = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, pdus: Sequence[RawPdu]) -> None:
        self.seen += len(pdus)
        await self.gate.wait()
        if self.poison in {pdu.source for pdu in pdus}:
            raise ValueError("this one cannot be stored")
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the database is away")
        self.kept += pdus


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def inbox(lab: Lab, store: Store) -> AsyncIterator[SmsInbox]:
    inbox = SmsInbox(lab.url, store)
    await inbox.open()
    await inbox.bound(30)
    yield inbox
    store.gate.set()
    await inbox.close()


@pytest.fixture
async def channel(lab: Lab) -> AsyncIterator[SmsChannel]:
    channel = SmsChannel(lab.url, "HANOI")
    await channel.open()
    yield channel
    await channel.close()


def receipts_of(lab: Lab, numbers: list[str]) -> set[str]:
    return {row["receipt"] for row in lab.rows("part", numbers)}


@pytest.mark.parametrize("decimal", [0, 1])
async def test_every_part_gets_a_receipt_that_names_it(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store, decimal: int
) -> None:
    await lab.set(receipt_rate=1, decimal_receipts=decimal)
    numbers = fresh(40)
    outcomes = await sent(channel, batch(numbers, REPORT))
    await until(lambda: len(store.kept) == 80)
    receipts = [parse_receipt(pdu) for pdu in store.kept]
    assert {one.state for one in receipts} == {ReceiptState.CONFIRMED}
    submitted = {one for outcome in outcomes for one in outcome.provider_ids}
    assert ({one.message_id for one in receipts} <= submitted) is (not decimal)
    reading = Reading(ids=Notation.DECIMAL if decimal else Notation.SAME)
    named = [submitted.intersection(reading.message_ids(one.message_id)) for one in receipts]
    assert [len(one) for one in named] == [1] * 80
    assert set.union(*named) == submitted
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})


async def test_a_receipt_is_acknowledged_only_once_it_is_stored(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store
) -> None:
    await lab.set(receipt_rate=1)
    store.gate.clear()
    numbers = fresh(1)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: store.seen == 1)
    await lab.set()
    assert receipts_of(lab, numbers) == {"due"}
    store.gate.set()
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})
    assert len(store.kept) == 1


async def test_what_could_not_be_stored_is_delivered_again(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store
) -> None:
    await lab.set(receipt_rate=1)
    store.failures = 3
    numbers = fresh(1)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})
    assert (store.seen, len(store.kept)) == (4, 1)


async def test_a_process_killed_while_storing_loses_nothing(
    lab: Lab, channel: SmsChannel, store: Store, tmp_path: Path
) -> None:
    await lab.set(receipt_rate=1)
    marker = tmp_path / "storing"
    script = f"""
import asyncio, pathlib
from channels.sms_inbox import SmsInbox

async def store(pdus):
    pathlib.Path({str(marker)!r}).touch()
    await asyncio.sleep(60)

async def main():
    await SmsInbox({lab.url!r}, store).open()
    await asyncio.sleep(60)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    numbers = fresh(1)
    await sent(channel, batch(numbers, "x"))
    await until(marker.exists)
    process.kill()
    await process.wait()
    assert receipts_of(lab, numbers) == {"due"}
    inbox = SmsInbox(lab.url, store)
    await inbox.open()
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})
    await inbox.close()
    assert [pdu.source for pdu in store.kept] == numbers


@pytest.mark.parametrize("reverse", [0, 1])
async def test_what_a_person_writes_is_joined_from_its_parts(
    lab: Lab, inbox: SmsInbox, store: Store, reverse: int
) -> None:
    await lab.set(reverse_parts=reverse)
    (number,) = fresh(1)
    answer(lab.conn, number, "1022", REPORT)
    await until(lambda: len(store.kept) == 2)
    places = [part_of(pdu) for pdu in store.kept]
    assert [place and place[1] for place in places] == ([2, 1] if reverse else [1, 2])
    assert {(pdu.source, pdu.destination) for pdu in store.kept} == {(number, "1022")}
    assert join_parts(store.kept) == REPORT
    assert not any(map(is_receipt, store.kept))
    await until(lambda: messages(lab.conn, number)[0].delivered)


async def test_what_a_person_writes_waits_for_a_receiver(lab: Lab, store: Store) -> None:
    (number,) = fresh(1)
    answer(lab.conn, number, "1022", "Ngap roi")
    await lab.set()
    assert not messages(lab.conn, number)[0].delivered
    inbox = SmsInbox(lab.url, store)
    await inbox.open()
    await until(lambda: messages(lab.conn, number)[0].delivered)
    assert [join_parts([pdu]) for pdu in store.kept] == ["Ngap roi"]
    await inbox.close()
    await inbox.close()


async def test_more_than_can_be_stored_at_once_waits_its_turn(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store
) -> None:
    await lab.set(receipt_rate=1)
    store.gate.clear()
    numbers = fresh(200)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: store.seen)
    await lab.set()
    assert store.seen <= 50
    assert receipts_of(lab, numbers) == {"due"}
    store.gate.set()
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})
    assert sorted({pdu.source for pdu in store.kept}) == numbers


async def test_one_that_cannot_be_stored_does_not_hold_up_the_others(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store
) -> None:
    await lab.set(receipt_rate=1)
    numbers = fresh(60)
    store.poison = numbers[20]
    await sent(channel, batch(numbers, "x"))
    others = [number for number in numbers if number != store.poison]
    await until(lambda: receipts_of(lab, others) == {"acknowledged"})
    assert {pdu.source for pdu in store.kept} == set(others)
    assert receipts_of(lab, [store.poison]) == {"due"}
    store.poison = ""
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})


async def test_a_stopping_inbox_finishes_what_it_holds(
    lab: Lab, inbox: SmsInbox, channel: SmsChannel, store: Store
) -> None:
    await lab.set(receipt_rate=1)
    store.gate.clear()
    numbers = fresh(1)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: store.seen == 1)
    closing = asyncio.create_task(inbox.close())
    await asyncio.sleep(0.05)
    store.gate.set()
    await closing
    await until(lambda: receipts_of(lab, numbers) == {"acknowledged"})


async def test_the_bind_comes_back_when_the_smsc_does(own_lab: Lab, store: Store) -> None:
    inbox = SmsInbox(own_lab.url, store)
    channel = SmsChannel(own_lab.url, "HANOI")
    await inbox.open()
    await channel.open()
    store.failures = 10_000
    numbers = fresh(5)
    await sent(channel, batch(numbers, "x"))
    await until(lambda: store.seen >= 5)
    assert own_lab.stop() == 0
    store.failures = 0
    own_lab.start()
    await until(lambda: receipts_of(own_lab, numbers) == {"acknowledged"})
    assert sorted({pdu.source for pdu in store.kept}) == numbers
    await inbox.close()
    await channel.close()
