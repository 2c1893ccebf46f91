"""The local mail server: a process of its own that keeps mail, fails on request and answers."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from channels.base import Batch, Outcome, Recipient, Result, Unlimited
from channels.email import EmailChannel, EmailContent
from channels.email_inbox import MailInbox
from channels.email_reply import RawMail, parse
from channels.lab import smtp, store

ROOT = Path(__file__).parents[3]
DOMAIN = "tin.canhbao.example"
CONTENT = EmailContent(
    "Cảnh báo mưa rất to",
    "Hiệu lực đến 23:00 ngày 21/11/2026.\n\nTránh xa vùng ngập & hầm chui.\n",
    "<p>Tránh xa vùng ngập &amp; hầm chui.</p>",
)


class Lab:
    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.conn = smtp.connect(directory)

    async def configure(self, **values: float) -> None:
        store.configure(self.conn, **values)
        store.settle(self.conn)

    async def send(self, count: int, connections: int = 8) -> list[Outcome]:
        channel = EmailChannel(
            f"smtp://127.0.0.1:{self.port}",
            "Cảnh báo Hà Nội <canhbao@canhbao.example>",
            DOMAIN,
            "https://canhbao.example",
            connections,
            timeout=30,
        )
        people = [Recipient(n, f"P{n}@cu.example", "vi", f"t{n}") for n in range(count)]
        end = datetime.now(UTC) + timedelta(hours=3)
        batch = Batch({"vi": CONTENT}, people, end, urgent=True)
        outcomes = [
            o async for group in channel.send(batch, lambda: True, Unlimited()) for o in group
        ]
        await channel.close()
        return outcomes


@contextmanager
def lab_process(directory: Path, *extra: str) -> Iterator[Lab]:
    command = [sys.executable, "-m", "channels.lab.smtp", "--dir", str(directory), "--port", "0"]
    with subprocess.Popen(
        [*command, *extra], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        lab = Lab(directory, int(process.stdout.readline().rsplit(":", 1)[1]))
        try:
            yield lab
        finally:
            lab.conn.close()
            process.terminate()
            assert process.wait(10) == 0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_process(tmp_path) as running:
        yield running


def rows(lab: Lab) -> list[sqlite3.Row]:
    return lab.conn.execute("SELECT * FROM mail ORDER BY id").fetchall()


async def test_it_keeps_each_mail_as_its_owner_would_see_it(lab: Lab) -> None:
    outcomes = await lab.send(30)
    assert {o.result for o in outcomes} == {Result.ACCEPTED}
    kept = rows(lab)
    assert sorted(row["rcpt"] for row in kept) == sorted(f"p{n}@cu.example" for n in range(30))
    row = next(row for row in kept if row["rcpt"] == "p7@cu.example")
    assert row["mail_from"] == f"bounce+t7@{DOMAIN}"
    assert row["subject"] == CONTENT.subject
    assert row["text"].replace("\r\n", "\n") == CONTENT.text
    assert row["html"].strip() == CONTENT.html
    assert f"Message-ID: <t7@{DOMAIN}>" in row["headers"]
    assert row["raw"].startswith(b"To: P7@cu.example\r\n")


async def test_mailboxes_are_listed_and_searched(lab: Lab) -> None:
    await lab.send(12, connections=1)
    await lab.send(1)
    first = smtp.mailboxes(lab.conn, 5)
    assert len(first) == 5
    assert (first[0]["address"], first[0]["mails"]) == ("p0@cu.example", 2)
    assert [row["address"] for row in smtp.mailboxes(lab.conn, 5, "P11@")] == ["p11@cu.example"]
    assert smtp.mailboxes(lab.conn, 5, "%") == smtp.mailboxes(lab.conn, 5, "_") == []
    assert [row["subject"] for row in smtp.mails(lab.conn, "P0@cu.example")] == [
        CONTENT.subject
    ] * 2


async def test_an_address_nobody_lives_at_is_unknown_every_time(lab: Lab) -> None:
    await lab.configure(unknown_user_rate=0.4)
    first, second = await lab.send(60), await lab.send(60)
    unknown = {o.ref for o in first if o.result is Result.PERMANENT}
    assert 8 < len(unknown) < 45
    assert unknown == {o.ref for o in second if o.result is Result.PERMANENT}
    assert {o.reason for o in first if o.ref in unknown} == {"550 5.1.1"}


async def test_it_fails_for_a_time_as_often_as_told(lab: Lab) -> None:
    await lab.configure(tempfail_rate=0.5)
    results = Counter(o.result for o in await lab.send(100))
    assert 20 < results[Result.TEMPORARY] < 80
    assert results[Result.ACCEPTED] == len(rows(lab)) == 100 - results[Result.TEMPORARY]


async def test_a_dropped_connection_leaves_the_mail_in_doubt(lab: Lab) -> None:
    await lab.configure(drop_rate=0.3)
    outcomes = await lab.send(60)
    unknown = {f"p{o.ref}@cu.example" for o in outcomes if o.result is Result.UNKNOWN}
    assert 3 < len(unknown) < 45
    assert {row["rcpt"] for row in rows(lab) if row["dropped"]} == unknown
    assert {o.result for o in outcomes} == {Result.UNKNOWN, Result.ACCEPTED}


async def test_it_takes_its_time(lab: Lab) -> None:
    await lab.configure(delay_ms=100, jitter_ms=50)
    started = asyncio.get_running_loop().time()
    await lab.send(8)
    assert 0.1 <= asyncio.get_running_loop().time() - started < 2


class Inbox:
    def __init__(self, expected: int) -> None:
        self.mails: list[RawMail] = []
        self.expected = expected
        self.complete = asyncio.Event()

    async def store(self, mail: RawMail) -> None:
        self.mails.append(mail)
        if len(self.mails) >= self.expected:
            self.complete.set()


async def test_bounces_come_back_to_the_return_path(tmp_path: Path) -> None:
    inbox = Inbox(3)
    listener = MailInbox("127.0.0.1", 0, inbox.store, domain=DOMAIN)
    await listener.start()
    with lab_process(tmp_path, "--inbound", f"127.0.0.1:{listener.port}") as lab:
        await lab.configure(bounce_rate=1)
        assert {o.result for o in await lab.send(3)} == {Result.ACCEPTED}
        await asyncio.wait_for(inbox.complete.wait(), 30)
    await listener.close()
    replies = [parse(mail) for mail in inbox.mails]
    assert sorted((r.kind, r.token, r.bounce_status) for r in replies) == [
        ("bounce", f"t{n}", "5.1.1") for n in range(3)
    ]


async def test_a_person_answers_from_the_lab(lab: Lab) -> None:
    inbox = Inbox(1)
    listener = MailInbox("127.0.0.1", 0, inbox.store, domain=DOMAIN)
    await listener.start()
    await lab.send(2)
    (mail,) = smtp.mails(lab.conn, "p1@cu.example")
    text = "Ngõ 12 ngập 0,5m.\nCó cụ già cần giúp <gấp>."
    await smtp.answer(lab.conn, mail["id"], text, "127.0.0.1", listener.port)
    await listener.close()
    (raw,) = inbox.mails
    reply = parse(raw)
    assert (raw.mail_from, raw.rcpt_tos) == ("p1@cu.example", (f"reply+t1@{DOMAIN}",))
    assert (reply.kind, reply.token, reply.text) == ("reply", "t1", text)
    assert reply.sender == "p1@cu.example"
    assert reply.subject == f"Re: {CONTENT.subject}"
    assert f"In-Reply-To: <t1@{DOMAIN}>".encode() in raw.data
    assert smtp.mails(lab.conn, "p1@cu.example")[0]["answer"] == text


async def test_an_answer_the_listener_does_not_take_is_not_shown_as_given(lab: Lab) -> None:
    async def store(mail: RawMail) -> None:
        raise ConnectionError("the database is away")

    listener = MailInbox("127.0.0.1", 0, store, domain=DOMAIN)
    await listener.start()
    await lab.send(1)
    (mail,) = smtp.mails(lab.conn, "p0@cu.example")
    with pytest.raises(OSError, match="451"):
        await smtp.answer(lab.conn, mail["id"], "ngập", "127.0.0.1", listener.port)
    await listener.close()
    assert smtp.mails(lab.conn, "p0@cu.example")[0]["answer"] is None


async def test_a_mail_that_does_not_exist_cannot_be_answered(lab: Lab) -> None:
    with pytest.raises(LookupError):
        await smtp.answer(lab.conn, 99, "x", "127.0.0.1", 1)
