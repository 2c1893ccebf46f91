"""From what was stored to a report, its incident and the acknowledgement: one transaction each.

Writes report, and marks inbound_raw as handled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from broadcaster import db
from broadcaster.db import Conn, Pool
from broadcaster.incidents import answers, inbox
from broadcaster.incidents.codes import REPORT_PREFIX, tracking_code
from broadcaster.incidents.inbox import AppMessage
from broadcaster.incidents.lifecycle import Opening, open_incident
from broadcaster.incidents.matching import Match, match, of_exercise
from broadcaster.incidents.messages import Message, read_app, read_mail, read_sms
from broadcaster.incidents.places import Gazetteer, Place
from broadcaster.incidents.understand import word_list
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints

log = logging.getLogger(__name__)

PARTS_WAIT = timedelta(minutes=10)
"""How long the parts of a long SMS wait for each other before they are read as they are."""
LOOP, LOOP_TIME = 20, timedelta(minutes=5)
"""More messages alike than this from one sender in this time, and a machine is talking to us."""
ANSWERS_AN_HOUR = 10
_TITLE = 90

ReadToken = Callable[[Keyring, str], tuple[int, int] | None]
"""A mail's token → (alert, endpoint), None when it is not ours."""
OnBounce = Callable[[Conn, datetime, str, str], Awaitable[None]]
"""Told the token and the status code of a mail that came back."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one stored message."""

    report_id: int | None = None
    code: str = ""
    incident_id: int | None = None
    problem: str = ""
    """Why there is no report: waiting, auto, bounce, stop, loop, empty, …"""


@dataclass(frozen=True)
class Intake:
    """Everything handling needs; one for each process, a new one when the map changes."""

    keyring: Keyring
    gazetteer: Gazetteer
    mail_domain: str
    read_token: ReadToken
    on_bounce: OnBounce

    async def handle(self, conn: Conn, now: datetime, inbound_id: int) -> Handled:
        """Handle one stored message; safe to call again and from several workers at once."""
        async with conn.transaction():
            rows = await _lock(conn, inbound_id)
            if inbound_id not in (row["inbound_id"] for row in rows):
                return Handled(problem="handled")
            first = rows[0]
            whole = len({row["part"] for row in rows}) >= (first["parts"] or 1)
            if not whole and now - first["received_at"] < PARTS_WAIT:
                return Handled(problem="waiting")
            message = self._read(rows)
            sender = self.keyring.address_hash("inbound/sender", message.identity)
            alike = self.keyring.address_hash("inbound/text", message.text)
            done = await self._judge(conn, now, first, message, sender, alike)
            await conn.execute(
                "UPDATE inbound_raw SET handled_at = $2, problem = $3, sender_hash = $4,"
                " text_hash = $5 WHERE inbound_id = ANY($1)",
                [row["inbound_id"] for row in rows], now, done.problem or None, sender, alike,
            )  # fmt: skip
            return done

    async def receive(
        self, conn: Conn, now: datetime, message: AppMessage, channel: str = "app"
    ) -> Handled:
        """Store and handle a message whose sender waits for the tracking code.

        Sent again with the same id it gets the same answer. Not to be called inside a
        transaction: what was stored must stay even if handling it fails.
        """
        inbound_id = await inbox.store_app(conn, self.keyring, now, message, channel)
        if inbound_id is None:
            inbound_id = await inbox.find_app(conn, self.keyring, now, message, channel) or 0
        handled = await self.handle(conn, now, inbound_id)
        if handled.problem != "handled":
            return handled
        row = await conn.fetchrow(
            "SELECT r.report_id, r.code, l.to_incident AS incident_id FROM report r"
            " JOIN incident_report l USING (report_id) WHERE r.inbound_id = $1"
            " ORDER BY l.link_id DESC LIMIT 1",
            inbound_id,
        )
        return Handled(**row) if row else handled

    def _read(self, rows: list[asyncpg.Record]) -> Message:
        raw = [
            self.keyring.unseal(row["raw_enc"], "inbound_raw", "raw_enc", row["inbound_id"])
            for row in rows
        ]
        if rows[0]["channel"] == "sms":
            return read_sms(raw)
        if rows[0]["channel"] == "email":
            return read_mail(raw[0], self.mail_domain)
        return read_app(raw[0])

    async def _judge(
        self,
        conn: Conn,
        now: datetime,
        row: asyncpg.Record,
        message: Message,
        sender: bytes,
        alike: bytes,
    ) -> Handled:
        if message.machine:
            if message.machine == "bounce" and message.token:
                await self.on_bounce(conn, now, message.token, message.bounce_status)
            return Handled(problem=message.machine)
        if await _repeats(conn, row["received_at"], sender, alike) >= LOOP:
            return Handled(problem="loop")
        token = self.read_token(self.keyring, message.token) if message.token else None
        if message.stop:
            await self._stop(conn, now, message, token)
            return Handled(problem="stop")
        if not message.text:
            return Handled(problem="empty")
        return await self._report(conn, now, row, message, token, sender)

    async def _stop(
        self, conn: Conn, now: datetime, message: Message, token: tuple[int, int] | None
    ) -> None:
        endpoint_id = token[1] if token else None
        if endpoint_id is None and message.address is not None:
            endpoint_id = await endpoints.find(conn, self.keyring, message.address)
        if endpoint_id is not None:
            await endpoints.stop_follow_ups(conn, endpoint_id)
            await answers.confirm_stop(conn, now, endpoint_id)

    async def _report(
        self,
        conn: Conn,
        now: datetime,
        row: asyncpg.Record,
        message: Message,
        token: tuple[int, int] | None,
        sender: bytes,
    ) -> Handled:
        source = await self._source(conn, now, message)
        tied = await match(
            conn, now, source.endpoint_ids,
            replied_to=token[0] if token else None, named=message.alert_code,
        )  # fmt: skip
        place = await self.gazetteer.place(conn, message.text, message.point, source.people)
        report_id, code = await self._insert(conn, row, message, source, tied, place)
        told = word_list().read(message.text)
        drill = await of_exercise(conn, now, tied.alert_id)
        opening = Opening(
            title=_title(message.text), category=told.category, urgency=told.urgency,
            alert_id=tied.alert_id, unit_id=place.unit_id, x=place.x, y=place.y,
            place_source=place.source, exercise=drill,
        )  # fmt: skip
        incident_id = await open_incident(conn, now, report_id, opening)
        answered = await _answered(conn, now, sender)
        if source.answer_to is not None and answered < ANSWERS_AN_HOUR:
            await answers.acknowledge(conn, now, source.answer_to, report_id, code, exercise=drill)
        return Handled(report_id, code, incident_id)

    async def _source(self, conn: Conn, now: datetime, message: Message) -> _Source:
        if message.address is not None:
            endpoint_id = await endpoints.known_or_new(conn, self.keyring, now, message.address)
            people = await conn.fetch(
                "SELECT person_id FROM person_endpoint WHERE endpoint_id = $1 ORDER BY 1",
                endpoint_id,
            )
            return _Source([endpoint_id], [row["person_id"] for row in people], endpoint_id)
        if message.person_id is None:
            return _Source([], [], None)
        reached = await conn.fetch(
            "SELECT e.endpoint_id, e.channel::text FROM person_endpoint l"
            " JOIN endpoint e USING (endpoint_id) WHERE l.person_id = $1 AND e.state = 'active'"
            " ORDER BY e.endpoint_id DESC",
            message.person_id,
        )
        app = next((row["endpoint_id"] for row in reached if row["channel"] == "push"), None)
        return _Source([row["endpoint_id"] for row in reached], [message.person_id], app)

    async def _insert(
        self,
        conn: Conn,
        row: asyncpg.Record,
        message: Message,
        source: _Source,
        tied: Match,
        place: Place,
    ) -> tuple[int, str]:
        report_id: int = await conn.fetchval(
            "SELECT nextval(pg_get_serial_sequence('report', 'report_id'))"
        )
        unknown = None
        if message.sender and message.address is None:
            unknown = self.keyring.seal(message.sender.encode(), "report", "sender_enc", report_id)
        code, tries = None, 0
        while code is None:
            code = await conn.fetchval(
                "INSERT INTO report (report_id, code, inbound_id, channel, received_at,"
                " endpoint_id, person_id, sender_enc, text, alert_id, match_reason, unit_id, x, y,"
                " place_source, place_confidence) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4,"
                " $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
                " ON CONFLICT (code) DO NOTHING RETURNING code",
                report_id, tracking_code(REPORT_PREFIX, tries), row["inbound_id"], row["channel"],
                row["received_at"], source.answer_to, source.only_person, unknown, message.text,
                tied.alert_id, tied.reason, place.unit_id, place.x, place.y, place.source,
                place.confidence,
            )  # fmt: skip
            tries += 1
        return report_id, code


@dataclass(frozen=True, slots=True)
class _Source:
    """Who may be behind a message, and the endpoint an answer goes to."""

    endpoint_ids: list[int]
    people: list[int]
    answer_to: int | None

    @property
    def only_person(self) -> int | None:
        """The person, unless a household shares the number: then nobody knows who wrote."""
        return self.people[0] if len(self.people) == 1 else None


def _title(text: str) -> str:
    first = " ".join(text.split())
    return first if len(first) <= _TITLE else first[: _TITLE - 1].rsplit(" ", 1)[0] + "…"


async def _lock(conn: Conn, inbound_id: int) -> list[asyncpg.Record]:
    """Lock what is still open of the message: its row, or every part that shares its key.

    In one order, so that two workers that hold different parts wait instead of blocking each
    other for good; the second then finds nothing open.
    """
    return await conn.fetch(
        "SELECT inbound_id, channel, raw_enc, received_at, part, parts FROM inbound_raw"
        " WHERE handled_at IS NULL AND (inbound_id = $1 OR part_key ="
        "  (SELECT part_key FROM inbound_raw WHERE inbound_id = $1))"
        " ORDER BY inbound_id FOR UPDATE",
        inbound_id,
    )


async def _repeats(conn: Conn, at: datetime, sender: bytes, alike: bytes) -> int:
    return int(
        await conn.fetchval(
            "SELECT count(*) FROM (SELECT FROM inbound_raw WHERE sender_hash = $1"
            " AND text_hash = $2 AND received_at > $3 AND received_at <= $4 LIMIT $5) seen",
            sender, alike, at - LOOP_TIME, at, LOOP,
        )
    )  # fmt: skip


async def _answered(conn: Conn, now: datetime, sender: bytes) -> int:
    """Count this sender's reports of the last hour: each was answered, up to the limit."""
    return int(
        await conn.fetchval(
            "SELECT count(*) FROM (SELECT FROM inbound_raw WHERE sender_hash = $1"
            " AND received_at > $2 AND problem IS NULL LIMIT $3) seen",
            sender, now - timedelta(hours=1), ANSWERS_AN_HOUR,
        )
    )  # fmt: skip


async def handle_open(intake: Intake, pool: Pool, now: datetime, limit: int = 100) -> int:
    """Handle what waits, oldest first; return how many messages were taken up.

    A message that cannot be read is marked so and keeps its bytes; it never holds up the others.
    """
    rows = await pool.fetch(
        "SELECT inbound_id FROM inbound_raw r WHERE handled_at IS NULL AND (part_key IS NULL"
        " OR received_at <= $1 OR parts <= (SELECT count(DISTINCT part) FROM inbound_raw s"
        "  WHERE s.part_key = r.part_key AND s.handled_at IS NULL))"
        " ORDER BY inbound_id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now - PARTS_WAIT, limit,
    )  # fmt: skip
    for row in rows:
        inbound_id = row["inbound_id"]
        try:
            async with pool.acquire() as conn:
                await intake.handle(conn, now, inbound_id)
        except db.AWAY:
            raise
        except Exception as error:
            log.exception("inbound message %s cannot be read", inbound_id)
            await pool.execute(
                "UPDATE inbound_raw SET handled_at = $2, problem = $3"
                " WHERE inbound_id = $1 AND handled_at IS NULL",
                inbound_id, now, f"unreadable: {type(error).__name__}",
            )  # fmt: skip
        await asyncio.sleep(0)
    return len(rows)
