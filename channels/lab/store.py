"""What a lab carrier keeps: one SQLite file per carrier, readable while the carrier writes.

The file is also the carrier's control surface: a row in `setting` changes its behaviour within
a tenth of a second, so a test or the /lab page needs no protocol of its own.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

_COMMON = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""


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
