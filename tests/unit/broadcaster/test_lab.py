"""The lab's pages over the carriers' real files: seeing, switching, opening, answering."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from broadcaster.db import Pool
from broadcaster.demo import citizens
from broadcaster.demo.citizens import Citizens
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.settings import Settings
from channels.base import Batch
from channels.email_inbox import MailInbox
from channels.email_reply import RawMail, parse
from channels.lab import fcm_store, phones, smsc_store, smtp, smtp_mail
from channels.push_body import Envelope, PushContent
from tests.unit.broadcaster.city import delivered
from tests.unit.broadcaster.site import NOW, Site, publish, running

PHONE = "fid:" + "a" * 22
NUMBER = "+84912345678"
BOX = "an@dan.example"
HTML = "<p onclick='x()'>Ở trong nhà</p><script>parent.x()</script>"


@pytest.fixture
async def site(settings: Settings, pool: Pool, lab_dir: Path) -> AsyncIterator[Site]:
    async with running(settings, pool, lab_dir) as opened:
        yield opened


def push(directory: Path, code: str, *, sequence: int = 1, title: str = "Ở trong nhà") -> None:
    batch: Batch[PushContent] = Batch(
        contents={}, recipients=[], expires=datetime(2099, 1, 1, tzinfo=UTC), urgent=True,
        tag="1", sequence=sequence,
    )  # fmt: skip
    content = PushContent(title, "Tránh bão", {"code": code, "lang": "vi"})
    body = Envelope(content, batch, datetime.now(UTC)).addressed(PHONE)
    with closing(fcm_store.connect(directory)) as conn:
        ledger = fcm_store.Ledger(conn)
        address, number = ledger.read(body)
        ledger.accept(address, number, offline=False, answered=True)
        ledger.count("OK")
        ledger.flush()


def text_message(directory: Path, text: str) -> None:
    with closing(smsc_store.open_store(directory)) as conn:
        smsc_store.switch(conn, NUMBER, True)
        conn.execute(
            "INSERT INTO message (number, source, text, parts, priority, validity, expires,"
            " received_at, shown_at) VALUES (?, 'HANOI', ?, 2, 1, '', 0, 0, 1)",
            (NUMBER, text),
        )


def letter(directory: Path) -> int:
    raw = (
        "From: Cảnh báo <alerts@localhost>\r\nReply-To: <reply+x@localhost>\r\n"
        f"To: {BOX}\r\nSubject: Bao\r\nDate: Thu, 10 Sep 2026 03:17:00 +0700\r\n"
        "Message-ID: <1@localhost>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBao den\r\n"
    ).encode()
    seen = smtp_mail.read(raw)
    with closing(smtp.connect(directory)) as conn:
        row = conn.execute(
            "INSERT INTO mail (mail_from, rcpt, subject, headers, text, html, raw, received_at)"
            " VALUES ('x', ?, ?, ?, ?, ?, ?, 1) RETURNING id",
            (BOX, seen.subject, seen.headers, seen.text, HTML, raw),
        ).fetchone()
        return int(row["id"])


async def registered_phone(site: Site) -> tuple[int, int]:
    async with site.pool.acquire() as conn:
        person_id = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
        )
        made = await endpoints.ensure_active(conn, site.keyring, NOW, [Address("push", PHONE)])
        endpoint_id = made[Address("push", PHONE)]
        await endpoints.link(conn, NOW, [(person_id, endpoint_id)])
    return person_id, endpoint_id


def outbox(directory: Path) -> list[sqlite3.Row]:
    with closing(smsc_store.open_store(directory)) as conn:
        return conn.execute("SELECT number, destination, text FROM outbox").fetchall()


async def test_there_is_no_lab_without_its_folder(settings: Settings, pool: Pool) -> None:
    async with running(settings, pool) as site:
        assert (await site.client.get("/lab/phones")).status == 404
        answer = {"channel": "sms", "address": NUMBER, "text": "ngap"}
        assert (await site.client.post("/lab/answer", json=answer)).status in (404, 405)


async def test_a_phone_shows_its_lock_screen_and_what_replaced_what(
    site: Site, lab_dir: Path
) -> None:
    site.clock[0] = datetime.now(UTC)
    push(lab_dir, "HN-1", title="Tin cũ")
    push(lab_dir, "HN-2", sequence=2, title="Tin mới")
    site.clock[0] = datetime.now(UTC)
    listing = await (await site.client.get("/lab/phones?q=aaaa")).text()
    assert PHONE in listing
    assert PHONE not in await (await site.client.get("/lab/phones?q=zzzz")).text()
    page = await (await site.client.get(f"/lab/phones/{PHONE}")).text()
    lock, _, rest = page.partition('class="stack"')
    assert "Tin mới" in lock
    assert "Tin cũ" not in lock
    assert "Tin cũ" in rest
    assert (await site.client.get("/lab/phones/fid:nobody")).status == 404


async def test_a_phone_is_switched_off_and_on(site: Site, lab_dir: Path) -> None:
    push(lab_dir, "HN-1")
    for online in ("0", "1"):
        await site.client.post(f"/lab/phones/{PHONE}/switch", data={"online": online})
        with closing(fcm_store.connect(lab_dir)) as conn:
            assert phones.phones(conn)[0].online is (online == "1")


async def test_opening_a_notification_tells_the_service_it_was_seen(
    site: Site, lab_dir: Path
) -> None:
    _, endpoint_id = await registered_phone(site)
    alert = await publish(site)
    push(lab_dir, alert.code)
    async with site.pool.acquire() as conn:
        await delivered(conn, alert.alert_id, endpoint_id, "push")
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off) VALUES ($1, 'push', 1)",
            alert.alert_id,
        )
    page = await site.client.post(f"/lab/phones/{PHONE}/open", data={"alert": alert.code})
    assert page.status == 200
    state = await site.pool.fetchval("SELECT state::text FROM delivery")
    assert state == "seen"


async def test_an_answer_in_the_app_is_stored_for_the_phones_owner(
    site: Site, lab_dir: Path
) -> None:
    person_id, _ = await registered_phone(site)
    push(lab_dir, "HN-1")
    text = "ngap 0,5m o p phu thuong"
    page = await site.client.post(
        f"/lab/phones/{PHONE}/answer", data={"alert": "HN-1", "text": text}
    )
    assert page.status == 200
    row = await site.pool.fetchrow("SELECT inbound_id, channel, raw_enc FROM inbound_raw")
    raw = site.keyring.unseal(row["raw_enc"], "inbound_raw", "raw_enc", row["inbound_id"])
    assert row["channel"] == "app"
    assert text.encode() in raw
    assert f'"person_id":{person_id}'.encode() in raw
    assert b'"alert_code":"HN-1"' in raw


async def test_a_phone_nobody_registered_says_so(site: Site, lab_dir: Path) -> None:
    push(lab_dir, "HN-1")
    page = await site.client.post(f"/lab/phones/{PHONE}/answer", data={"text": "xin chào"})
    assert "Không ai đăng ký điện thoại này" in await page.text()
    assert await site.pool.fetchval("SELECT count(*) FROM inbound_raw") == 0


async def test_a_handset_shows_its_thread_and_answers_the_reply_number(
    site: Site, lab_dir: Path
) -> None:
    text_message(lab_dir, "Bao so 3 <b>den</b>")
    page = await (await site.client.get(f"/lab/sms/{NUMBER}")).text()
    assert "Bao so 3 &lt;b&gt;den" in page
    page = await site.client.post(f"/lab/sms/{NUMBER}/answer", data={"text": "ngap nha"})
    assert "ngap nha" in await page.text()
    assert [tuple(row) for row in outbox(lab_dir)] == [
        (NUMBER, site.settings.sms_reply_number, "ngap nha")
    ]
    await site.client.post(f"/lab/sms/{NUMBER}/switch", data={"online": "0"})
    with closing(smsc_store.open_store(lab_dir)) as conn:
        assert not smsc_store.handsets(conn)[0].online


async def test_a_mails_html_is_served_where_it_can_do_nothing(site: Site, lab_dir: Path) -> None:
    mail_id = letter(lab_dir)
    page = await (await site.client.get(f"/lab/mail/{BOX}")).text()
    assert "<script>parent" not in page
    answer = await site.client.get(f"/lab/mail/{BOX}/{mail_id}.html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert await answer.text() == HTML


async def test_a_mail_is_answered_over_smtp(settings: Settings, pool: Pool, lab_dir: Path) -> None:
    came: list[RawMail] = []

    async def keep(mail: RawMail) -> None:
        came.append(mail)

    inbox = MailInbox("127.0.0.1", 0, keep, domain="localhost")
    await inbox.start()
    reachable = settings.model_copy(update={"mail_inbound_port": inbox.port})
    try:
        async with running(reachable, pool, lab_dir) as site:
            letter(lab_dir)
            data = {"text": "Nước vào nhà"}
            page = await site.client.post(f"/lab/mail/{BOX}/answer", data=data)
            assert "Nước vào nhà" in await page.text()
    finally:
        await inbox.close()
    assert parse(came[0], domain="localhost").text == "Nước vào nhà"


async def test_a_mail_server_that_is_away_is_said(
    settings: Settings, pool: Pool, lab_dir: Path, free_port: Callable[[], int]
) -> None:
    letter(lab_dir)
    away = settings.model_copy(update={"mail_inbound_port": free_port()})
    async with running(away, pool, lab_dir) as site:
        page = await site.client.post(f"/lab/mail/{BOX}/answer", data={"text": "chào"})
        assert "không nhận thư trả lời" in await page.text()


async def test_programs_answer_as_json(site: Site, lab_dir: Path) -> None:
    text_message(lab_dir, "Bao")
    answer = {"channel": "sms", "address": NUMBER, "text": "ngap"}
    assert (await site.client.post("/lab/answer", json=answer)).status == 202
    assert len(outbox(lab_dir)) == 1
    for wrong in (
        answer | {"channel": "fax"},
        answer | {"text": " "},
        answer | {"to": "1"},
        {"channel": "sms"},
        [answer],
    ):
        assert (await site.client.post("/lab/answer", json=wrong)).status == 422
    assert (await site.client.post("/lab/answer", data=answer)).status == 403
    assert len(outbox(lab_dir)) == 1


async def test_another_sites_page_cannot_answer(site: Site, lab_dir: Path) -> None:
    text_message(lab_dir, "Bao")
    refused = await site.client.post(
        f"/lab/sms/{NUMBER}/answer", data={"text": "x"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert refused.status == 403
    assert outbox(lab_dir) == []


async def test_phones_of_the_demo_confirm_by_themselves(site: Site, lab_dir: Path) -> None:
    alert = await publish(site)
    async with site.pool.acquire() as conn:
        made = await endpoints.ensure_active(conn, site.keyring, NOW, [Address("push", PHONE)])
        await delivered(conn, alert.alert_id, made[Address("push", PHONE)], "push")
    people = Citizens(SimpleNamespace(directory=lab_dir), str(site.client.make_url("/")))
    push(lab_dir, alert.code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(citizens, "CONFIRM", 1.0)
        patch.setattr(citizens, "OPEN", 0.0)
        assert await people.confirm() == 1
    assert await site.pool.fetchval("SELECT state::text FROM delivery") == "confirmed"
    assert await people.confirm() == 0, "what was told is told once"
    wrong = {"alert": alert.code, "news": "read", "addresses": []}
    assert (await site.client.post("/lab/confirm", json=wrong)).status == 422
    assert (await site.client.post("/lab/confirm", data=wrong)).status == 403
