"""What people send back, by the ways a person has, and what they hear in return."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from channels.lab import fcm_store, smsc_store, smtp, smtp_mail, store
from tests.builders import (
    REPLY_NUMBER,
    Service,
    area_of,
    database_of,
    eventually,
    now,
    service,
    warning,
)

if TYPE_CHECKING:
    from tests.conftest import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = (
    "Nhà tôi ở ngõ 310 Nghi Tàm, nước đã tràn vào tầng một khoảng 60 cm và còn lên. Trong nhà có"
    " bà cụ 84 tuổi không đi được và hai cháu nhỏ. Điện đã cắt từ 2 giờ sáng, điện thoại còn 12 %"
    " pin. Đường Âu Cơ trước ngõ có cây đổ chắn ngang, xe cứu hộ phải vào từ phía Yên Phụ. Xin cho"
    " xuồng vào giúp trước khi trời tối, chúng tôi ở cửa sổ tầng hai treo khăn đỏ."
)


@dataclass
class Told:
    """A city that has just been warned."""

    service: Service
    alert: Alert
    content: Content
    numbers: list[str]
    """Phones with one owner who reads Vietnamese; a test takes one and leaves the others."""
    mails: list[str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with (
        database_of(servers.postgres, "flow_replies") as url,
        service(
            url, servers.valkey, tmp_path_factory.mktemp("replies"), people=1_200, web=True
        ) as running,
    ):
        async with running.pool.acquire() as conn:
            content = warning(await area_of(conn, "01"), "toàn thành phố")
        # An older alert to the same people: the newer one is the one that is answered.
        older = warning(content.area, "tin cũ", channels=["sms"])
        await running.settled((await running.broadcast(older)).alert_id)
        alert = await running.broadcast(content)
        await running.settled(alert.alert_id)
        numbers, mails = [await _owners(running, channel) for channel in ("sms", "email")]
        yield Told(running, alert, content, numbers, mails)


async def _owners(running: Service, channel: str) -> list[str]:
    rows = await running.rows(
        "SELECT endpoint_id FROM endpoint JOIN person_endpoint USING (endpoint_id)"
        " WHERE channel = $1::channel AND state = 'active' AND lang = 'vi'"
        " GROUP BY endpoint_id HAVING count(*) = 1 ORDER BY endpoint_id LIMIT 20",
        channel,
    )
    known = await running.addresses([row["endpoint_id"] for row in rows])
    return [address for _, address, _ in known.values()]


def _write_sms(told: Told, number: str, text: str) -> None:
    with closing(smsc_store.open_store(told.service.lab.directory)) as conn:
        smsc_store.answer(conn, number, REPLY_NUMBER, text)


async def _report(told: Told, text: str, timeout: float = 30) -> asyncpg.Record:
    """The one report of a text, with the incident it opened."""

    async def found() -> list[asyncpg.Record]:
        return await told.service.rows(
            "SELECT r.*, i.incident_id, i.state::text AS incident_state, i.alert_id AS incident_of,"
            " i.category, i.urgency FROM report r JOIN incident_report USING (report_id)"
            " JOIN incident i ON i.incident_id = to_incident WHERE r.text = $1",
            text,
        )

    rows = await eventually(found, timeout, f"a report “{text[:40]}”")
    assert len(rows) == 1
    assert rows[0]["incident_state"] == "received"
    return rows[0]


async def _handled(told: Told) -> None:
    async def nothing_open() -> bool:
        return not await told.service.value(
            "SELECT count(*) FROM inbound_raw WHERE handled_at IS NULL"
        )

    await eventually(nothing_open, 30, "everything that came in was read")


async def _sms_with(told: Told, number: str, words: str) -> str:
    async def arrived() -> str | None:
        with closing(smsc_store.open_store(told.service.lab.directory)) as conn:
            shown = smsc_store.messages(conn, number)
        return next((m.text for m in shown if not m.outgoing and words in m.text), None)

    return str(await eventually(arrived, 30, f"an SMS with {words} to {number}"))


async def _mail_with(told: Told, address: str, words: str) -> sqlite3.Row:
    async def arrived() -> sqlite3.Row | None:
        with closing(smtp.connect(told.service.lab.directory)) as conn:
            return next((m for m in smtp.mails(conn, address) if words in m["text"]), None)

    found: sqlite3.Row = await eventually(arrived, 30, f"a mail with {words} to {address}")
    return found


async def test_an_sms_is_a_report_on_the_alert_last_sent_there(told: Told) -> None:
    number, text = told.numbers.pop(), "ngap 0,5m o p phu thuong, xe chet may"
    _write_sms(told, number, text)
    report = await _report(told, text)
    assert (report["alert_id"], report["match_reason"]) == (told.alert.alert_id, "last_sent")
    assert (report["channel"], report["incident_of"]) == ("sms", told.alert.alert_id)
    assert report["person_id"] is not None
    assert report["category"] == "flood"
    assert report["place_source"] == "named"
    said = await _sms_with(told, number, report["code"])
    assert len(said) <= 160


async def test_a_long_sms_is_put_together_whatever_the_order_of_its_parts(told: Told) -> None:
    number = told.numbers.pop()
    await told.service.configure("sms", reverse_parts=1)
    try:
        _write_sms(told, number, LONG)
        report = await _report(told, LONG)
    finally:
        await told.service.configure("sms", reverse_parts=0)
    parts = await told.service.rows(
        "SELECT part, parts FROM inbound_raw WHERE part_key ="
        " (SELECT part_key FROM inbound_raw WHERE inbound_id = $1) ORDER BY inbound_id",
        report["inbound_id"],
    )
    numbers = [row["part"] for row in parts]
    assert len(numbers) > 3
    assert numbers == sorted(numbers, reverse=True), "the parts came last first"
    assert report["alert_id"] == told.alert.alert_id
    await _sms_with(told, number, report["code"])


async def test_a_mail_is_read_without_what_it_quotes(told: Told) -> None:
    text = "Bờ kè sau nhà bị sạt lở khoảng 3 mét.\nXin cử người xuống xem."
    address = told.mails.pop()
    original = await _mail_with(told, address, "Có hiệu lực đến")
    with closing(smtp.connect(told.service.lab.directory)) as conn:
        await smtp.answer(conn, original["id"], text, *told.service.lab.mail_inbound)
    report = await _report(told, text)
    assert (report["alert_id"], report["match_reason"]) == (told.alert.alert_id, "reply_token")
    assert report["channel"] == "email"
    await _mail_with(told, address, report["code"])


async def test_an_app_answers_over_the_api_and_hears_back_on_the_phone(told: Told) -> None:
    number, phone = "+84912000777", "fid:abcdefghijklmnopqrstuv"
    async with aiohttp.ClientSession(told.service.url) as app:
        asked = {
            "home": {"unit": "00091"},
            "lang": "vi",
            "endpoints": [
                {"channel": "sms", "address": number},
                {"channel": "push", "address": phone},
            ],
            "consent": {"at": (now() - timedelta(minutes=1)).isoformat(), "source": "app 1.0"},
        }
        registered = await _post(app, "/api/v1/people", asked, 201)
        token = ""
        for claim in registered["claims"]:
            code = (
                re.findall(r"\d{6}", await _sms_with(told, number, "xac nhan"))[-1]
                if claim["channel"] == "sms"
                else await _code_on(told, phone)
            )
            proof = {"claim": claim["id"], "code": code}
            token = (await _post(app, "/api/v1/people/verify", proof, 200))["token"]
        text = "Gia đình tôi an toàn, đường trước nhà còn ngập nửa mét"
        message = {"text": text, "alert": told.alert.code, "id": "m-1", "lon": 105.81, "lat": 21.09}
        bearer = {"Authorization": f"Bearer {token}"}
        first = await _post(app, "/api/v1/reports", message, 202, bearer)
        again = await _post(app, "/api/v1/reports", message, 202, bearer)
        assert (first["repeated"], again["repeated"]) == (False, True)
        report = await _report(told, text)
        async with app.get(f"/api/v1/reports/{first['receipt']}") as answer:
            assert (await answer.json())["code"] == report["code"]
    assert (report["alert_id"], report["match_reason"]) == (told.alert.alert_id, "named")
    assert (report["place_source"], report["x"], report["y"]) == ("given", 10581000, 2109000)
    await eventually(lambda: _shown_on(told, phone, report["code"]), 30, "a push with the code")


async def _post(
    app: aiohttp.ClientSession,
    path: str,
    body: dict[str, Any],
    status: int,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    async with app.post(path, json=body, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def _shown_on(told: Told, phone: str, words: str) -> str | None:
    with closing(fcm_store.connect(told.service.lab.directory)) as conn:
        rows = conn.execute(
            "SELECT c.title || ' ' || c.body AS words FROM message m"
            " JOIN content c ON c.id = m.content WHERE m.address = ? ORDER BY m.id DESC",
            (phone,),
        ).fetchall()
    return next((row["words"] for row in rows if words in row["words"]), None)


async def _code_on(told: Told, phone: str) -> str:
    async def code() -> str | None:
        found = re.findall(r"\d{6}", await _shown_on(told, phone, "") or "")
        return found[-1] if found else None

    return str(await eventually(code, 30, "a code on the phone"))


async def test_what_a_carrier_delivers_twice_is_one_report(told: Told) -> None:
    number, text = told.numbers.pop(), "cay do chan ngang duong Au Co, xe khong qua duoc"
    # Two in the outbox are the same octets on the wire, as a redelivery is.
    _write_sms(told, number, text)
    _write_sms(told, number, text)
    report = await _report(told, text)

    address, words = told.mails.pop(), "Mái tôn bay xuống đường dây điện trước số 12"
    original = await _mail_with(told, address, "Có hiệu lực đến")
    with closing(smtp.connect(told.service.lab.directory)) as conn:
        raw = conn.execute("SELECT raw FROM mail WHERE id = ?", (original["id"],)).fetchone()["raw"]
    to, reply = smtp_mail.gmail_reply(address, raw, words)
    for _ in range(2):
        await smtp_mail.deliver(address, to, reply, *told.service.lab.mail_inbound)
    by_mail = await _report(told, words)

    with closing(smsc_store.open_store(told.service.lab.directory)) as conn:
        written = conn.execute("SELECT * FROM outbox WHERE number = ?", (number,)).fetchall()
    assert len(written) == 2
    assert all(row["delivered_at"] for row in written)
    await _handled(told)
    for found in (report, by_mail):
        copies = "SELECT count(*) FROM report WHERE text = $1"
        assert await told.service.value(copies, found["text"]) == 1
    await _sms_with(told, number, report["code"])
    answers = "SELECT count(*) FROM direct_message WHERE dedupe_key = $1"
    assert await told.service.value(answers, f"report:{report['report_id']}") == 1


async def test_stop_ends_follow_ups_and_neither_alerts_nor_reports(told: Told) -> None:
    number = told.numbers.pop()
    _write_sms(told, number, "DUNG")
    await _sms_with(told, number, "Da dung tin theo doi")
    of_number = "SELECT follow_ups FROM endpoint WHERE channel = 'sms' AND address_hash = ANY($1)"
    hashes = told.service.keyring.address_hashes("sms", number)
    assert await told.service.value(of_number, hashes) is False
    assert await told.service.value("SELECT count(*) FROM report WHERE text = 'DUNG'") == 0

    text = "nuoc tran vao nha 30cm, can may bom"
    _write_sms(told, number, text)
    report = await _report(told, text)
    await _sms_with(told, number, report["code"])
    assert await told.service.value(of_number, hashes) is False, "a report does not subscribe again"

    content = warning(told.content.area, "sau khi dừng", channels=["sms"])
    alert = await told.service.broadcast(content)
    await told.service.settled(alert.alert_id)
    assert number in {m.address for m in told.service.received(alert, content)["sms"]}


async def test_somebody_nobody_knows_is_heard_and_answered(told: Told) -> None:
    number, text = "+84987111222", "cuu voi, toi o Dan Hoa di lam, nuoc len den nguc"
    hashes = told.service.keyring.address_hashes("sms", number)
    known = "SELECT count(*) FROM endpoint WHERE channel = 'sms' AND address_hash = ANY($1)"
    assert await told.service.value(known, hashes) == 0
    _write_sms(told, number, text)
    report = await _report(told, text)
    assert (report["alert_id"], report["match_reason"], report["person_id"]) == (None, "", None)
    assert report["urgency"] == "life_threatening"
    await _sms_with(told, number, report["code"])
    state = "SELECT state::text FROM endpoint WHERE channel = 'sms' AND address_hash = ANY($1)"
    assert await told.service.value(state, hashes) == "unverified", "writing to us registers nobody"


async def test_messages_come_in_again_when_the_process_that_takes_them_was_killed(
    told: Told,
) -> None:
    texts = [f"mat dien o ngo {n}" for n in range(100, 112)]
    numbers = [told.numbers[n % len(told.numbers)] for n in range(len(texts))]
    await told.service.configure("sms", redeliver_ms=300)
    for number, text in zip(numbers, texts, strict=True):
        _write_sms(told, number, text)
    killed = told.service.kill("intake")
    await told.service.running("intake", other_than=killed)
    for text in texts:
        await _report(told, text, timeout=30)
    with closing(smsc_store.open_store(told.service.lab.directory)) as conn:
        store.configure(conn, redeliver_ms=1000)
