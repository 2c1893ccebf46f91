"""Enrolment for exercises from a file: what is right is saved, what is wrong is written down.

Columns: who, unit_code, consent, consented_on, note. `who` is a number, a mail address, or `id:`
and the external id of somebody imported. Whoever is on a list already is passed over, so the same
file twice changes nothing.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import exercise_recipients
from broadcaster.people.exercise_recipients import Enrolment
from broadcaster.people.officials import IN_FORCE, Actor

COLUMNS = ("who", "unit_code", "consent", "consented_on", "note")
_NEEDED = COLUMNS[:4]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file."""

    added: int
    """Addresses put on a list."""
    known: int
    """Rows of whoever was on one already."""
    bad: tuple[tuple[int, str], ...]
    """Line of the file, and what is wrong with it in English."""


async def import_csv(
    pool: Pool, keyring: Keyring, actor: Actor, now: datetime, path: Path
) -> Imported:
    """Enrol everybody a file names, row by row; raises Refused for what is no such file."""
    added = known = 0
    bad: list[tuple[int, str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise Refused(
                    "columns_missing",
                    f"{path.name}: thiếu cột {', '.join(missing)}. Cần: {', '.join(COLUMNS)}.",
                    f"{path.name}: no column {', '.join(missing)}. It needs {', '.join(COLUMNS)}.",
                )
            for row in reader:
                try:
                    added += await _enrol(pool, keyring, actor, now, row)
                except Conflict:
                    known += 1
                except Refused as error:
                    bad.append((reader.line_num, error.message("en")))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            "file_unreadable",
            f"Không đọc được {path.name} (UTF-8). Lưu lại thành CSV UTF-8.",
            f"{path.name} cannot be read as UTF-8. Save it as CSV in UTF-8.",
        ) from error
    return Imported(added, known, tuple(bad))


async def _enrol(
    pool: Pool, keyring: Keyring, actor: Actor, now: datetime, row: dict[str, str]
) -> int:
    try:
        day = date.fromisoformat(row["consented_on"].strip())
    except ValueError as error:
        raise Refused(
            "day_unreadable",
            "consented_on: ghi ngày như 2026-09-01.",
            "consented_on: write the day as 2026-09-01.",
        ) from error
    async with pool.acquire() as conn:
        unit_id = await unit_of(conn, row["unit_code"], "unit_code")
        given = Enrolment(row["who"], row["consent"], day, row.get("note", ""))
        return await exercise_recipients.enrol(conn, keyring, actor, now, unit_id, given)


async def unit_of(conn: Conn, code: str, where: str) -> int:
    """Return today's unit of a code; raises Refused naming the field it was given in."""
    unit_id: int | None = await conn.fetchval(
        f"SELECT unit_id FROM unit WHERE code = $1 AND {IN_FORCE}", code.strip()
    )
    if unit_id is None:
        raise Refused(
            "no_unit",
            f"{where}: không có đơn vị {code}. Xem mã ở danh sách đơn vị.",
            f"{where}: there is no unit {code} today. The list of units has the codes.",
            where=where,
        )
    return unit_id
