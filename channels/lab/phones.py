"""The lab's phones: what each would show, worked out from what the lab FCM received.

FCM keeps a message for a phone that is away until its ttl runs out. A phone shows one
notification per tag, the one with the newest sequence, and nothing that ended before it arrived.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

STORED_LIMIT: Final = 100
"""FCM stores this many messages for a phone that is away; one more and it drops them all."""


class Fate(enum.StrEnum):
    """What became of a message on its way to the lock screen."""

    WAITING = "waiting"
    EXPIRED = "expired"
    """It ended while the phone was away."""
    DROPPED = "dropped"
    """Too many were stored for the phone."""
    SHOWN = "shown"
    REPLACED = "replaced"
    """A newer one with its tag took its place."""
    IGNORED = "ignored"
    """A newer one with its tag was there before it."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone, as a line in a list."""

    address: str
    online: bool
    first_seen: datetime
    messages: int
    last_message: datetime | None


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one phone."""

    number: int
    tag: str
    sequence: int
    title: str
    body: str
    urgent: bool
    data: dict[str, str]
    received: datetime
    """By FCM."""
    expires: datetime
    arrived: datetime | None
    """On the phone."""
    fate: Fate


@dataclass(frozen=True, slots=True)
class Switch:
    """A moment at which a phone came back or went away."""

    at: datetime
    online: bool


def phones(conn: sqlite3.Connection, limit: int = 50, search: str = "") -> list[Phone]:
    """Return phones whose address contains `search`, in the order of their addresses."""
    # Each table stops at the limit in the order of its key, however many phones there are.
    found = {
        row["address"]
        for table in ("message", "phone")
        for row in conn.execute(
            f"SELECT DISTINCT address FROM {table} WHERE instr(address, ?) > 0"
            " ORDER BY address LIMIT ?",
            (search, limit),
        )
    }
    return [_phone(conn, address) for address in sorted(found)[:limit]]


def _phone(conn: sqlite3.Connection, address: str) -> Phone:
    row = conn.execute(
        "SELECT count(*) AS messages, min(received_at) AS first, max(received_at) AS last"
        " FROM message WHERE address = ?",
        (address,),
    ).fetchone()
    kept = conn.execute("SELECT * FROM phone WHERE address = ?", (address,)).fetchone()
    seen = [at for at in (row["first"], kept and kept["first_seen"]) if at is not None]
    return Phone(
        address=address,
        online=bool(kept["online"]) if kept else True,
        first_seen=_time(min(seen)),
        messages=row["messages"],
        last_message=None if row["last"] is None else _time(row["last"]),
    )


def switch(conn: sqlite3.Connection, address: str, online: bool, now: datetime) -> None:
    """Switch a phone on or off, also one nobody has written to yet."""
    at = now.timestamp()
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("INSERT OR IGNORE INTO phone VALUES (?, ?, 1)", (address, at))
    changed = conn.execute(
        "UPDATE phone SET online = ? WHERE address = ? AND online <> ?", (online, address, online)
    ).rowcount
    if changed:
        conn.execute("INSERT OR REPLACE INTO switch VALUES (?, ?, ?)", (address, at, online))
    conn.execute("COMMIT")


def switches(conn: sqlite3.Connection, address: str) -> list[Switch]:
    """Return when a phone came back and went away."""
    rows = conn.execute("SELECT at, online FROM switch WHERE address = ? ORDER BY at", (address,))
    return [Switch(_time(row["at"]), bool(row["online"])) for row in rows]


def screen(conn: sqlite3.Connection, address: str, now: datetime) -> list[Notification]:
    """Return what the lock screen shows, newest on top."""
    shown = [entry for entry in history(conn, address, now) if entry.fate is Fate.SHOWN]
    return sorted(shown, key=lambda entry: (entry.arrived, entry.number), reverse=True)


def history(conn: sqlite3.Connection, address: str, now: datetime) -> list[Notification]:
    """Return every message to a phone in the order FCM received them, and its fate by `now`."""
    row = conn.execute("SELECT online FROM phone WHERE address = ?", (address,)).fetchone()
    changes = switches(conn, address)
    at_first = not changes[0].online if changes else row is None or bool(row["online"])
    carried = _carry(_received(conn, address, now), changes, at_first, now)
    return sorted(_show(carried), key=lambda entry: entry.number)


def _received(conn: sqlite3.Connection, address: str, now: datetime) -> list[Notification]:
    rows = conn.execute(
        "SELECT m.id, m.received_at, c.tag, c.sequence, c.title, c.body, c.urgent, c.data, c.ttl"
        " FROM message m JOIN content c ON c.id = m.content"
        " WHERE m.address = ? AND m.received_at <= ? ORDER BY m.id",
        (address, now.timestamp()),
    )
    return [
        Notification(
            number=row["id"],
            tag=row["tag"],
            sequence=row["sequence"],
            title=row["title"],
            body=row["body"],
            urgent=bool(row["urgent"]),
            data=orjson.loads(row["data"]),
            received=_time(row["received_at"]),
            expires=_time(row["received_at"]) + timedelta(seconds=row["ttl"]),
            arrived=None,
            fate=Fate.WAITING,
        )
        for row in rows
    ]


def _carry(
    received: Iterable[Notification], changes: list[Switch], online: bool, now: datetime
) -> list[Notification]:
    """Bring messages to the phone, at once or when it returns."""
    done: list[Notification] = []
    stored: list[Notification] = []
    ahead = [change for change in changes if change.at <= now]
    for entry in received:
        while ahead and ahead[0].at <= entry.received:
            change = ahead.pop(0)
            online = change.online
            done += _arrive(stored, change.at) if online else []
            stored = [] if online else stored
        if online:
            done.append(replace(entry, arrived=entry.received))
            continue
        if sum(waiting.expires > entry.received for waiting in stored) >= STORED_LIMIT:
            done += [replace(waiting, fate=Fate.DROPPED) for waiting in stored]
            stored = []
        stored.append(entry)
    back = next((change.at for change in ahead if change.online), None)
    return done + _arrive(stored, back or now, waiting=back is None)


def _arrive(stored: list[Notification], at: datetime, waiting: bool = False) -> list[Notification]:
    return [
        replace(entry, fate=Fate.EXPIRED)
        if entry.expires <= at
        else replace(entry, arrived=None if waiting else at)
        for entry in stored
    ]


def _show(carried: list[Notification]) -> list[Notification]:
    """Put what arrived on the screen, in the order it arrived."""
    done = [entry for entry in carried if entry.arrived is None]
    on_screen: dict[str, Notification] = {}
    arrived = [(entry.arrived, entry.number, entry) for entry in carried if entry.arrived]
    for _, number, entry in sorted(arrived, key=lambda item: item[:2]):
        place = entry.tag or f"message {number}"
        before = on_screen.get(place)
        if before and before.sequence > entry.sequence:
            done.append(replace(entry, fate=Fate.IGNORED))
            continue
        if before:
            done.append(replace(before, fate=Fate.REPLACED))
        on_screen[place] = replace(entry, fate=Fate.SHOWN)
    return done + list(on_screen.values())


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
