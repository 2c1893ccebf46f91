import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict
from broadcaster.fanout.sending import delivery_token
from broadcaster.incidents import board, inbox, lifecycle
from broadcaster.incidents.inbox import AppMessage
from broadcaster.incidents.intake import PARTS_WAIT, Intake, handle_open
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Role
from channels.sms_text import GSM, encode
from tests.unit.broadcaster.city import (
    BA_DINH,
    NGOC_HA,
    NOW,
    alert,
    delivered,
    endpoint_of,
    mail,
    official,
    sms,
    unit_id,
)
from tests.unit.broadcaster.hearing import MAIL, PHONE, messages, problems, reports

LONG = "Nhà em ở phường Phú Thượng ngập 0,5m, xe chết máy, nhờ phường cho người xuống giúp. " * 2


async def test_an_sms_becomes_a_report_an_incident_and_an_acknowledgement(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int, sent: int
) -> None:
    [pdu] = sms(PHONE, "ngap nang, cuu voi")
    assert await inbox.store_sms(conn, keyring, NOW, pdu)
    assert await handle_open(intake, pool, NOW) == 1
    [report] = await reports(conn)
    endpoint = await endpoint_of(conn, keyring, "sms", PHONE)
    assert (report["text"], report["channel"]) == ("ngap nang, cuu voi", "sms")
    assert (report["endpoint_id"], report["person_id"]) == (endpoint, resident)
    assert (report["alert_id"], report["match_reason"]) == (sent, "last_sent")
    assert (report["place_source"], report["unit_id"]) == ("home", await unit_id(conn, BA_DINH))
    incident = await conn.fetchrow(
        "SELECT i.* FROM incident i JOIN incident_report ON to_incident = incident_id"
        " WHERE report_id = $1", report["report_id"],
    )  # fmt: skip
    assert (incident["state"], incident["category"]) == ("received", "flood")
    assert (incident["urgency"], incident["alert_id"]) == ("life_threatening", sent)
    [answer] = await messages(conn)
    assert (answer["endpoint_id"], answer["channel"]) == (endpoint, "sms")
    assert answer["purpose"] == "acknowledgement"
    text = answer["content"]["text"]
    assert report["code"] in text
    encoded = encode(text)
    assert (encoded.data_coding, len(encoded.parts)) == (GSM, 1)


@pytest.mark.parametrize(
    ("text", "source", "code"),
    [
        ("ngập ở phường Trúc Bạch", "named", BA_DINH),
        ("ngập ở phường Hàng Đào", "named", "00070"),
        ("ngập ở phường Ngọc Khánh", "home", BA_DINH),
        ("ngập ở phường Kim Mã", "named", BA_DINH),
    ],
)
async def test_former_names_lead_to_a_unit_of_today(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int, text: str,
    source: str, code: str,
) -> None:  # fmt: skip
    """Kim Mã was split, also to Ba Đình where the sender lives; Ngọc Khánh elsewhere."""
    for part in sms(PHONE, text):
        await inbox.store_sms(conn, keyring, NOW, part)
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert (report["place_source"], report["unit_id"]) == (source, await unit_id(conn, code))


async def test_parts_in_any_order_and_repeated_make_one_report(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake
) -> None:
    parts = sms(PHONE, LONG)
    assert len(parts) == 3
    for number in (2, 0):
        await inbox.store_sms(conn, keyring, NOW, parts[number])
        assert await handle_open(intake, pool, NOW) == 0
    assert await inbox.store_sms(conn, keyring, NOW, parts[0]) is None
    await inbox.store_sms(conn, keyring, NOW, parts[1])
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert report["text"] == LONG.strip()
    assert (report["place_source"], report["unit_id"]) == ("named", await unit_id(conn, "00091"))
    assert await problems(conn) == [None] * 3


async def test_a_part_that_never_comes_does_not_hide_the_others(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake
) -> None:
    first, _, last = sms(PHONE, LONG)
    for part in (first, last):
        await inbox.store_sms(conn, keyring, NOW, part)
    assert await handle_open(intake, pool, NOW + PARTS_WAIT - timedelta(seconds=1)) == 0
    await handle_open(intake, pool, NOW + PARTS_WAIT)
    [report] = await reports(conn)
    assert report["text"].startswith("Nhà em ở")
    assert "[…]" in report["text"]


async def test_a_redelivered_sms_is_kept_once_but_the_same_words_later_twice(
    conn: Conn, keyring: Keyring
) -> None:
    [once] = sms(PHONE, "1")
    [again] = sms(PHONE, "1", sequence=77)
    assert await inbox.store_sms(conn, keyring, NOW, once)
    for seconds in (1, 60, 119):
        at = NOW + timedelta(seconds=seconds)
        assert await inbox.store_sms(conn, keyring, at, again) is None
    assert await inbox.store_sms(conn, keyring, NOW + timedelta(minutes=4), again)


async def test_a_mail_is_tied_by_its_own_token_and_read_without_its_quotation(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, sent: int
) -> None:
    older = await conn.fetchval("SELECT min(alert_id) FROM alert")
    token = delivery_token(keyring, older, await endpoint_of(conn, keyring, "email", MAIL))
    text = "Cây đổ ở phố Đội Cấn, Ngọc Hà\r\n\r\nVào Th 5, 10 thg 9, 2026 HN đã viết:\r\n> Bão số 5"
    came = mail(MAIL, text, to=f"reply+{token}@hn.example")
    assert await inbox.store_mail(conn, keyring, NOW, came)
    assert await inbox.store_mail(conn, keyring, NOW, came) is None
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert report["text"] == "Cây đổ ở phố Đội Cấn, Ngọc Hà"
    assert (report["alert_id"], report["match_reason"]) == (older, "reply_token")
    assert report["unit_id"] == await unit_id(conn, NGOC_HA)
    [answer] = await messages(conn)
    assert set(answer["content"]) == {"subject", "text", "html"}


async def test_a_forged_token_ties_to_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, sent: int
) -> None:
    token = delivery_token(Keyring("somebody else's secret, also long"), 1, 1)
    await inbox.store_mail(
        conn, keyring, NOW, mail("la@noi.khac.vn", "ngập", to=f"reply+{token}@hn.example")
    )
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert report["alert_id"] is None


async def test_the_app_is_answered_at_once_and_the_same_when_it_asks_again(
    conn: Conn, intake: Intake, resident: int, sent: int
) -> None:
    said = AppMessage(
        "Nước vào nhà", "m-1", person_id=resident, lon=105.81632, lat=21.03812, alert_code="HN-1"
    )
    first = await intake.receive(conn, NOW, said)
    assert await intake.receive(conn, NOW, said) == first
    [report] = await reports(conn)
    assert (report["report_id"], report["code"]) == (first.report_id, first.code)
    assert (report["x"], report["y"], report["place_source"]) == (10581632, 2103812, "given")
    assert report["unit_id"] == await unit_id(conn, NGOC_HA)
    assert report["match_reason"] == "named"
    [answer] = await messages(conn)
    assert answer["channel"] == "push"
    assert first.code in answer["content"]["title"]


async def test_anybody_may_report_without_being_known(conn: Conn, intake: Intake) -> None:
    outside = await intake.receive(conn, NOW, AppMessage("ngập", "w-1", lon=100.0, lat=10.0), "web")
    nowhere = await intake.receive(conn, NOW, AppMessage("ngập", "w-2", lon=999.0, lat=0.0), "web")
    rows = await reports(conn)
    assert [row["report_id"] for row in rows] == [outside.report_id, nowhere.report_id]
    assert [(row["place_source"], row["unit_id"]) for row in rows] == [
        ("given", None),
        ("none", None),
    ]
    assert await messages(conn) == []


@pytest.mark.parametrize(
    ("change", "tied"),
    [
        ("UPDATE delivery SET state = 'failed'", False),
        ("UPDATE delivery SET state = 'unknown'", True),
        ("UPDATE alert SET expires = '2026-09-07T02:59:59Z'", False),
        ("UPDATE alert SET expires = '2026-09-07T03:00:01Z'", True),
    ],
)
async def test_only_an_alert_that_may_have_arrived_lately_is_answered(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, sent: int, change: str, tied: bool
) -> None:
    await conn.execute(change)
    await inbox.store_sms(conn, keyring, NOW, sms(PHONE, "ngập")[0])
    await handle_open(intake, pool, NOW)
    [report] = await reports(conn)
    assert report["alert_id"] == (sent if tied else None)


async def test_what_cannot_be_read_is_kept_and_holds_up_nobody(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake
) -> None:
    await inbox.store(conn, keyring, NOW, "sms", b"no PDU", b"1")
    await inbox.store(conn, keyring, NOW, "app", b"{}", b"2")
    await inbox.store_app(conn, keyring, NOW, AppMessage("x", "m", person_id=999_999))
    await inbox.store_app(conn, keyring, NOW, AppMessage(" \x00 ", "n"))
    await inbox.store_sms(conn, keyring, NOW, sms(PHONE, "ngập")[0])
    await handle_open(intake, pool, NOW)
    told = await problems(conn)
    assert [str(problem).split(":")[0] for problem in told] == [
        "unreadable", "unreadable", "unreadable", "empty", "None",
    ]  # fmt: skip
    assert len(await reports(conn)) == 1
    row = await conn.fetchrow("SELECT inbound_id, raw_enc FROM inbound_raw ORDER BY 1 LIMIT 1")
    raw = keyring.unseal(row["raw_enc"], "inbound_raw", "raw_enc", row["inbound_id"])
    assert raw == b"no PDU"


async def test_what_comes_in_is_not_stored_in_clear(conn: Conn, keyring: Keyring) -> None:
    await inbox.store_sms(conn, keyring, NOW, sms(PHONE, "ngap o day")[0])
    row = await conn.fetchrow("SELECT * FROM inbound_raw")
    for value in row.values():
        if isinstance(value, bytes):
            assert b"84912345678" not in value
            assert b"ngap" not in value


async def test_workers_at_once_handle_each_message_once(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int
) -> None:
    for number in range(12):
        for part in sms(f"+8491200{number:04d}", LONG):
            await inbox.store_sms(conn, keyring, NOW, part)
    ids = [r["inbound_id"] for r in await conn.fetch("SELECT inbound_id FROM inbound_raw")]

    async def one(inbound_id: int) -> str:
        async with pool.acquire() as own:
            return (await intake.handle(own, NOW, inbound_id)).problem

    told = await asyncio.gather(*(one(i) for i in itertools.chain(ids, reversed(ids))))
    assert told.count("") == 12
    assert set(told) == {"", "handled"}
    assert len(await reports(conn)) == 12
    assert len(await messages(conn)) == 12
    assert await conn.fetchval("SELECT count(*) FROM incident") == 12


async def test_a_crash_between_storing_and_handling_loses_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inbox.store_sms(conn, keyring, NOW, sms(PHONE, "ngập")[0])

    class Crash(BaseException):
        pass

    crash: Callable[..., object]

    def crash(*_: object, **__: object) -> object:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("broadcaster.incidents.answers.direct.enqueue", crash)
        with pytest.raises(Crash):
            await handle_open(intake, pool, NOW)
    assert await reports(conn) == []
    assert await handle_open(intake, pool, NOW) == 1
    assert len(await reports(conn)) == len(await messages(conn)) == 1


async def test_what_answers_an_exercise_is_kept_apart_until_staff_say_that_it_is_real(
    pool: Pool, conn: Conn, keyring: Keyring, intake: Intake, resident: int
) -> None:
    ward = await unit_id(conn, BA_DINH)
    author, staff = await official(conn, "lan"), await official(conn, "truc", Role("staff", ward))
    drill = await alert(
        conn, author, ward, code="DT-1", status="Exercise", state="sending", first_handoff_at=NOW,
        approved_by=staff.official_id, approved_at=NOW, approved_version=1,
    )  # fmt: skip
    await delivered(conn, drill, await endpoint_of(conn, keyring, "sms", PHONE), "sms")
    [pdu] = sms(PHONE, "ngap nang, cuu voi")
    await inbox.store_sms(conn, keyring, NOW, pdu)
    await handle_open(intake, pool, NOW)
    [answer] = await messages(conn)
    assert answer["content"]["text"].startswith("[DIEN TAP] Da nhan")
    assert len(encode(answer["content"]["text"]).parts) == 1
    real, apart = board.Filters(), board.Filters(exercise=True)
    assert (await board.list_incidents(conn, staff, real)).incidents == []
    assert sum((await board.count_incidents(conn, staff, real)).values()) == 0
    [incident] = (await board.list_incidents(conn, staff, apart)).incidents
    await lifecycle.make_real(conn, staff, NOW, incident.code)
    assert [i.code for i in (await board.list_incidents(conn, staff, real)).incidents] == [
        incident.code
    ]
    with pytest.raises(Conflict):
        await lifecycle.make_real(conn, staff, NOW, incident.code)
    # Whoever writes when it is over means what is happening.
    later = NOW + timedelta(hours=7)
    [pdu] = sms(PHONE, "chay nha, cuu voi", sequence=2)
    await inbox.store_sms(conn, keyring, later, pdu)
    await handle_open(intake, pool, later)
    assert len((await board.list_incidents(conn, staff, real)).incidents) == 2
    assert (await board.list_incidents(conn, staff, apart)).incidents == []
