from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from channels.base import Action, Batch, Recipient, Result
from channels.sms import SmsChannel, SmsContent
from channels.sms_submit import address_type, validity_period
from tests.unit.channels.sms.lab import LONG, Lab, batch, fresh, sent, shown, until


async def test_everybody_gets_the_wording_once(lab: Lab, channel: SmsChannel) -> None:
    numbers = fresh(420)
    outcomes = await sent(channel, batch(numbers, "Bao so 3 do bo luc 19 gio."))
    assert {one.result for one in outcomes} == {Result.ACCEPTED}
    assert len({one.provider_ids for one in outcomes}) == len(numbers)
    assert await shown(lab, numbers) == ["Bao so 3 do bo luc 19 gio."] * 420
    rows = lab.rows("message", numbers)
    assert sorted(row["number"] for row in rows) == numbers
    assert {row["source"] for row in rows} == {"HANOI"}


async def test_a_long_message_is_split_and_rejoined(lab: Lab, channel: SmsChannel) -> None:
    numbers = fresh(60)
    outcomes = await sent(channel, batch(numbers, LONG))
    assert {len(one.provider_ids) for one in outcomes} == {2}
    assert await shown(lab, numbers) == [LONG] * 60
    parts = lab.rows("part", numbers)
    assert [f"{row['id']:08x}" for row in parts if row["number"] == numbers[7]] == list(
        outcomes[7].provider_ids
    )
    assert {(row["data_coding"], row["esm_class"]) for row in parts} == {(8, 0x40)}


async def test_a_message_longer_than_the_window_arrives(lab: Lab, channel: SmsChannel) -> None:
    numbers = fresh(2)
    text = "Thong bao. " * 900
    outcomes = await sent(channel, batch(numbers, text))
    assert {len(one.provider_ids) for one in outcomes} == {65}
    assert await shown(lab, numbers) == [text] * 2


async def test_validity_urgency_and_receipts_are_asked_for(lab: Lab, channel: SmsChannel) -> None:
    urgent, calm = fresh(1), fresh(1)
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=37)
    what = batch(urgent, LONG)
    await sent(channel, Batch(what.contents, what.recipients, expires, urgent=True))
    await sent(channel, batch(calm, "Binh thuong", urgent=False))
    await shown(lab, urgent + calm)
    for row in lab.rows("part", urgent):
        assert row["expires"] == expires.timestamp()
        assert row["validity"] == expires.strftime("%y%m%d%H%M%S000+")
        assert (row["priority"], row["registered"]) == (1, 1)
    assert [row["priority"] for row in lab.rows("part", calm)] == [0]


def test_validity_is_utc_whatever_zone_the_alert_was_written_in() -> None:
    hanoi = datetime.fromisoformat("2026-09-07T02:30:59.9+07:00")
    assert validity_period(hanoi) == "260906193059000+"


@pytest.mark.parametrize(
    ("address", "kind"),
    [("HANOI", (5, 0)), ("1022", (3, 0)), ("+84243123456", (1, 1)), ("84243123456", (1, 1))],
)
def test_the_sender_is_typed(address: str, kind: tuple[int, int]) -> None:
    assert address_type(address) == kind


async def test_two_languages_in_one_batch(lab: Lab, channel: SmsChannel) -> None:
    numbers = fresh(2)
    what = Batch(
        {"vi": SmsContent("Ngập sâu"), "en": SmsContent("Deep flooding")},
        [Recipient(0, numbers[0], "vi"), Recipient(1, numbers[1], "en")],
        datetime.now(UTC) + timedelta(hours=1),
        urgent=True,
    )
    await sent(channel, what)
    assert await shown(lab, numbers) == ["Ngập sâu", "Deep flooding"]


async def test_refusals_are_told_apart(lab: Lab, channel: SmsChannel) -> None:
    await lab.set(throttle_rate=1)
    (throttled,) = await sent(channel, batch(fresh(1), "x"))
    assert (throttled.result, throttled.reason) == (Result.TEMPORARY, "0x00000058")
    assert throttled.retry_after == 1.0
    await lab.set(throttle_rate=0, error_rate=1)
    (failed,) = await sent(channel, batch(fresh(1), "x"))
    assert (failed.result, failed.reason) == (Result.TEMPORARY, "0x00000008")
    await lab.set(error_rate=0, unknown_subscriber_rate=1)
    (unknown,) = await sent(channel, batch(fresh(1), "x"))
    assert (unknown.result, unknown.reason) == (Result.PERMANENT, "0x0000000b")
    assert {one.action for one in (throttled, failed, unknown)} == {Action.NONE}


async def test_two_thousand_at_once_in_four_batches_arrive_once_each(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers = fresh(2_000)
    quarters = [numbers[at : at + 500] for at in range(0, 2_000, 500)]
    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(*(sent(channel, batch(some, "x")) for some in quarters))
    assert {one.result for some in outcomes for one in some} == {Result.ACCEPTED}
    assert len({one.provider_ids for some in outcomes for one in some}) == 2_000
    assert await shown(lab, numbers) == ["x"] * 2_000


async def test_unknown_subscribers_are_always_the_same(lab: Lab, channel: SmsChannel) -> None:
    await lab.set(unknown_subscriber_rate=0.3)
    numbers = fresh(100)
    first = [one.result for one in await sent(channel, batch(numbers, "x"))]
    again = [one.result for one in await sent(channel, batch(numbers, "y"))]
    assert first == again
    assert 10 < first.count(Result.PERMANENT) < 50


async def test_no_answer_is_unknown_and_frees_the_window(lab: Lab) -> None:
    channel = SmsChannel(lab.url, "HANOI", answer_timeout=1.0, connect_patience=30.0)
    await channel.open()
    await lab.set(no_answer_rate=1)
    numbers = fresh(70)
    began = time.monotonic()
    outcomes = await sent(channel, batch(numbers, "x"))
    assert {(one.result, one.reason) for one in outcomes} == {(Result.UNKNOWN, "no answer")}
    assert 1.0 <= time.monotonic() - began < 15
    assert len(await shown(lab, numbers)) == 70, "the carrier had them: unknown, not failed"
    await lab.set(no_answer_rate=0)
    async with asyncio.timeout(30):  # a busy machine may be late with an answer as well
        while (await sent(channel, batch(fresh(1), "x")))[0].result is not Result.ACCEPTED:
            pass
    await channel.close()


async def test_a_message_with_one_part_refused_is_tried_again_whole(
    lab: Lab, channel: SmsChannel
) -> None:
    await lab.set(error_rate=0.5)
    numbers = fresh(60)
    outcomes = await sent(channel, batch(numbers, LONG))
    partly = [one for one in outcomes if "" in one.provider_ids]
    assert partly
    assert {one.result for one in partly} == {Result.TEMPORARY}
    await lab.set(error_rate=0)
    again = [numbers[one.ref] for one in partly]
    assert {one.result for one in await sent(channel, batch(again, LONG))} == {Result.ACCEPTED}
    assert await shown(lab, again) == [LONG] * len(again)


async def test_a_withdrawn_permit_stops_before_the_next_message(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers = fresh(200)
    asked = 0

    def permit() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 61

    outcomes = await sent(channel, batch(numbers, "x"), permit)
    assert [one.result for one in outcomes] == [Result.ACCEPTED] * 61 + [Result.NOT_SENT] * 139
    assert len(await shown(lab, numbers, 61)) == 61


async def test_nothing_is_sent_after_the_end(lab: Lab, channel: SmsChannel) -> None:
    numbers = fresh(3)
    outcomes = await sent(channel, batch(numbers, "x", minutes=-1))
    assert {(one.result, one.reason) for one in outcomes} == {(Result.NOT_SENT, "expired")}
    await lab.set()
    assert lab.rows("part", numbers) == []


@pytest.mark.parametrize("address", ["+84\x0012345678", "an@example.vn", "+" + "8" * 21, ""])
async def test_what_is_no_number_never_reaches_the_wire(
    channel: SmsChannel, lab: Lab, address: str
) -> None:
    good = fresh(1)
    bad, fine = await sent(channel, batch([address, *good], "x"))
    assert (bad.result, bad.reason) == (Result.PERMANENT, "not a number")
    assert fine.result is Result.ACCEPTED


async def test_too_long_a_text_harms_nobody_else(channel: SmsChannel, lab: Lab) -> None:
    numbers = fresh(2)
    what = Batch(
        {"vi": SmsContent("x" * 153 * 256), "en": SmsContent("short")},
        [Recipient(0, numbers[0], "vi"), Recipient(1, numbers[1], "en")],
        datetime.now(UTC) + timedelta(hours=1),
        urgent=False,
    )
    outcomes = await sent(channel, what)
    assert [one.result for one in outcomes] == [Result.PERMANENT, Result.ACCEPTED]


@pytest.mark.parametrize(("user", "code"), [("city:wrong", "e"), ("town:s%40cret", "f")])
async def test_a_refused_account_pauses_the_provider(lab: Lab, user: str, code: str) -> None:
    channel = SmsChannel(f"smpp://{user}@127.0.0.1:{lab.port}", "HANOI")
    await channel.open()
    outcomes = await sent(channel, batch(fresh(120), "x"))
    assert {(one.result, one.action, one.reason) for one in outcomes} == {
        (Result.NOT_SENT, Action.PAUSE, f"0x0000000{code}")
    }
    await channel.close()


async def test_an_absent_smsc_is_temporary_and_found_when_it_comes(own_lab: Lab) -> None:
    own_lab.stop()
    channel = SmsChannel(own_lab.url, "HANOI", connect_patience=0.5)
    await channel.open()
    outcomes = await sent(channel, batch(fresh(100), "x"))
    assert {(one.result, one.action) for one in outcomes} == {(Result.TEMPORARY, Action.AWAY)}
    own_lab.start()
    numbers = fresh(1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while (await sent(channel, batch(numbers, "x")))[0].result is not Result.ACCEPTED:
                pass
    assert await shown(own_lab, numbers) == ["x"]
    await channel.close()
    await channel.close()


async def test_a_killed_smsc_leaves_what_was_written_unknown(own_lab: Lab) -> None:
    channel = SmsChannel(own_lab.url, "HANOI", answer_timeout=60.0, connect_patience=30.0)
    await channel.open()
    await own_lab.set(delay_ms=60_000)
    numbers = fresh(60)
    sending = asyncio.create_task(sent(channel, batch(numbers, "x")))
    await until(lambda: own_lab.rows("part", numbers))
    own_lab.stop(kill=True)
    outcomes = await sending
    reasons = {(one.result, one.reason) for one in outcomes}
    assert reasons == {(Result.UNKNOWN, "connection lost"), (Result.TEMPORARY, "not connected")}
    assert [one.result for one in outcomes].count(Result.UNKNOWN) <= channel.limits.in_doubt
    own_lab.start()
    await own_lab.set(delay_ms=0)
    assert (await sent(channel, batch(fresh(1), "x")))[0].result is Result.ACCEPTED
    await channel.close()


def test_the_interpreter_exits_cleanly_with_a_bind_still_up(one_smsc: Lab) -> None:
    script = f"""
import asyncio
from channels.sms import SmsChannel
from channels.sms_inbox import SmsInbox

async def main():
    channel = SmsChannel({one_smsc.url!r}, "HANOI")
    await channel.open()
    async def store(pdus): pass
    await SmsInbox({one_smsc.url!r}, store).open()
    await channel._bind.ready(2)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("url", ["smpp://127.0.0.1:2775", "http://a:b@c", "smpp://u:p@"])
def test_a_bad_address_is_refused_at_start(url: str) -> None:
    with pytest.raises(ValueError, match="smpp://user:password@host:port"):
        SmsChannel(url, "HANOI")


def test_a_bad_word_about_receipts_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="receipts=nokia: known are plain"):
        SmsChannel("smpp://u:p@127.0.0.1?receipts=nokia", "HANOI")


def test_a_bad_window_or_sender_is_refused_at_start() -> None:
    for window in (0, 51):
        with pytest.raises(ValueError, match="window"):
            SmsChannel("smpp://u:p@127.0.0.1", "HANOI", window)
    with pytest.raises(ValueError, match="sender name"):
        SmsChannel("smpp://u:p@127.0.0.1", "THANH PHO HA NOI")
