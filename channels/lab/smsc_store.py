"""What the lab's SMSC keeps, and what the /lab page asks of it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from channels.lab.store import connect

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS part (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    source TEXT NOT NULL,
    number TEXT NOT NULL,
    esm_class INTEGER NOT NULL,
    data_coding INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    validity TEXT NOT NULL,
    expires REAL NOT NULL,
    raw BLOB NOT NULL,
    text TEXT NOT NULL,
    received_at REAL NOT NULL,
    state TEXT NOT NULL,
    settled_at REAL,
    receipt TEXT NOT NULL CHECK (receipt IN ('none', 'due', 'acknowledged')),
    shown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS part_open ON part (id)
    WHERE state = 'ENROUTE' OR receipt = 'due' OR (state = 'DELIVRD' AND shown = 0);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    number TEXT NOT NULL,
    source TEXT NOT NULL,
    text TEXT NOT NULL,
    parts INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    validity TEXT NOT NULL,
    expires REAL NOT NULL,
    received_at REAL NOT NULL,
    shown_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS message_number ON message (number, shown_at);
CREATE TABLE IF NOT EXISTS handset (
    number TEXT PRIMARY KEY,
    online INTEGER NOT NULL DEFAULT 1,
    last_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS handset_last ON handset (last_at);
CREATE INDEX IF NOT EXISTS handset_off ON handset (number) WHERE online = 0;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    number TEXT NOT NULL,
    destination TEXT NOT NULL,
    text TEXT NOT NULL,
    written_at REAL NOT NULL,
    delivered_at REAL
);
CREATE INDEX IF NOT EXISTS outbox_number ON outbox (number);
CREATE INDEX IF NOT EXISTS outbox_open ON outbox (id) WHERE delivered_at IS NULL;
"""


@dataclass(frozen=True, slots=True)
class Handset:
    """One phone."""

    number: str
    online: bool
    messages: int
    last_at: float
    last_text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as the phone's owner sees it."""

    at: float
    text: str
    outgoing: bool
    """Written by the owner."""
    peer: str
    """The sender shown, or whom the owner wrote to."""
    parts: int
    delivered: bool
    """False only for an outgoing one the other side has not taken yet."""


def open_store(directory: Path) -> sqlite3.Connection:
    """Open `<directory>/smsc.sqlite`."""
    return connect(directory, "smsc", SCHEMA)


def handsets(conn: sqlite3.Connection, limit: int = 50, search: str = "") -> list[Handset]:
    """Return the phones that were last written to, newest first; `search` is part of a number."""
    rows = conn.execute(
        """
        SELECT h.number, h.online, h.last_at,
               (SELECT count(*) FROM message m WHERE m.number = h.number) AS messages,
               coalesce((SELECT m.text FROM message m WHERE m.number = h.number
                         ORDER BY m.shown_at DESC LIMIT 1), '') AS last_text
        FROM handset h WHERE ? = '' OR instr(h.number, ?) > 0
        ORDER BY h.last_at DESC, h.number LIMIT ?
        """,
        (search, search, limit),
    )
    return [
        Handset(
            row["number"], bool(row["online"]), row["messages"], row["last_at"], row["last_text"]
        )
        for row in rows
    ]


def messages(conn: sqlite3.Connection, number: str) -> list[Shown]:
    """Return one phone's conversation, oldest first."""
    rows = conn.execute(
        """
        SELECT shown_at AS at, text, 0 AS outgoing, source AS peer, parts, 1 AS delivered
        FROM message WHERE number = :number
        UNION ALL
        SELECT written_at, text, 1, destination, 0, delivered_at IS NOT NULL
        FROM outbox WHERE number = :number
        ORDER BY at
        """,
        {"number": number},
    )
    return [
        Shown(
            row["at"],
            row["text"],
            bool(row["outgoing"]),
            row["peer"],
            row["parts"],
            bool(row["delivered"]),
        )
        for row in rows
    ]


def answer(conn: sqlite3.Connection, number: str, to: str, text: str) -> int:
    """Write a message as the phone's owner; the SMSC delivers it until it is acknowledged."""
    row = conn.execute(
        "INSERT INTO outbox (number, destination, text, written_at) VALUES (?, ?, ?, ?)"
        " RETURNING id",
        (number, to, text, time.time()),
    ).fetchone()
    return int(row["id"])


def switch(conn: sqlite3.Connection, number: str, online: bool) -> None:
    """Switch a phone on or off."""
    conn.execute(
        "INSERT INTO handset (number, online) VALUES (?, ?)"
        " ON CONFLICT (number) DO UPDATE SET online = excluded.online",
        (number, int(online)),
    )
