"""Asking people whose unit was split in which of its successors they live. Writes place_question.

The question is a follow-up, never life-safety: alerts reach these people under every candidate
meanwhile. So it obeys STOP and the quiet hours, waits while a warning is being sent, and comes
once, after a month again, three times at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from anyascii import anyascii

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.fanout import direct
from broadcaster.keyring import Keyring

CITY_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
FIRST, LAST, END = time(7), time(20), time(22)
"""Asked from FIRST to LAST; undelivered at END, when the quiet hours begin, it is dropped."""
AGAIN = timedelta(days=30)
"""Until the next time, and as long as the link is good for."""
MOST_TIMES = 3
AT_ONCE = 200
MOST_WAITING = 500
"""Questions on their way: more would make codes and receipts wait behind them."""
_NO_ENDPOINT = timedelta(days=1)
"""Until we look again for a way to ask; also between two questions to one endpoint."""
_TOKEN_BYTES = 16
_PATIENCE_S = 600.0
"""For what an import writes about hundreds of thousands of people at once."""

_SUBJECT = {
    "vi": "{old} cũ: nhà bạn nay ở đâu?",
    "en": "Former {old}: where do you live now?",
}
_TEXT = {
    "vi": "{old} cũ nay thuộc nhiều phường, xã. Hãy cho biết bạn ở đâu để nhận đúng cảnh báo, chỉ"
    " cần chạm một lần: {link} Trong lúc chờ, bạn vẫn nhận cảnh báo của tất cả các nơi đó.",
    "en": "The former {old} is part of several wards and communes now. Tell us where you live, by"
    " one touch, to get the right alerts: {link} Until then you get those of all of them.",
}
_SMS = {
    "vi": "{old} cu nay thuoc nhieu phuong, xa. Ban o dau? Chon tai {link} de nhan dung canh bao",
    "en": "Former {old} was split. Where do you live? Choose at {link} to get the right alerts",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit that a place may lie in."""

    code: str
    name: str
    name_en: str


@dataclass(frozen=True, slots=True)
class OpenPlace:
    """A place known only by a unit that was split."""

    place_no: int
    label: str
    former_name: str
    former_name_en: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What a link asks: one person's open places."""

    person_id: int
    places: tuple[OpenPlace, ...]


async def open_questions(conn: Conn, now: datetime, rows: str) -> None:
    """Have people asked; `rows` is SQL that gives person_id, place_no and former_id.

    A place asked about before, whose candidates a further reform changed, is asked about anew, by
    the name its owner once told us.
    """
    await conn.execute(
        "INSERT INTO place_question (person_id, place_no, former_id, next_at)"
        f" SELECT person_id, place_no, former_id, $1 FROM ({rows}) r"
        " ON CONFLICT (person_id, place_no) DO UPDATE SET times = 0, next_at = excluded.next_at,"
        " answered_at = NULL",
        now,
        timeout=_PATIENCE_S,
    )


async def drop(conn: Conn, rows: str) -> None:
    """Drop the questions that were settled; `rows` is SQL that gives person_id and place_no."""
    await conn.execute(
        f"DELETE FROM place_question q USING ({rows}) r"
        " WHERE q.person_id = r.person_id AND q.place_no = r.place_no",
        timeout=_PATIENCE_S,
    )


def may_ask(now: datetime) -> bool:
    """Say whether it is an hour at which people are asked."""
    return FIRST <= now.astimezone(CITY_TIME).time() < LAST


async def ask_due(conn: Conn, keyring: Keyring, now: datetime, public_url: str) -> int:
    """Order the questions that are due, so many at once; return how many."""
    if not may_ask(now):
        return 0
    async with conn.transaction():
        # One clockwork at a time: two would each ask the same people.
        if not await conn.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('places.ask'))"):
            return 0
        if await conn.fetchval(_BUSY, MOST_WAITING):
            return 0
        due = [row["person_id"] for row in await conn.fetch(_DUE, now, AT_ONCE)]
        ways = _one_each(await conn.fetch(_WAYS, due, now - _NO_ENDPOINT))
        for way in ways:
            await _ask(conn, keyring, now, public_url, way)
        asked = {way["person_id"] for way in ways}
        await conn.execute(
            "UPDATE place_question SET next_at = $2 WHERE person_id = ANY($1) AND next_at <= $3",
            [person_id for person_id in due if person_id not in asked], now + _NO_ENDPOINT, now,
        )  # fmt: skip
    return len(ways)


_BUSY = """
SELECT EXISTS (SELECT FROM alert WHERE state = 'sending' AND lane <= 1)
    OR (SELECT count(*) FROM (SELECT FROM direct_message
        WHERE state = 'pending' AND purpose = 'follow_up' LIMIT $1) waiting) >= $1
"""
_DUE = """
SELECT DISTINCT person_id FROM (
    SELECT person_id FROM place_question WHERE next_at <= $1 ORDER BY next_at, person_id LIMIT $2
) due
"""
# Where somebody was not yet asked comes first, then what costs least and is answered most easily.
_WAYS = """
SELECT q.person_id, e.endpoint_id, e.channel::text AS channel, e.lang::text AS lang,
    u.name, u.name_en
FROM (
    SELECT DISTINCT ON (person_id) person_id, former_id, endpoint_id FROM place_question
    WHERE person_id = ANY($1) AND next_at IS NOT NULL ORDER BY person_id, place_no
) q
JOIN unit u ON u.unit_id = q.former_id
JOIN person_endpoint l ON l.person_id = q.person_id
JOIN endpoint e ON e.endpoint_id = l.endpoint_id AND e.state = 'active' AND e.follow_ups
    AND e.address_enc <> ''
WHERE NOT EXISTS (SELECT FROM place_question o
    WHERE o.endpoint_id = e.endpoint_id AND o.asked_at > $2)
ORDER BY q.person_id, e.endpoint_id IS NOT DISTINCT FROM q.endpoint_id,
    array_position(ARRAY['push', 'email', 'sms'], e.channel::text), e.endpoint_id
"""


def _one_each(rows: Iterable[Any]) -> list[Any]:
    """Take the first way to each person that nobody of the same household takes now."""
    people: set[int] = set()
    endpoints: set[int] = set()
    taken = []
    for row in rows:
        if row["person_id"] not in people and row["endpoint_id"] not in endpoints:
            people.add(row["person_id"])
            endpoints.add(row["endpoint_id"])
            taken.append(row)
    return taken


async def _ask(conn: Conn, keyring: Keyring, now: datetime, public_url: str, way: Any) -> None:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    await conn.execute(
        "UPDATE place_question SET times = least(times + 1, $7), asked_at = $2, endpoint_id = $3,"
        " token_hash = $4, token_expires = $5,"
        " next_at = CASE WHEN times + 1 < $7 THEN $6::timestamptz END"
        " WHERE person_id = $1 AND next_at IS NOT NULL",
        way["person_id"], now, way["endpoint_id"], keyring.session_hash(token), now + AGAIN,
        now + AGAIN, MOST_TIMES,
    )  # fmt: skip
    old = way["name"] if way["lang"] == "vi" else way["name_en"]
    await direct.enqueue(
        conn, now, endpoint_id=way["endpoint_id"], channel=way["channel"], purpose="follow_up",
        content=_content(way["channel"], way["lang"], old, f"{public_url}/places/{token}"),
        expires=datetime.combine(now.astimezone(CITY_TIME).date(), END, CITY_TIME),
        dedupe_key=f"places:{way['person_id']}:{now:%Y%m%d}",
    )  # fmt: skip


def _content(channel: str, lang: str, old: str, link: str) -> dict[str, str]:
    subject, text = (part.format(old=old, link=link) for part in (_SUBJECT[lang], _TEXT[lang]))
    if channel == "sms":
        return {"text": _SMS[lang].format(old=anyascii(old), link=link)}
    if channel == "push":
        return {"title": subject, "body": text}
    anchor = f'<a href="{escape(link)}">{escape(link)}</a>'
    html = escape(_TEXT[lang].format(old=old, link="\0")).replace("\0", anchor)
    return {"subject": subject, "text": text + "\n", "html": f"<p>{html}</p>"}


async def _open_places(
    conn: Conn, person_id: int, token_hash: bytes, now: datetime
) -> list[OpenPlace]:
    rows = await conn.fetch(
        "SELECT q.place_no, p.label, f.name, f.name_en,"
        " ARRAY(SELECT (u.code, u.name, u.name_en) FROM place_candidate c JOIN unit u USING"
        "  (unit_id) WHERE c.person_id = q.person_id AND c.place_no = q.place_no ORDER BY u.code)"
        " AS candidates"
        " FROM place_question q JOIN person_place p USING (person_id, place_no)"
        " JOIN unit f ON f.unit_id = q.former_id"
        " WHERE q.person_id = $1 AND q.token_hash = $2 AND q.token_expires > $3"
        " AND q.answered_at IS NULL ORDER BY q.place_no",
        person_id, token_hash, now,
    )  # fmt: skip
    return [
        OpenPlace(
            row["place_no"],
            row["label"],
            row["name"],
            row["name_en"],
            tuple(Candidate(*one) for one in row["candidates"]),
        )
        for row in rows
    ]


async def find(conn: Conn, keyring: Keyring, now: datetime, token: str) -> Question:
    """Return what a link asks; raises NotFound when it was answered, replaced or has expired."""
    digest = keyring.session_hash(token)
    person_id = await conn.fetchval(
        "SELECT person_id FROM place_question WHERE token_hash = $1 LIMIT 1", digest
    )
    places = await _open_places(conn, person_id or 0, digest, now)
    if not places:
        raise NotFound(
            "question_over",
            "Liên kết này đã được trả lời hoặc đã hết hạn. Bạn vẫn sửa được nơi ở trong ứng dụng.",
            "This link was answered or has expired. You can still change your home in the app.",
        )
    return Question(person_id, tuple(places))


async def answer(
    conn: Conn, keyring: Keyring, now: datetime, token: str, chosen: Mapping[int, str | None]
) -> None:
    """Take the answer to a link: by place the code of a unit, None for "I do not know".

    Every place must be answered; raises Refused otherwise, NotFound when the link is over.
    """
    async with conn.transaction():
        person_id = (await find(conn, keyring, now, token)).person_id
        await conn.execute("SELECT FROM person WHERE person_id = $1 FOR UPDATE", person_id)
        # Read again under the lock: the same link may be open on two screens.
        question = await find(conn, keyring, now, token)
        for place in question.places:
            await _take(conn, now, person_id, place, chosen)
        await audit.record(
            conn, None, now, "person.places_answered", "person", person_id,
            places=[place.place_no for place in question.places],
        )  # fmt: skip


async def _take(
    conn: Conn, now: datetime, person_id: int, place: OpenPlace, chosen: Mapping[int, str | None]
) -> None:
    codes = {one.code for one in place.candidates}
    code = chosen.get(place.place_no, "")
    if code is not None and code not in codes:
        raise Refused(
            "answer_missing",
            "Hãy chọn một nơi, hoặc chọn “Tôi không biết”.",
            "Choose a place, or choose “I do not know”.",
            place_no=place.place_no,
        )
    if code is None:
        await conn.execute(
            "UPDATE place_question SET answered_at = $3, next_at = NULL"
            " WHERE person_id = $1 AND place_no = $2",
            person_id, place.place_no, now,
        )  # fmt: skip
        return
    await conn.execute(
        "UPDATE person_place p SET unit_id = c.unit_id FROM place_candidate c JOIN unit u"
        " USING (unit_id) WHERE p.person_id = $1 AND p.place_no = $2 AND u.code = $3"
        " AND c.person_id = $1 AND c.place_no = $2",
        person_id, place.place_no, code,
    )  # fmt: skip
    for table in ("place_candidate", "place_question"):
        await conn.execute(
            f"DELETE FROM {table} WHERE person_id = $1 AND place_no = $2",
            person_id, place.place_no,
        )  # fmt: skip
