"""Whom exercises reach: addresses whose owners agreed, kept by units. Writes exercise_recipient.

An address is enrolled, not a person: a household's number is everybody's behind it, so somebody who
is enrolled by name brings only the addresses that are theirs alone. Rows stay when somebody leaves,
so that it can be told who had agreed, how, and until when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg
import numpy as np
from numpy.typing import NDArray

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.people import endpoints
from broadcaster.people.addresses import masked, normalise
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Actor, authority, authority_so_far
from broadcaster.people.problems import Unusable
from broadcaster.people.selection import Selector
from targeting.index import CHANNELS, Counts, Ids

ROLES = ("admin", "approver")
"""Who keeps a unit's list."""
_NOTE, _CONSENT, _WHY = 120, 200, 200
_MOST = 500
_MASKED = "…"

ENROLLED = (
    "EXISTS (SELECT FROM exercise_recipient x WHERE x.endpoint_id = {} AND x.removed_at IS NULL)"
)
"""SQL: this endpoint is on the list now."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address on the list of a unit."""

    recipient_id: int
    endpoint_id: int
    unit_id: int
    unit_name: str
    unit_name_en: str
    channel: str
    address: str
    """Masked: enough to recognise it, not enough to use it."""
    usable: bool
    note: str
    consent: str
    consented_on: date
    added_by: str
    added_at: datetime
    removed_at: datetime | None
    removed_why: str | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody agreed to, as it is typed."""

    who: str
    """A number, a mail address, or `id:` and the external id of somebody imported."""
    consent: str
    """How it was given: on paper, in the app, at a meeting."""
    consented_on: date
    note: str = ""


async def enrol(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, unit_id: int, given: Enrolment
) -> int:
    """Put whoever it is on a unit's list; returns how many addresses were added.

    Raises NotAllowed, Refused (nothing said of the consent, not registered, not readable),
    Conflict (on a list already).
    """
    await _require_keeper(conn, actor, unit_id)
    consent, note = " ".join(given.consent.split()), " ".join(given.note.split())
    _check_words(consent, note, given.consented_on, now)
    found = await _endpoints_of(conn, keyring, given.who.strip())
    async with conn.transaction():
        added = await conn.fetch(
            "INSERT INTO exercise_recipient (endpoint_id, unit_id, note, consent, consented_on,"
            " added_by, added_at) SELECT unnest($1::bigint[]), $2, $3, $4, $5, $6, $7"
            " ON CONFLICT (endpoint_id) WHERE removed_at IS NULL DO NOTHING RETURNING recipient_id",
            found, unit_id, note, consent, given.consented_on, actor.official_id, now,
        )  # fmt: skip
        if not added:
            raise Conflict(
                "enrolled_already",
                "Người này đã có trong danh sách diễn tập.",
                "Already on a list of exercise recipients.",
            )
        await audit.record(
            conn, actor.official_id, now, "exercise_recipient.added", "unit", unit_id,
            recipients=[row["recipient_id"] for row in added], consent=consent,
        )  # fmt: skip
    return len(added)


async def enrol_people(
    conn: Conn, now: datetime, unit_id: int, person_ids: Iterable[int], consent: str
) -> int:
    """Put people's own addresses on a unit's list, in the service's name: for the demo.

    Whoever is on a list already is passed over. Returns how many addresses were added.
    """
    rows = await conn.fetch(
        "INSERT INTO exercise_recipient (endpoint_id, unit_id, consent, consented_on, added_at)"
        " SELECT l.endpoint_id, $2, $3, $4::timestamptz::date, $4 FROM person_endpoint l"
        " JOIN endpoint e USING (endpoint_id)"
        " WHERE l.person_id = ANY($1::integer[]) AND e.state = 'active' AND NOT EXISTS ("
        "  SELECT FROM person_endpoint o WHERE o.endpoint_id = l.endpoint_id"
        "  AND o.person_id <> l.person_id)"
        " ON CONFLICT (endpoint_id) WHERE removed_at IS NULL DO NOTHING RETURNING recipient_id",
        list(person_ids),
        unit_id,
        consent,
        now,
    )
    return len(rows)


def _check_words(consent: str, note: str, consented_on: date, now: datetime) -> None:
    if not consent or len(consent) > _CONSENT:
        raise Refused(
            "consent_missing",
            f"Ghi người nhận đồng ý bằng cách nào, tối đa {_CONSENT} chữ.",
            f"Say how consent was given, in at most {_CONSENT} letters.",
        )
    if consented_on > now.date():
        raise Refused(
            "consent_in_future",
            "Ngày đồng ý ở tương lai. Ghi ngày đã đồng ý.",
            "The day of consent lies ahead. Give the day it was given.",
        )
    if len(note) > _NOTE:
        raise Refused(
            "note_long",
            f"Ghi chú dài quá {_NOTE} chữ. Viết ngắn lại.",
            f"The note is longer than {_NOTE} letters. Shorten it.",
        )


async def _endpoints_of(conn: Conn, keyring: Keyring, who: str) -> list[int]:
    """Return the active endpoints somebody means; raises Refused when there is none."""
    if who.lower().startswith("id:"):
        # What others share is not this person's to enrol.
        rows = await conn.fetch(
            "SELECT l.endpoint_id FROM person p JOIN person_endpoint l USING (person_id)"
            " JOIN endpoint e USING (endpoint_id) WHERE p.external_id = $1 AND e.state = 'active'"
            " AND NOT EXISTS (SELECT FROM person_endpoint o WHERE o.endpoint_id = l.endpoint_id"
            "  AND o.person_id <> l.person_id)",
            who[3:].strip(),
        )
        found = [row["endpoint_id"] for row in rows]
    else:
        channel = "email" if "@" in who else "sms"
        try:
            address = Address(channel, normalise(channel, who))
        except Unusable as error:
            raise Refused(
                "address_unreadable",
                "Không đọc được số hoặc thư này. Ghi như 0912345678 hoặc ten@example.vn.",
                "This is no number or mail address. Write it as 0912345678 or name@example.vn.",
            ) from error
        endpoint_id = await endpoints.find(conn, keyring, address)
        active = "SELECT endpoint_id FROM endpoint WHERE endpoint_id = $1 AND state = 'active'"
        found = [row["endpoint_id"] for row in await conn.fetch(active, endpoint_id)]
    if not found:
        raise Refused(
            "not_registered",
            "Chưa ai đăng ký nhận tin bằng địa chỉ này, hoặc chỉ có địa chỉ dùng chung. Người đó"
            " đăng ký nhận tin trước.",
            "Nobody is registered there, or only by addresses shared with others. They register"
            " for alerts first.",
        )
    return found


async def remove(conn: Conn, actor: Actor, now: datetime, recipient_id: int, why: str) -> None:
    """Take an address off its list, at once and for what is under way too.

    Raises NotAllowed, NotFound (not on a list, or off it already), Refused (no reason).
    """
    unit_id = await conn.fetchval(
        "SELECT unit_id FROM exercise_recipient WHERE recipient_id = $1 AND removed_at IS NULL",
        recipient_id,
    )
    if unit_id is None:
        raise NotFound(
            "not_enrolled",
            "Người này không còn trong danh sách diễn tập.",
            "This one is not on the list any more.",
        )
    await _require_keeper(conn, actor, unit_id)
    said = " ".join(why.split())
    if not said or len(said) > _WHY:
        raise Refused("reason_missing", "Ghi lý do bỏ.", "Say why it is taken off.")
    async with conn.transaction():
        await conn.execute(
            "UPDATE exercise_recipient SET removed_by = $2, removed_at = $3, removed_why = $4"
            " WHERE recipient_id = $1 AND removed_at IS NULL",
            recipient_id,
            actor.official_id,
            now,
            said,
        )
        await audit.record(
            conn, actor.official_id, now, "exercise_recipient.removed", "unit", unit_id,
            recipient=recipient_id, reason=said,
        )  # fmt: skip


async def _require_keeper(conn: Conn, actor: Actor, unit_id: int) -> None:
    if unit_id not in await authority(conn, actor, *ROLES):
        raise NotAllowed(
            "not_keeper_here",
            "Chỉ người duyệt và quản trị viên của đơn vị này giữ danh sách diễn tập.",
            "Only approvers and administrators of this unit keep its list.",
        )


async def listing(
    conn: Conn, keyring: Keyring, actor: Actor, *, removed: bool = False
) -> list[Recipient]:
    """Return who is on the lists an official keeps, the newest first; with `removed`, who left."""
    units = await authority_so_far(conn, actor, *ROLES)
    rows = await conn.fetch(
        "SELECT r.*, u.name AS unit_name, u.name_en AS unit_name_en, e.channel::text AS channel,"
        " e.address_enc, e.state = 'active' AS usable, coalesce(o.name, '') AS added_name"
        " FROM exercise_recipient r JOIN unit u USING (unit_id) JOIN endpoint e USING (endpoint_id)"
        " LEFT JOIN official o ON o.official_id = r.added_by"
        f" WHERE r.unit_id = ANY($1::integer[]) AND (r.removed_at IS NOT NULL) = $2"
        f" ORDER BY r.recipient_id DESC LIMIT {_MOST}",
        list(units),
        removed,
    )
    return [_recipient(keyring, row) for row in rows]


def _recipient(keyring: Keyring, row: asyncpg.Record) -> Recipient:
    try:
        opened = keyring.unseal(row["address_enc"], "endpoint", "address_enc", row["endpoint_id"])
        address = masked(row["channel"], opened.decode())
    except UndecipherableError:
        address = _MASKED
    return Recipient(
        row["recipient_id"], row["endpoint_id"], row["unit_id"], row["unit_name"],
        row["unit_name_en"], row["channel"], address, row["usable"], row["note"], row["consent"],
        row["consented_on"], row["added_name"], row["added_at"], row["removed_at"],
        row["removed_why"],
    )  # fmt: skip


async def enrolled(conn: Conn) -> tuple[NDArray[np.int64], Ids]:
    """Return the endpoints on any list, and the people behind them; each sorted."""
    rows = await conn.fetch(
        "SELECT r.endpoint_id, l.person_id FROM exercise_recipient r"
        " JOIN endpoint e USING (endpoint_id) LEFT JOIN person_endpoint l USING (endpoint_id)"
        " WHERE r.removed_at IS NULL AND e.state = 'active'"
    )
    ids = {row["endpoint_id"] for row in rows}
    people = {row["person_id"] for row in rows} - {None}
    return np.array(sorted(ids), dtype=np.int64), np.array(sorted(people), dtype=np.uint32)


async def only_enrolled(conn: Conn, ids: Ids) -> Ids:
    """Return those of some people (sorted ids) who are on a list."""
    _, people = await enrolled(conn)
    return np.intersect1d(ids, people, assume_unique=True)


async def count(conn: Conn, now: datetime, selector: Selector, area: dict[str, Any]) -> Counts:
    """Count an area's people as an exercise reaches them; raises AreaError."""
    people = await only_enrolled(conn, await selector.select(conn, now, area))
    rows = await conn.fetch(
        "SELECT l.person_id, p.lang::text AS lang, array_agg(DISTINCT e.channel::text) AS channels,"
        " (SELECT h.unit_id FROM person_place h WHERE h.person_id = l.person_id"
        "   ORDER BY h.place_no LIMIT 1) AS unit_id"
        " FROM person_endpoint l JOIN person p USING (person_id)"
        " JOIN endpoint e USING (endpoint_id)"
        f" WHERE l.person_id = ANY($1::integer[]) AND e.state = 'active' AND"
        f" {ENROLLED.format('e.endpoint_id')} GROUP BY l.person_id, p.lang",
        people.tolist(),
    )
    return Counts(
        people=len(people),
        by_channel={name: sum(name in row["channels"] for row in rows) for name in CHANNELS},
        by_lang=_counted(row["lang"] for row in rows),
        by_unit=_counted(row["unit_id"] for row in rows if row["unit_id"] is not None),
        by_unit_only=0,
        by_set=_counted(sum(CHANNELS[name] for name in row["channels"]) for row in rows),
    )


def _counted(values: Iterable[Any]) -> dict[Any, int]:
    return dict(Counter(values))
