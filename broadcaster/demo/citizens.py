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
    "ngap {depth} o ngo {lane}, xe chet may, xin ho tro",
    "Cây đổ chắn ngang đường gần số nhà {lane}, xe không qua được",
    "cuu voi nha co nguoi gia mac ket o ngo {lane}, nuoc dang len {depth}",
    "mat dien tu {hour}h, ca ngo {lane} chua co lai",
    "Mái tôn bay xuống đường dây điện trước số {lane}",
    "nuoc tran vao nha {depth}, can may bom, so nha {lane}",
    "Đường ngập {depth} đoạn số {lane}, xe máy không đi được",
    "Gia đình tôi an toàn, cảm ơn",
    "cong tac nghen rac, nuoc khong thoat duoc o ngo {lane}",
    "Có trẻ em sốt cao ở ngõ {lane}, đường ngập {depth} không ra được, cần giúp",
    "day dien dut roi xuong vung nuoc truoc so {lane}, nguy hiem",
    "Bờ kè sau ngõ {lane} bị sạt lở khoảng {hour} mét",
    "xin hoi diem so tan gan nhat o dau, nha toi ngo {lane}",
    "o to bi cay do de truoc so {lane}, khong co ai bi thuong",
    "Nước lên {depth} rồi, nhà tôi {hour} người ở ngõ {lane} đang ở trên mái",
    "Kính tòa nhà số {lane} vỡ rơi xuống vỉa hè, mọi người tránh lối này",
    "The street is flooded {depth} near number {lane}, cars are stuck",
)
_DEPTHS = ("20cm", "30cm", "nua banh xe", "0,5m", "60cm", "den dau goi", "gan 1m")


def chosen(address: str) -> bool:
    """Whether this person is one who answers: always the same ones."""
    digest = hashlib.sha256(f"answers:{address}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % ONE_IN == 0


def words(address: str) -> str:
    """Choose what this person writes."""
    digest = hashlib.sha256(address.encode()).digest()
    return WORDS[digest[0] % len(WORDS)].format(
        depth=_DEPTHS[digest[1] % len(_DEPTHS)], lane=1 + digest[2] % 120, hour=2 + digest[3] % 4
    )


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
