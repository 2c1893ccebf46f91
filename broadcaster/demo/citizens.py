"""People of the demo city who answer: about one in a hundred of those who got the alert.

They use what a person has, the lab's phones and mailboxes, so every answer travels the real way:
an SMS by the SMSC to the city's number, a mail to the reply address, an app to the public API.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing

import structlog

from broadcaster.db import Pool
from broadcaster.demo.carriers import Carriers
from channels.lab import smsc_store, smtp

log = structlog.get_logger(__name__)

ONE_IN = 100
_EVERY = 2.0
_MOST_AT_ONCE = 40

WORDS = (
    "ngap 0,5m o p phu thuong, xe chet may, xin ho tro",
    "Cây đổ chắn ngang đường Âu Cơ, xe không qua được",
    "cuu voi nha co nguoi gia mac ket tang 1 nuoc dang len",
    "mat dien tu 3h sang o Xuan Dinh, chua co lai",
    "Mái tôn bay xuống đường dây điện trước số 12 ngõ 45",
    "nuoc tran vao nha 30cm, can may bom",
    "Đường Nguyễn Trãi ngập sâu, xe máy không đi được",
    "Gia dinh toi an toan, cam on",
    "cong tac nghen rac, nuoc khong thoat duoc o ngo 310",
    "Có trẻ em sốt cao, đường ngập không ra được, cần giúp",
    "day dien dut roi xuong vung nuoc, nguy hiem",
    "Bờ kè sau nhà bị sạt lở khoảng 3 mét",
    "xin hoi diem so tan gan nhat o dau",
    "xe o to bi cay do de o Ba Dinh, khong co ai bi thuong",
    "Nước lên nhanh quá, nhà tôi 4 người đang ở trên mái",
)


def chosen(address: str) -> bool:
    """Whether this person is one who answers: always the same ones."""
    digest = hashlib.sha256(f"answers:{address}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % ONE_IN == 0


def words(address: str) -> str:
    """Choose what this person writes."""
    digest = hashlib.sha256(address.encode()).digest()
    return WORDS[digest[0] % len(WORDS)]


async def answer_once(lab: Carriers) -> int:
    """Let those who were written to and have not answered do so; returns how many did."""
    with (
        closing(smsc_store.open_store(lab.directory)) as handsets,
        closing(smtp.connect(lab.directory)) as boxes,
    ):
        return _answer_sms(handsets, lab.reply_number) + await _answer_mail(boxes, lab)


def _answer_sms(conn: sqlite3.Connection, reply_number: str) -> int:
    rows = conn.execute(
        "SELECT number, max(shown_at) AS at FROM message m WHERE NOT EXISTS"
        " (SELECT 1 FROM outbox o WHERE o.number = m.number) GROUP BY number"
    ).fetchall()
    answering = [row for row in rows if chosen(row["number"])]
    for row in answering:
        smsc_store.answer(conn, row["number"], reply_number, words(row["number"]))
    return len(answering)


async def _answer_mail(conn: sqlite3.Connection, lab: Carriers) -> int:
    rows = conn.execute(
        "SELECT rcpt, max(id) AS mail_id FROM mail WHERE rcpt NOT IN"
        " (SELECT m.rcpt FROM answer a JOIN mail m ON m.id = a.mail_id) GROUP BY rcpt"
    ).fetchall()
    answering = [row for row in rows if chosen(row["rcpt"])]
    for row in answering[:_MOST_AT_ONCE]:
        await smtp.answer(conn, row["mail_id"], words(row["rcpt"]), *lab.mail_inbound)
    return len(answering[:_MOST_AT_ONCE])


async def answer_for_ever(lab: Carriers) -> None:
    """Answer as messages come in, until cancelled."""
    while True:
        try:
            await answer_once(lab)
        except (OSError, sqlite3.OperationalError) as error:
            log.warning("nobody answers just now", error=str(error))
        await asyncio.sleep(_EVERY)


async def wait_reports(pool: Pool, count: int, timeout: float) -> bool:
    """Wait until that many reports are there; False when they did not come in time."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                async with pool.acquire() as conn:
                    if await conn.fetchval("SELECT count(*) FROM report") >= count:
                        return True
                await asyncio.sleep(0.2)
    except TimeoutError:
        return False
