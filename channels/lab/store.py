"""What a lab carrier keeps: one SQLite file per carrier, readable while the carrier writes.

The file is also the carrier's control surface: a row in `setting` changes its behaviour within
a tenth of a second, so a test or the /lab page needs no protocol of its own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_COMMON = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS settled (
  id INTEGER PRIMARY KEY CHECK (id = 1), asked INTEGER NOT NULL, done INTEGER NOT NULL
);
INSERT OR IGNORE INTO settled VALUES (1, 0, 0);
"""
"""settled: how often somebody asked whether the carrier has read and written everything up to
then, and up to which question it has."""

_LOOK_SECONDS: Final = 0.005


def connect(directory: Path, carrier: str, schema: str) -> sqlite3.Connection:
    """Open (and create) `<directory>/<carrier>.sqlite`; rows come back as sqlite3.Row."""
    directory.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(directory / f"{carrier}.sqlite", isolation_level=None, timeout=10)
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("PRAGMA synchronous=OFF")
    conn.executescript(_COMMON + schema)
    return conn


def settings(conn: sqlite3.Connection, defaults: dict[str, float]) -> dict[str, float]:
    """Return the carrier's settings: its defaults overlaid with what was set."""
    rows = conn.execute("SELECT name, value FROM setting").fetchall()
    return defaults | {row["name"]: row["value"] for row in rows if row["name"] in defaults}


def configure(conn: sqlite3.Connection, **values: float) -> None:
    """Change settings of a running carrier."""
    conn.executemany(
        "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        list(values.items()),
    )


def settle(conn: sqlite3.Connection, seconds: float = 30.0) -> None:
    """Wait until the running carrier obeys what this connection wrote and has written what it took.

    TimeoutError when no carrier is running.
    """
    # Every row is fetched: only then is the change written.
    (row,) = conn.execute("UPDATE settled SET asked = asked + 1 RETURNING asked").fetchall()
    deadline = time.monotonic() + seconds
    while conn.execute("SELECT done FROM settled").fetchone()["done"] < row["asked"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no lab carrier answered within {seconds:g} s")
        time.sleep(_LOOK_SECONDS)


@contextmanager
def answering(conn: sqlite3.Connection) -> Iterator[None]:
    """Answer those who waited in settle() before the block, which reads and writes everything."""
    row = conn.execute("SELECT asked, done FROM settled").fetchone()
    yield
    if row["done"] < row["asked"]:
        conn.execute("UPDATE settled SET done = ?", (row["asked"],))


class Watch:
    """Tells cheaply whether another process has changed the carrier's file."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._seen = -1

    def changed(self) -> bool:
        """Say whether another connection has written since the last call (True at first)."""
        version: int = self._conn.execute("PRAGMA data_version").fetchone()[0]
        before, self._seen = self._seen, version
        return version != before
