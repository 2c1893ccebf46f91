"""Whom a question is about: everybody behind an address as somebody typed it, or behind a report.

For staff and approvers of the unit that issued the alert; every question is in the trail, with ids
and never with the address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Record

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout.why_words import NOBODY, Words
from broadcaster.incidents import board
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.people import endpoints
from broadcaster.people.addresses import masked, normalise
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Actor, authority
from broadcaster.people.problems import Unusable

ROLES = ("staff", "approver")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was found."""

    endpoint_id: int | None
    person_ids: list[int]
    by: dict[str, str]
    """What the trail says of how it was asked."""

    @property
    def nobody(self) -> Words | None:
        """Why there is nobody; None where somebody is."""
        if self.person_ids:
            return None
        return NOBODY["unknown" if self.endpoint_id is None else "nobody_behind"]


@dataclass(frozen=True, slots=True)
class Reached:
    """One way somebody is reached today."""

    endpoint_id: int
    channel: str
    state: str
    address: str
    """Masked: enough to recognise it, not enough to use it."""


async def alert_of(conn: Conn, actor: Actor, code: str) -> Alert:
    """Return the alert, for an official who works where it is issued.

    Raises NotAllowed, NotFound.
    """
    alert = (await draft.load(conn, actor, code)).alert
    if alert.unit_id not in await authority(conn, actor, *ROLES):
        raise NotAllowed(
            "may_not_ask_why",
            "Chỉ cán bộ trực và người duyệt của đơn vị phát tin được tra cứu người nhận.",
            "Only staff and approvers of the issuing unit may look up who got it.",
        )
    return alert


async def find(
    conn: Conn, keyring: Keyring, actor: Actor | None, *, address: str = "", report: str = ""
) -> Asked:
    """Find the people; without an actor an address only.

    Raises Refused (no such number, or not one of the two given), NotAllowed, NotFound (report).
    """
    if bool(address) == bool(report):
        raise Refused(
            "ask_by_one",
            "Nhập một số điện thoại, một địa chỉ thư, hoặc một mã tin báo.",
            "Give a telephone number, a mail address, or the code of a report.",
        )
    if report and actor is not None:
        return await _of_report(conn, actor, report)
    return await _of_address(conn, keyring, address)


async def _of_address(conn: Conn, keyring: Keyring, typed: str) -> Asked:
    channel = "email" if "@" in typed else "sms"
    try:
        address = Address(channel, normalise(channel, typed))
    except Unusable as error:
        problem = error.at("address")
        raise Refused(problem.code, problem.message_vi, problem.message_en) from error
    endpoint_id = await endpoints.find(conn, keyring, address)
    people = await _behind(conn, endpoint_id)
    return Asked(endpoint_id, people, {"by": "address", "channel": channel})


async def _of_report(conn: Conn, actor: Actor, code: str) -> Asked:
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
    return Asked(row["endpoint_id"], people, {"by": "report", "report": code})


async def _behind(conn: Conn, endpoint_id: int | None) -> list[int]:
    rows = await conn.fetch(
        "SELECT person_id FROM person_endpoint WHERE endpoint_id = $1 ORDER BY person_id",
        endpoint_id,
    )
    return [row["person_id"] for row in rows]


async def ways_to(conn: Conn, keyring: Keyring, person_ids: Sequence[int]) -> dict[int, Reached]:
    """Return the endpoints of people, by channel and id."""
    rows = await conn.fetch(
        f"SELECT DISTINCT {_ENDPOINT} FROM person_endpoint l JOIN endpoint e USING (endpoint_id)"
        " WHERE l.person_id = ANY($1) ORDER BY e.channel, e.endpoint_id",
        person_ids,
    )
    return {row["endpoint_id"]: _reached(keyring, row) for row in rows}


_ENDPOINT = "e.endpoint_id, e.channel, e.state, e.address_enc"


def _reached(keyring: Keyring, row: Record) -> Reached:
    return Reached(row["endpoint_id"], row["channel"], row["state"], _masked(keyring, row))


def _masked(keyring: Keyring, row: Record) -> str:
    try:
        sealed, row_id = row["address_enc"], row["endpoint_id"]
        address = keyring.unseal(sealed, "endpoint", "address_enc", row_id).decode()
    except UndecipherableError:
        return "…"
    return masked(row["channel"], address)


async def ways_by_id(
    conn: Conn, keyring: Keyring, endpoint_ids: Sequence[int]
) -> dict[int, Reached]:
    """Return these endpoints, whoever is behind them."""
    rows = await conn.fetch(
        f"SELECT {_ENDPOINT} FROM endpoint e WHERE endpoint_id = ANY($1)", endpoint_ids
    )
    return {row["endpoint_id"]: _reached(keyring, row) for row in rows}
