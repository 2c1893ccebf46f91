"""Every row of every provider's table against the design, and what it does to our own rows.

Only UNREGISTERED, mail 5.1.x and unknown subscribers retire an endpoint; bad credentials,
SENDER_ID_MISMATCH, INVALID_ARGUMENT and 5.7.x pause the provider. The tables here are written out
on purpose: whoever changes a row changes it twice, and says why.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import alarms, claims, outcomes, providers
from broadcaster.fanout.reasons import Family, family_of
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from channels import email_errors, push_errors, sms_errors
from channels.base import Action, Batch, Outcome, Recipient, Result, Unlimited
from channels.email_errors import Stage, classify
from channels.sms import SmsChannel, SmsContent
from tests.unit.broadcaster.sending import author, sending

TAKEN, GONE, REFUSED, LATER, OURS, DOUBT = "taken", "gone", "refused", "later", "ours", "in doubt"
MEANS: Mapping[tuple[Result, Action], str] = {
    (Result.ACCEPTED, Action.NONE): TAKEN,
    (Result.PERMANENT, Action.RETIRE): GONE,
    (Result.PERMANENT, Action.NONE): REFUSED,
    (Result.TEMPORARY, Action.NONE): LATER,
    (Result.TEMPORARY, Action.PAUSE): OURS,
    (Result.PERMANENT, Action.PAUSE): OURS,
    (Result.UNKNOWN, Action.NONE): DOUBT,
}
EFFECT = {
    # delivery, endpoint retired, provider paused with an alarm
    TAKEN: ("handed_off", False, False),
    GONE: ("failed", True, False),
    REFUSED: ("failed", False, False),
    LATER: ("pending", False, False),
    OURS: ("pending", False, True),
    DOUBT: ("unknown", False, False),
}

PUSH = {
    "UNREGISTERED": GONE,
    "INVALID_ARGUMENT": OURS,
    "SENDER_ID_MISMATCH": OURS,
    "THIRD_PARTY_AUTH_ERROR": OURS,
    "APNS_AUTH_ERROR": OURS,
    "QUOTA_EXCEEDED": LATER,
    "UNAVAILABLE": LATER,
    "INTERNAL": LATER,
    "UNSPECIFIED_ERROR": LATER,
    "UNAUTHENTICATED": OURS,
    "PERMISSION_DENIED": OURS,
    "NOT_FOUND": OURS,
    "FAILED_PRECONDITION": OURS,
    "OUT_OF_RANGE": OURS,
    "RESOURCE_EXHAUSTED": LATER,
    "ABORTED": LATER,
    "CANCELLED": DOUBT,
    "DEADLINE_EXCEEDED": DOUBT,
    "UNKNOWN": DOUBT,
    "DATA_LOSS": DOUBT,
    "ALREADY_EXISTS": DOUBT,
    "CONFLICT": DOUBT,
}
SMS = {
    0x00: TAKEN,
    **dict.fromkeys((0x01, 0x02, 0x03, 0x06, 0x07, 0x0A, 0x0D, 0x0E, 0x0F, 0x15, 0x43), OURS),
    **dict.fromkeys((0x48, 0x49, 0x50, 0x51, 0x53, 0x61), OURS),
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC3, 0xC4), OURS),
    **dict.fromkeys((0x04, 0x05, 0x08, 0x0C, 0x14, 0x45, 0x58, 0x64, 0x66, 0xFE, 0xFF), LATER),
    # A wrong address type of ours is answered like a wrong number: it must cost nobody an endpoint.
    **dict.fromkeys((0x0B, 0x62, 0x65), REFUSED),
}
MAIL = {
    **dict.fromkeys(("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"), GONE),
    # Also said of the sender or of the way there, and so of no mailbox.
    **dict.fromkeys(("5.1.0", "5.1.9"), REFUSED),
    **dict.fromkeys(("5.1.7", "5.1.8"), OURS),
    **dict.fromkeys(("5.2.0", "5.2.1", "5.2.3", "5.2.4", "5.3.0"), REFUSED),
    **dict.fromkeys(("5.4.0", "5.4.1", "5.4.4", "5.4.6", "5.4.7"), REFUSED),
    **dict.fromkeys(("5.2.2", "5.3.1", "5.3.2", "5.5.3"), LATER),
    **dict.fromkeys(("5.3.3", "5.3.4", "5.3.5"), OURS),
    **dict.fromkeys(("5.5.0", "5.5.1", "5.5.2", "5.5.4", "5.5.6"), OURS),
    **dict.fromkeys(("5.6.0", "5.6.1", "5.6.2", "5.6.3"), OURS),
}
REPLY = {
    **dict.fromkeys((421, 432, 450, 451, 452, 454, 455, 552), LATER),
    **dict.fromkeys((500, 501, 502, 503, 504, 521, 530, 534, 535, 538, 555), OURS),
    **dict.fromkeys((550, 551, 553, 554), REFUSED),
    556: GONE,  # RFC 7504: what 5.1.10 says without an enhanced code
}
POLICY = ("5.7.0", "5.7.1", "5.7.9", "5.7.26", "5.7.57", "5.7.515")


def _means(table: Mapping[object, tuple[Result, Action]]) -> dict[object, str]:
    return {code: MEANS[verdict] for code, verdict in table.items()}


def test_every_row_says_what_the_design_says() -> None:
    assert _means(push_errors.VERDICTS) == PUSH  # type: ignore[arg-type]
    assert _means(sms_errors.COMMAND_STATUS) == SMS  # type: ignore[arg-type]
    assert _means(email_errors.ENHANCED) == MAIL  # type: ignore[arg-type]
    assert _means(email_errors.CODES) == REPLY  # type: ignore[arg-type]
    for status in POLICY:
        verdict = classify(Stage.RCPT, 550, f"{status} no")
        assert MEANS[verdict.result, verdict.action] == OURS
    assert {MEANS[one] for one in email_errors.BEFORE_RECIPIENT.values()} == {OURS}


def test_every_row_has_a_sentence() -> None:
    """What ends failed or unknown is told in words made for it, not as a code nobody knows."""
    told = list(PUSH.items())
    told += [(sms_errors.written(code), means) for code, means in SMS.items()]
    told += [(f"550 {code}", means) for code, means in MAIL.items()]
    told += [(str(code), means) for code, means in REPLY.items()]
    for reason, means in told:
        if means in (GONE, REFUSED, DOUBT):
            assert family_of(reason, EFFECT[means][0]) is not Family.OTHER, reason
        if means == GONE:
            assert family_of(reason, "failed") is Family.GONE, reason


@pytest.mark.parametrize(
    ("reason", "family"),
    [
        ("UNDELIV err:001", Family.NOT_REACHED),
        ("UNDELIV err:001 absent subscriber", Family.NOT_REACHED),
        ("UNDELIV err:001 unknown subscriber", Family.GONE),
        ("REJECTD err:5 unknown subscriber", Family.GONE),
    ],
)
def test_a_number_is_called_gone_where_it_is_retired_and_nowhere_else(
    reason: str, family: Family
) -> None:
    assert family_of(reason, "failed") is family


async def _effects(
    pool: Pool, conn: Conn, keyring: Keyring, channel: str, found: list[Outcome]
) -> list[tuple[str, bool, bool]]:
    """Write each outcome as the only one of a batch of its own, on a provider of its own."""
    made = await sending(
        conn, keyring, await author(conn), code="A", channel=channel, count=len(found), batch=1
    )
    seen = []
    for number, (endpoint_id, one) in enumerate(zip(made.endpoint_ids, found, strict=True)):
        provider_id = await providers.register(conn, channel, "lab", str(number))
        claim = await claims.claim(conn, "w", channel, ALL_LANES)
        assert claim is not None
        assert claim.endpoint_ids == [endpoint_id]
        told = Outcome(
            endpoint_id, one.result, one.reason, one.provider_ids, one.retry_after, one.action
        )
        await outcomes.write(pool, claim, provider_id, {endpoint_id: 0}, [told], last=True)
        row = await conn.fetchrow(
            "SELECT d.state::text AS state, e.state = 'retired' AS retired,"
            " p.paused_until IS NOT NULL AS paused FROM delivery d JOIN endpoint e"
            " USING (endpoint_id), provider p WHERE endpoint_id = $1 AND provider_id = $2",
            endpoint_id, provider_id,
        )  # fmt: skip
        raised = await conn.fetchval(
            "SELECT EXISTS (SELECT FROM alarm WHERE what = 'provider_paused' AND subject = $1)",
            f"provider:{provider_id}",
        )
        assert row is not None
        assert raised is row["paused"]
        seen.append(tuple(row))
    return seen  # type: ignore[return-value]


async def test_push_end_to_end(pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    verdicts = push_errors.VERDICTS
    told = [Outcome(0, verdicts[code][0], code, action=verdicts[code][1]) for code in PUSH]
    assert await _effects(pool, conn, keyring, "push", told) == [EFFECT[m] for m in PUSH.values()]


async def test_mail_end_to_end(pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    told, expected = [], []
    answers = [(550, f"{code} no", means) for code, means in MAIL.items()]
    answers += [(550, f"{code} no", OURS) for code in POLICY]
    answers += [(code, "no", means) for code, means in REPLY.items()]
    for code, text, means in answers:
        verdict = classify(Stage.RCPT, code, text)
        told.append(Outcome(0, verdict.result, verdict.reason, action=verdict.action))
        expected.append(EFFECT[means])
    assert await _effects(pool, conn, keyring, "email", told) == expected


async def test_texts_over_the_wire_and_end_to_end(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    numbers = {f"+8490{code:07}": code for code in SMS}
    async with _smsc(numbers) as url:
        channel = SmsChannel(url, "CANHBAO")
        await channel.open()
        batch = Batch(
            contents={"vi": SmsContent("Nước dâng, lên tầng trên ngay.")},
            recipients=[Recipient(code, number, "vi") for number, code in numbers.items()],
            expires=datetime.now(UTC) + timedelta(hours=1),
            urgent=True,
        )
        answered: dict[int, Outcome] = {}
        while missing := [one for one in batch.recipients if one.ref not in answered]:
            # A refused account ends a batch; whoever was not sent to is sent to by the next.
            rest = Batch(batch.contents, missing, batch.expires, urgent=True)
            async for group in channel.send(rest, lambda: True, Unlimited()):
                answered |= {o.ref: o for o in group if o.result is not Result.NOT_SENT}
        await channel.close()
    told = [answered[code] for code in SMS]
    for code, one in zip(SMS, told, strict=True):
        assert MEANS[one.result, one.action] == SMS[code], hex(code)
        assert code == 0 or one.reason == sms_errors.written(code)
    assert await _effects(pool, conn, keyring, "sms", told) == [EFFECT[m] for m in SMS.values()]


@asynccontextmanager
async def _smsc(statuses: Mapping[str, int]) -> AsyncIterator[str]:
    """An SMSC that answers each number with a status of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, command, _, sequence = struct.unpack("!4I", await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                status, answer = 0, b""
                if command in (1, 2, 9):
                    answer = b"lab\0"
                elif command == 4:
                    status = statuses[_destination(body)]
                    answer = b"" if status else b"1f\0"
                head = struct.pack("!4I", 16 + len(answer), command | 1 << 31, status, sequence)
                writer.write(head + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"smpp://city:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def _destination(body: bytes) -> str:
    """Read where a submit_sm goes: after service type and source, each with its two type bytes."""
    after_service = body.index(b"\0") + 3
    after_source = body.index(b"\0", after_service) + 3
    number = body[after_source : body.index(b"\0", after_source)].decode("ascii")
    return "+" + number.lstrip("+")


@pytest.mark.parametrize(("dead", "held_back"), [(10, False), (11, True)])
async def test_more_than_five_percent_dead_pauses_retirement_and_raises_the_alarm(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, dead: int, held_back: bool
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", channel="push", count=200)
    provider_id = await providers.register(conn, "push", "fcm", "lab")
    claim = await claims.claim(conn, "w", "push", ALL_LANES)
    assert claim is not None
    told = [
        Outcome(e, Result.PERMANENT, "UNREGISTERED", action=Action.RETIRE)
        if number < dead
        else Outcome(e, Result.ACCEPTED)
        for number, e in enumerate(made.endpoint_ids)
    ]
    await outcomes.write(
        pool, claim, provider_id, dict.fromkeys(made.endpoint_ids, 0), told, last=True
    )
    retired = await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'")
    assert retired == (0 if held_back else dead)
    standing = await alarms.standing(conn, datetime.now(UTC))
    assert [one.what for one in standing] == (["retirement_paused"] if held_back else [])
    if held_back:
        assert standing[0].detail == {"dead": dead, "outcomes": 200}
        assert standing[0].until is not None
