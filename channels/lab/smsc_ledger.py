"""The lab SMSC's writes, gathered so that thousands of parts a second share few commits."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from channels.lab.smsc_parts import Part, read_submit
from channels.sms_pdu import decode_text, join_parts

_INSERT_PART: Final = f"INSERT INTO part VALUES ({', '.join('?' * 17)})"
_UPDATE_PART: Final = (
    "UPDATE part SET state = ?, settled_at = ?, receipt = ?, shown = ? WHERE id = ?"
)
_INSERT_MESSAGE: Final = (
    "INSERT INTO message (number, source, text, parts, priority, validity, expires, received_at,"
    " shown_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPSERT_HANDSET: Final = (
    "INSERT INTO handset (number, last_at) VALUES (?, ?)"
    " ON CONFLICT (number) DO UPDATE SET last_at = excluded.last_at"
)


class Ledger:
    """What changed since the last commit."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._fresh: list[Part] = []
        self._changed: dict[int, Part] = {}
        self._shown: list[tuple[object, ...]] = []

    def last_id(self) -> int:
        """Return the highest message id ever given, 0 when none."""
        row = self._conn.execute("SELECT max(id) AS last FROM part").fetchone()
        return int(row["last"] or 0)

    def unfinished(self) -> Iterator[Part]:
        """Return the parts an earlier process left: not delivered, not reported or not shown."""
        rows = self._conn.execute(
            "SELECT * FROM part WHERE state = 'ENROUTE' OR receipt = 'due'"
            " OR (state = 'DELIVRD' AND shown = 0) ORDER BY id"
        ).fetchall()
        for row in rows:
            received = datetime.fromtimestamp(row["received_at"], UTC)
            part = read_submit(row["raw"], row["id"], row["account"], received)
            part.state, part.settled_at = row["state"], row["settled_at"]
            part.receipt, part.shown, part.stored = row["receipt"], bool(row["shown"]), True
            yield part

    def accepted(self, part: Part) -> None:
        """Keep a new part."""
        self._fresh.append(part)

    def changed(self, part: Part) -> None:
        """Keep what became of a part."""
        if part.stored:
            self._changed[part.id] = part

    def shown(self, parts: list[Part]) -> None:
        """Keep a message whose parts are all on the handset."""
        for part in parts:
            part.shown = True
            self.changed(part)
        first = parts[0]
        self._shown.append(
            (
                first.pdu.destination,
                first.pdu.source,
                join_parts(part.pdu for part in parts) or "",
                len(parts),
                first.priority,
                first.validity,
                first.expires,
                min(part.received_at for part in parts),
                time.time(),
            )
        )

    def flush(self) -> None:
        """Commit."""
        fresh, self._fresh = self._fresh, []
        changed, self._changed = self._changed, {}
        shown, self._shown = self._shown, []
        if not (fresh or changed or shown):
            return
        self._conn.execute("BEGIN")
        self._conn.executemany(_INSERT_PART, map(_row, fresh))
        self._conn.executemany(
            _UPDATE_PART,
            [(p.state, p.settled_at, p.receipt, p.shown, p.id) for p in changed.values()],
        )
        self._conn.executemany(_INSERT_MESSAGE, shown)
        self._conn.executemany(
            _UPSERT_HANDSET, {p.pdu.destination: p.received_at for p in fresh}.items()
        )
        self._conn.execute("COMMIT")
        for part in fresh:
            part.stored = True


def _row(part: Part) -> tuple[object, ...]:
    pdu = part.pdu
    return (
        part.id,
        part.account,
        pdu.source,
        pdu.destination,
        pdu.esm_class,
        pdu.data_coding,
        part.priority,
        part.registered,
        part.validity,
        part.expires,
        pdu.wire,
        decode_text(pdu),
        part.received_at,
        part.state,
        part.settled_at,
        part.receipt,
        part.shown,
    )
