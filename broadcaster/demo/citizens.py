"""People of the demo city who answer: about one in a hundred of those who got the alert.

They use what a person has, the lab's phones and mailboxes, so every answer travels the real way:
an SMS by the SMSC to the city's number, a mail to the reply address, an app to the public API.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import structlog
from aiohttp import ClientError, ClientSession

from broadcaster.db import Pool
from broadcaster.demo.carriers import Carriers
from channels.lab import fcm_store, smsc_store, smtp

log = structlog.get_logger(__name__)

ONE_IN = 100
CONFIRM, OPEN = 0.7, 0.25
"""Shares of the phones that say they have a push, and of those where somebody opens it."""
_PHONES = 1_000
_EVERY = 2.0

_WRITTEN_TO: dict[str, tuple[Callable[[Path], sqlite3.Connection], str]] = {
    "push": (
        fcm_store.connect,
        "SELECT DISTINCT address FROM message WHERE received_at > ?",
    ),
    "sms": (
        smsc_store.open_store,
        "SELECT DISTINCT number FROM message WHERE shown_at > ?",
    ),
    "email": (
        smtp.connect,
        "SELECT DISTINCT rcpt FROM mail WHERE received_at > ?",
    ),
}
"""Where each carrier's record says who was written to since a moment."""

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


class Citizens:
    """Those who answer; each once for as long as the demo runs."""

    def __init__(self, lab: Carriers, url: str) -> None:
        """Take the carriers' records and the address of the web process."""
        self._lab = lab
        self._url = url
        self._since = time.time()
        self._answered: set[tuple[str, str]] = set()
        self._confirmed_to = time.time()

    def _waiting(self) -> list[tuple[str, str]]:
        """Find (channel, address) of those who were written to and have not answered."""
        found = []
        for channel, (connect, query) in _WRITTEN_TO.items():
            with closing(connect(self._lab.directory)) as conn:
                rows = conn.execute(query, (self._since,)).fetchall()
            found += [(channel, address) for (address,) in map(tuple, rows) if chosen(address)]
        return [one for one in found if one not in self._answered]

    async def answer(self) -> int:
        """Let everybody who is waiting answer; returns how many did."""
        waiting = await asyncio.to_thread(self._waiting)
        async with ClientSession(self._url) as session:
            for channel, address in waiting:
                answer = {"channel": channel, "address": address, "text": words(address)}
                async with session.post("/lab/answer", json=answer) as response:
                    response.raise_for_status()
                self._answered.add((channel, address))
        return len(waiting)

    def _arrived(self) -> tuple[dict[tuple[str, str], list[str]], float]:
        """Find phones by (alert, news) of what reached them since, and when the newest did."""
        with closing(fcm_store.connect(self._lab.directory)) as conn:
            rows = conn.execute(
                "SELECT m.address, json_extract(c.data, '$.code') AS code, m.received_at"
                " FROM message m JOIN content c ON c.id = m.content"
                " WHERE m.received_at > ? AND code IS NOT NULL",
                (self._confirmed_to,),
            ).fetchall()
        found: dict[tuple[str, str], list[str]] = {}
        for address, code, _ in rows:
            share = int.from_bytes(hashlib.sha256(f"has:{address}".encode()).digest()[:4]) / 2**32
            if share < CONFIRM:
                news = "opened" if share < OPEN else "received"
                found.setdefault((code, news), []).append(address)
        return found, max((row[2] for row in rows), default=self._confirmed_to)

    async def confirm(self) -> int:
        """Let phones say what they have got, and what was opened; returns how many did."""
        found, newest = await asyncio.to_thread(self._arrived)
        async with ClientSession(self._url) as session:
            for (code, news), addresses in found.items():
                for start in range(0, len(addresses), _PHONES):
                    some = addresses[start : start + _PHONES]
                    told = {"alert": code, "news": news, "addresses": some}
                    async with session.post("/lab/confirm", json=told) as response:
                        response.raise_for_status()
        # Whatever went wrong on the way is said again: what was heard is not counted twice.
        self._confirmed_to = newest
        return sum(map(len, found.values()))

    async def answer_for_ever(self) -> None:
        """Confirm and answer as messages come in, until cancelled."""
        while True:
            try:
                await self.confirm()
                await self.answer()
            except (ClientError, OSError, sqlite3.OperationalError) as error:
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
