"""Why somebody got an alert, or did not: frozen or not, by which place, and what was sent.

Asked by staff and approvers from an address or from a report somebody sent. Every question is
audited, without the address. Of places outside the area no more than that is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from asyncpg import Record

from broadcaster import audit
from broadcaster.alerts import draft, lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import audience
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.why_places import Finder, PlaceFound, find_places
from broadcaster.fanout.why_words import BECAUSE, NOBODY, NOT_SENT, Words
from broadcaster.incidents import board
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.people import endpoints
from broadcaster.people.addresses import normalise
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Actor, authority
from broadcaster.people.problems import Unusable
from broadcaster.people.selection import Selector

ROLES = ("staff", "approver")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the alert at one address of a person."""

    channel: str
    address: str
    """Masked."""
    state: str | None
    """Of the delivery; None where there is none."""
    reason: str | None
    at: datetime | None
    why_not: Words | None
    """Why there is no delivery."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person behind the address."""

    in_audience: bool | None
    """None while the audience is not frozen."""
    because: str
    """A key of BECAUSE."""
    registered_at: datetime
    places: tuple[PlaceFound, ...]
    sent: tuple[Sent, ...]

    @property
    def sentence(self) -> Words:
        """Say in a sentence why."""
        return BECAUSE[self.because]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for everybody behind one address; a household has several."""

    frozen_at: datetime | None
    nobody: Words | None
    """Why there is nobody to explain it for."""
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    endpoint_id: int | None
    person_ids: list[int]
    by: dict[str, str]
    """What the trail says of how it was asked."""


async def ask(
    conn: Conn, keyring: Keyring, selector: Selector, actor: Actor, now: datetime, code: str,
    *, address: str = "", report: str = "",
) -> Explanation:  # fmt: skip
    """Explain an alert for everybody behind an address as somebody typed it, or behind a report.

    One transaction, with the row of the trail in it. Raises Refused (no such number, or nothing
    given), NotAllowed, NotFound (alert, report).
    """
    alert = await _alert(conn, actor, code)
    if bool(address) == bool(report):
        raise Refused(
            "ask_by_one",
            "Nhập một số điện thoại, một địa chỉ thư, hoặc một mã tin báo.",
            "Give a telephone number, a mail address, or the code of a report.",
        )
    if report:
        asked = await _of_report(conn, actor, report)
    else:
        asked = await _of_address(conn, keyring, address)
    await audit.record(
        conn, actor.official_id, now, "alert.explained", "alert", alert.alert_id,
        endpoint_id=asked.endpoint_id, person_ids=asked.person_ids, **asked.by,
    )  # fmt: skip
    if not asked.person_ids:
        nobody = NOBODY["unknown" if asked.endpoint_id is None else "nobody_behind"]
        return Explanation(None, nobody, ())
    return await _explain(conn, keyring, selector, actor, now, alert, asked.person_ids)


async def _of_address(conn: Conn, keyring: Keyring, typed: str) -> _Asked:
    channel = "email" if "@" in typed else "sms"
    try:
        address = Address(channel, normalise(channel, typed))
    except Unusable as error:
        problem = error.at("address")
        raise Refused(problem.code, problem.message_vi, problem.message_en) from error
    endpoint_id = await endpoints.find(conn, keyring, address)
    people = await _behind(conn, endpoint_id)
    return _Asked(endpoint_id, people, {"by": "address", "channel": channel})


async def _of_report(conn: Conn, actor: Actor, code: str) -> _Asked:
    row = await conn.fetchrow(
        "SELECT r.endpoint_id, r.person_id, i.code AS incident FROM report r"
        " JOIN incident_report l USING (report_id)"
        " JOIN incident i ON i.incident_id = l.to_incident"
        " WHERE r.code = $1 ORDER BY l.link_id DESC LIMIT 1",
        code.strip().upper(),
    )
    if row is None:
        raise NotFound(
            "no_report",
            f"Không có tin báo {code}. Kiểm tra lại mã tin báo.",
            f"There is no report {code}. Check its code.",
        )
    # Whoever may not see the incident may not see who reported it.
    await board.get_incident(conn, actor, row["incident"])
    people = await _behind(conn, row["endpoint_id"])
    if row["person_id"] is not None:
        people = [row["person_id"]]
    return _Asked(row["endpoint_id"], people, {"by": "report", "report": code})


async def _alert(conn: Conn, actor: Actor, code: str) -> Alert:
    """Return the alert, for an official who works where it is issued."""
    alert = (await draft.load(conn, actor, code)).alert
    if alert.unit_id not in await authority(conn, actor, *ROLES):
        raise NotAllowed(
            "may_not_ask_why",
            "Chỉ cán bộ trực và người duyệt của đơn vị phát tin được tra cứu người nhận.",
            "Only staff and approvers of the issuing unit may look up who got it.",
        )
    return alert


async def _behind(conn: Conn, endpoint_id: int | None) -> list[int]:
    rows = await conn.fetch(
        "SELECT person_id FROM person_endpoint WHERE endpoint_id = $1 ORDER BY person_id",
        endpoint_id,
    )
    return [row["person_id"] for row in rows]


async def _explain(
    conn: Conn, keyring: Keyring, selector: Selector, actor: Actor, now: datetime,
    alert: Alert, person_ids: Sequence[int],
) -> Explanation:  # fmt: skip
    frozen = await _frozen(conn, alert)
    frozen_at = alert.started_at if frozen is not None else None
    content = await _content(conn, actor, alert)
    finder = await Finder.of_area(conn, selector, content.area)
    rows = await conn.fetch(
        "SELECT person_id, created_at FROM person WHERE person_id = ANY($1) ORDER BY person_id",
        person_ids,
    )
    people = []
    for person_id, registered_at in rows:
        places = await find_places(conn, finder, now, person_id)
        chosen = None if frozen is None else _holds(frozen, person_id)
        because = _because(
            chosen,
            inside=any(place.inside for place in places),
            later=frozen_at is not None and registered_at > frozen_at,
        )
        sent = await _sent(conn, keyring, alert.alert_id, person_id, content.channels, chosen)
        people.append(Person(chosen, because, registered_at, places, sent))
    return Explanation(frozen_at, None, tuple(people))


async def _frozen(conn: Conn, alert: Alert) -> Ids | None:
    try:
        approved = await lifecycle.snapshot(conn, alert.alert_id)
        return (await audience.read(conn, alert.alert_id, approved.content_hash)).ids
    except LookupError:
        return None


async def _content(conn: Conn, actor: Actor, alert: Alert) -> Content:
    """Return what was approved, of a draft what it says now."""
    if alert.approved_at is None:
        return (await draft.load(conn, actor, alert.alert_id)).content
    return (await lifecycle.snapshot(conn, alert.alert_id)).content


def _holds(ids: Ids, person_id: int) -> bool:
    at = int(np.searchsorted(ids, person_id))
    return at < len(ids) and int(ids[at]) == person_id


def _because(chosen: bool | None, *, inside: bool, later: bool) -> str:
    if chosen is None:
        return "would_be" if inside else "would_not_be"
    if chosen:
        return "place" if inside else "no_longer"
    if not inside:
        return "outside"
    return "registered_later" if later else "moved_in"


async def _sent(
    conn: Conn, keyring: Keyring, alert_id: int, person_id: int,
    channels: Sequence[str], chosen: bool | None,
) -> tuple[Sent, ...]:  # fmt: skip
    rows = await conn.fetch(
        "SELECT e.endpoint_id, e.channel::text AS channel, e.state::text AS endpoint_state,"
        " e.address_enc, d.state::text AS state, d.reason, d.updated_at"
        " FROM person_endpoint l JOIN endpoint e USING (endpoint_id)"
        " LEFT JOIN delivery d ON d.alert_id = $2 AND d.endpoint_id = e.endpoint_id"
        " WHERE l.person_id = $1 ORDER BY e.channel, e.endpoint_id",
        person_id,
        alert_id,
    )
    return tuple(
        Sent(
            channel=row["channel"],
            address=_masked(keyring, row),
            state=row["state"],
            reason=row["reason"],
            at=row["updated_at"],
            why_not=None if row["state"] or chosen is None else _why_not(row, channels, chosen),
        )
        for row in rows
    )


def _why_not(row: Record, channels: Sequence[str], chosen: bool) -> Words:
    if not chosen:
        return NOT_SENT["not_in"]
    if row["channel"] not in channels:
        return NOT_SENT["channel"]
    return NOT_SENT.get(row["endpoint_state"], NOT_SENT["later"])


def _masked(keyring: Keyring, row: Record) -> str:
    """Show enough of an address to recognise it, and not enough to use it."""
    try:
        sealed, row_id = row["address_enc"], row["endpoint_id"]
        address = keyring.unseal(sealed, "endpoint", "address_enc", row_id).decode()
    except UndecipherableError:
        return "…"
    if row["channel"] == "email":
        name, _, domain = address.partition("@")
        return f"{name[:1]}…@{domain}"
    return f"…{address[-3:]}"
