"""Who it is that writes in: residents, strangers, households, machines, and who says stop."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout.sending import delivery_token
from broadcaster.incidents import inbox
from broadcaster.incidents.intake import LOOP, Intake, handle_open
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.people.register import Place, register
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import (
    BA_DINH,
    NGOC_HA,
    NOW,
    endpoint_of,
    mail,
    registration,
    sms,
    unit_id,
)
from tests.unit.broadcaster.hearing import MAIL, PHONE, Bounces, messages, problems, reports


async def test_machines_are_not_people(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, bounces: Bounces
) -> None:
    away = mail("a@b.vn", "Tôi đang nghỉ", headers="Auto-Submitted: auto-replied\r\n")
    token = delivery_token(keyring, 7, 8)
    back = mail(
        "mailer-daemon@b.vn", "550 5.1.1 no such user",
        to=f"bounce+{token}@hn.example", path="",
    )  # fmt: skip
    for came in (away, back):
        await inbox.store_mail(conn, keyring, NOW, came)
    await handle_open(intake, pool, NOW)
    assert await problems(conn) == ["auto", "bounce"]
    assert bounces == [(token, "5.1.1")]
    assert await reports(conn) == []
    assert await messages(conn) == []


@pytest.mark.parametrize("word", ["STOP", " dừng. ", "TC"])
async def test_stop_ends_follow_ups_and_nothing_else(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int, word: str
) -> None:
    for text in (word, "nước đã dừng dâng nhưng vẫn ngập"):
        await inbox.store_sms(conn, keyring, NOW, sms(PHONE, text)[0])
    await handle_open(intake, pool, NOW)
    assert await problems(conn) == ["stop", None]
    row = await conn.fetchrow("SELECT state::text, follow_ups FROM endpoint WHERE channel = 'sms'")
    assert tuple(row) == ("active", False)
    assert len(await reports(conn)) == 1
    stopped, acknowledged = await messages(conn)
    assert "dung tin theo doi" in stopped["content"]["text"]
    assert "Da nhan" in acknowledged["content"]["text"]


async def test_an_unsubscribe_mail_stops_the_endpoint_of_its_token(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, sent: int
) -> None:
    endpoint = await endpoint_of(conn, keyring, "email", MAIL)
    token = delivery_token(keyring, sent, endpoint)
    await inbox.store_mail(
        conn, keyring, NOW, mail("khac@dan.vn", "", to=f"unsubscribe+{token}@hn.example")
    )
    await handle_open(intake, pool, NOW)
    stopped = await conn.fetch("SELECT endpoint_id FROM endpoint WHERE NOT follow_ups")
    assert [row["endpoint_id"] for row in stopped] == [endpoint]


async def test_a_loop_is_cut_and_a_different_word_gets_through(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake
) -> None:
    for number in range(LOOP + 3):
        at = NOW + timedelta(seconds=number)
        came = mail("may@b.vn", "Đã nhận thư của bạn", headers=f"X-N: {number}\r\n")
        await inbox.store_mail(conn, keyring, at, came)
    await inbox.store_mail(
        conn, keyring, NOW + timedelta(seconds=50), mail("may@b.vn", "có người mắc kẹt")
    )
    await handle_open(intake, pool, NOW + timedelta(seconds=60))
    told = await problems(conn)
    assert told.count("loop") == 3
    assert len(await reports(conn)) == LOOP + 1
    assert len(await messages(conn)) == 10


async def test_a_stranger_is_heard_and_answered_where_an_answer_can_go(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake
) -> None:
    await inbox.store_sms(conn, keyring, NOW, sms("0987654321", "cây đổ")[0])
    await inbox.store_sms(conn, keyring, NOW, sms("NGANHANG", "khuyến mại")[0])
    await handle_open(intake, pool, NOW)
    known, nameless = await reports(conn)
    assert known["endpoint_id"] == await endpoint_of(conn, keyring, "sms", "+84987654321")
    state = await conn.fetchval("SELECT state::text FROM endpoint")
    assert state == "unverified"
    assert nameless["endpoint_id"] is None
    sender = keyring.unseal(nameless["sender_enc"], "report", "sender_enc", nameless["report_id"])
    assert sender.decode() == "NGANHANG"
    assert len(await messages(conn)) == 1


async def test_in_a_household_nobody_knows_who_wrote(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int, units: UnitMap
) -> None:
    await register(
        conn, keyring, units, NOW, registration(("sms", PHONE), home=Place(unit_code=NGOC_HA))
    )
    endpoint = await endpoint_of(conn, keyring, "sms", PHONE)
    await endpoints.link(conn, NOW, [(resident + 1, endpoint)])
    await inbox.store_sms(conn, keyring, NOW, sms(PHONE, "mất điện")[0])
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert (report["endpoint_id"], report["person_id"]) == (endpoint, None)
    # Of two homes, the one with a point says more.
    assert report["unit_id"] == await unit_id(conn, BA_DINH)
