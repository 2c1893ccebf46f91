"""What the lab FCM keeps, written in bundles: a commit a message would cap it at a tenth."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import orjson

from channels.lab import store
from channels.lab.fcm_message import Fields, fields, parse, split

CARRIER: Final = "fcm"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS content (
  id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL, tag TEXT NOT NULL,
  sequence INTEGER NOT NULL, ttl REAL NOT NULL, urgent INTEGER NOT NULL,
  data TEXT NOT NULL, raw TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS message (
  id INTEGER NOT NULL, address TEXT NOT NULL, content INTEGER NOT NULL,
  received_at REAL NOT NULL, answered INTEGER NOT NULL, PRIMARY KEY (address, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS phone (
  address TEXT PRIMARY KEY, first_seen REAL NOT NULL, online INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS switch (
  address TEXT NOT NULL, at REAL NOT NULL, online INTEGER NOT NULL,
  PRIMARY KEY (address, at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fault (address TEXT PRIMARY KEY, code TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (code TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
"""message: accepted, each address as `kind:value`; answered = 0 when FCM kept its answer back.
A phone that was never away has no row in phone; phone.online is the state now, switch its
history. fault: addresses (`*`: all) that are refused
with a code. answer: requests by code, `OK` too."""

_MAX_CONTENTS: Final = 10_000


def connect(directory: Path) -> sqlite3.Connection:
    """Open the lab FCM's file."""
    return store.connect(directory, CARRIER, SCHEMA)


def fail(conn: sqlite3.Connection, address: str, code: str) -> None:
    """Make the running lab refuse an address (`*`: every one) with this code from now on."""
    conn.execute("INSERT OR REPLACE INTO fault VALUES (?, ?)", (address, code))


def heal(conn: sqlite3.Connection, address: str) -> None:
    """Take a fault back."""
    conn.execute("DELETE FROM fault WHERE address = ?", (address,))


class Ledger:
    """The server's side of the file: remembers at once, writes when told."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._contents: dict[bytes, int] = {}
        self._next_content = self._top("content") + 1
        self._next_message = self._top("message") + 1
        self._new_contents: list[tuple[Any, ...]] = []
        self._messages: list[tuple[int, str, int, float, int]] = []
        self._away: list[tuple[str, float, str]] = []
        self._answers: dict[str, int] = {}

    def read(self, body: bytes) -> tuple[str, int]:
        """Return a request's address and its content's id; InvalidError when FCM would refuse."""
        cut = split(body)
        if cut is None:
            address, message = parse(body)
            return address, self._content(orjson.dumps(message), message)
        known = self._contents.get(cut[1])
        if known is not None:
            return cut[0], known
        address, message = parse(body)
        return address, self._content(cut[1], message)

    def _content(self, key: bytes, message: dict[str, Any]) -> int:
        known = self._contents.get(key)
        if known is not None:
            return known
        content = fields(message)
        if len(self._contents) >= _MAX_CONTENTS:
            self._contents.clear()
        number = self._contents[key] = self._next_content
        self._next_content += 1
        self._new_contents.append((number, *_columns(content)))
        return number

    def accept(self, address: str, content: int, offline: bool, answered: bool) -> int:
        """Keep a message and return its number; offline is for a phone never seen before."""
        number, now = self._next_message, time.time()
        self._next_message += 1
        self._messages.append((number, address, content, now, answered))
        if offline:
            self._away.append((address, now, address))
        return number

    def count(self, code: str) -> None:
        """Count an answer."""
        self._answers[code] = self._answers.get(code, 0) + 1

    def flush(self) -> None:
        """Write what is remembered, in one transaction."""
        if not self._answers:
            return
        contents, messages, away, answers = (
            self._new_contents,
            self._messages,
            self._away,
            self._answers,
        )
        self._new_contents, self._messages, self._away, self._answers = [], [], [], {}
        write = self._conn.executemany
        self._conn.execute("BEGIN IMMEDIATE")
        write("INSERT INTO content VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", contents)
        write(
            "INSERT OR IGNORE INTO phone SELECT ?, ?, 0"
            " WHERE NOT EXISTS (SELECT 1 FROM message WHERE address = ?)",
            away,
        )
        write("INSERT INTO message VALUES (?, ?, ?, ?, ?)", messages)
        write(
            "INSERT INTO answer VALUES (?, ?)"
            " ON CONFLICT (code) DO UPDATE SET count = count + excluded.count",
            list(answers.items()),
        )
        self._conn.execute("COMMIT")

    def _top(self, table: str) -> int:
        row = self._conn.execute(f"SELECT coalesce(max(id), 0) AS top FROM {table}").fetchone()
        return int(row["top"])


def _columns(content: Fields) -> tuple[Any, ...]:
    return (
        content.title,
        content.body,
        content.tag,
        content.sequence,
        content.ttl,
        content.urgent,
        content.data,
        content.raw,
    )
