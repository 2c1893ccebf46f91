"""Bulk import of people from CSV: what is right is saved, what is wrong is written down.

Columns: external_id, lang, lon, lat, unit_code, phone, email, push, consent_at, consent_source,
watched. phone, email and push may hold several addresses separated by `;`. watched holds places
separated by `;`, each a unit's code or `lon lat`. A row whose external_id is known replaces that
person's places and addresses, so the same file twice changes nothing.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TextIO

from broadcaster import audit
from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.people.officials import Actor, require, root_ids
from broadcaster.people.problems import InvalidRegistration, Problem, Unusable
from broadcaster.people.register import Checked, Place, Registration, check
from broadcaster.people.units import UnitMap

COLUMNS = (
    "external_id", "lang", "lon", "lat", "unit_code", "phone", "email", "push",
    "consent_at", "consent_source", "watched",
)  # fmt: skip
CHUNK = 1_000
SEPARATOR = ";"
_CHANNELS = {"phone": "sms", "email": "email", "push": "push"}


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a file: rows saved, rows not, and where those are written with reasons."""

    saved: int
    bad: int
    error_file: Path | None


@dataclass(slots=True)
class _Row:
    """One row: what it says, and either the checked form or its problems."""

    cells: Mapping[str, str]
    checked: Checked | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def external_id(self) -> str:
        return self.cells.get("external_id", "").strip()

    def with_reasons(self) -> dict[str, str]:
        """Return the cells with what is wrong with them, in both languages."""
        vietnamese = " ".join(f"{p.field}: {p.message_vi}" for p in self.problems)
        english = " ".join(f"{p.field}: {p.message_en}" for p in self.problems)
        return {**self.cells, "reason": vietnamese, "reason_en": english}


async def import_csv(
    pool: Pool,
    keyring: Keyring,
    units: UnitMap,
    actor: Actor | None,
    now: datetime,
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> ImportResult:
    """Import people chunk by chunk; safe to stop and to run again."""
    async with pool.acquire() as conn:
        if actor is not None:
            await require(conn, actor, "admin", await root_ids(conn))
    _check_text(path)
    errors = path.with_name(path.name + ".errors.csv")
    saved = bad = 0
    seen: set[str] = set()
    with ExitStack() as files:
        file = files.enter_context(path.open(newline="", encoding="utf-8-sig"))
        reader = csv.DictReader(file, restval="")
        _check_header(path, reader.fieldnames or ())
        writer = None
        while cells := list(islice(reader, CHUNK)):
            rows = [_read(row, units, now, seen) for row in cells]
            async with pool.acquire() as conn, conn.transaction():
                await _save(conn, keyring, now, rows)
            wrong = [row for row in rows if row.problems]
            if wrong and writer is None:
                names = [*(reader.fieldnames or ()), "reason", "reason_en"]
                out = files.enter_context(_private(errors))
                writer = csv.DictWriter(out, names, extrasaction="ignore")
                writer.writeheader()
            if writer is not None:
                writer.writerows(row.with_reasons() for row in wrong)
            saved, bad = saved + len(rows) - len(wrong), bad + len(wrong)
            if progress is not None:
                progress(len(rows))
    async with pool.acquire() as conn:
        await audit.record(
            conn, actor.official_id if actor else None, now, "people.imported", "person", None,
            file=path.name, saved=saved, bad=bad,
        )  # fmt: skip
    return ImportResult(saved, bad, errors if bad else None)


def _private(path: Path) -> TextIO:
    """Open a file for writing that nobody else may read: it has addresses of people in it."""
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(opened, "w", newline="", encoding="utf-8")


def _check_text(path: Path) -> None:
    """Read the file once before anything of it is saved."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for _ in file:
                pass
    except UnicodeDecodeError:
        raise Refused(
            "csv_encoding",
            f"{path.name} không phải là UTF-8; hãy lưu tệp dưới dạng CSV UTF-8 rồi nhập lại.",
            f"{path.name} is not UTF-8; save it as CSV in UTF-8 and import it again.",
        ) from None


def _check_header(path: Path, names: Sequence[str]) -> None:
    absent = [name for name in COLUMNS if name not in names and name != "watched"]
    if absent:
        raise Refused(
            "csv_header",
            f"{path.name} thiếu cột {', '.join(absent)}; dòng đầu phải ghi tên cột.",
            f"{path.name} lacks the columns {', '.join(absent)}; the first line names columns.",
        )


def _read(cells: dict[str, str], units: UnitMap, now: datetime, seen: set[str]) -> _Row:
    row = _Row({name: value or "" for name, value in cells.items() if isinstance(name, str)})
    try:
        row.checked = check(_registration(row.cells), units, now)
    except InvalidRegistration as error:
        row.problems.extend(_told(problem, row.cells) for problem in error.problems)
    if not row.external_id:
        row.problems.append(Unusable("external_id_missing").at("external_id"))
    elif row.external_id in seen:
        row.problems.append(Unusable("row_repeated").at("external_id"))
    seen.add(row.external_id)
    return row


def _told(problem: Problem, cells: Mapping[str, str]) -> Problem:
    """Name the columns where a registration names its fields."""
    columns = {"home": "lon, lat, unit_code", "endpoints": "phone, email, push"}
    columns |= {f"endpoints[{n}]": column for n, (column, _) in enumerate(_typed(cells))}
    return replace(problem, field=columns.get(problem.field, problem.field))


def _typed(cells: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return every address of a row with the column it stands in."""
    return [(column, text) for column in _CHANNELS for text in _several(cells.get(column, ""))]


def _registration(cells: Mapping[str, str]) -> Registration:
    return Registration(
        home=_place(cells.get("lon", ""), cells.get("lat", ""), cells.get("unit_code", "")),
        endpoints=tuple((_CHANNELS[column], text) for column, text in _typed(cells)),
        consent_at=_moment(cells.get("consent_at", "")),
        consent_source=cells.get("consent_source", ""),
        lang=cells.get("lang", "").strip() or "vi",
        watched=tuple(_watched(text) for text in _several(cells.get("watched", ""))),
    )


def _several(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(SEPARATOR) if part.strip())


def _place(lon: str, lat: str, unit_code: str) -> Place:
    if not lon.strip() and not lat.strip():
        return Place(unit_code=unit_code.strip())
    return Place(_degrees(lon), _degrees(lat))


def _watched(text: str) -> Place:
    lon, space, lat = text.partition(" ")
    return _place(lon, lat, "") if space else Place(unit_code=text)


def _degrees(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


async def _save(conn: Conn, keyring: Keyring, now: datetime, rows: list[_Row]) -> None:
    """Save the rows without a problem; a withdrawn consent turns up only here, as a problem."""
    await _mark_withdrawn(conn, rows)
    good = {row.external_id: row.checked for row in rows if row.checked and not row.problems}
    people = await conn.fetch(
        "INSERT INTO person (external_id, lang, created_at)"
        " SELECT k.id, k.lang::lang, $3 FROM unnest($1::text[], $2::text[]) AS k(id, lang)"
        " ON CONFLICT (external_id) DO UPDATE SET lang = excluded.lang, left_at = NULL"
        " RETURNING person_id, external_id",
        list(good), [checked.lang for checked in good.values()], now,
    )  # fmt: skip
    checked = {row["person_id"]: good[row["external_id"]] for row in people}
    await _save_consents(conn, checked)
    await _save_places(conn, checked)
    await _save_links(conn, keyring, now, checked)


async def _mark_withdrawn(conn: Conn, rows: list[_Row]) -> None:
    """Somebody who left comes back only with a consent given after that."""
    left = await conn.fetch(
        "SELECT external_id, left_at FROM person"
        " WHERE external_id = ANY($1) AND left_at IS NOT NULL",
        [row.external_id for row in rows],
    )
    left_at = {row["external_id"]: row["left_at"] for row in left}
    for row in rows:
        when = left_at.get(row.external_id)
        if row.checked and when is not None and row.checked.consent_at <= when:
            row.problems.append(Unusable("consent_withdrawn").at("consent_at"))


async def _save_consents(conn: Conn, people: Mapping[int, Checked]) -> None:
    await conn.execute(
        "INSERT INTO consent (person_id, given_at, source)"
        " SELECT k.* FROM unnest($1::int[], $2::timestamptz[], $3::text[])"
        "  AS k(person_id, given_at, source)"
        " WHERE NOT EXISTS (SELECT FROM consent c WHERE c.person_id = k.person_id"
        "  AND c.given_at = k.given_at AND c.source = k.source)",
        list(people),
        [checked.consent_at for checked in people.values()],
        [checked.consent_source for checked in people.values()],
    )


async def _save_places(conn: Conn, people: Mapping[int, Checked]) -> None:
    await conn.execute("DELETE FROM person_place WHERE person_id = ANY($1)", list(people))
    placed = [(person, place) for person, checked in people.items() for place in checked.places]
    await conn.copy_records_to_table(
        "person_place",
        columns=["person_id", "place_no", "unit_id", "by_unit_only"],
        records=[(person, p.place_no, p.unit_id, p.x is None) for person, p in placed],
    )
    await conn.copy_records_to_table(
        "person_point",
        columns=["person_id", "place_no", "x", "y"],
        records=[(person, p.place_no, p.x, p.y) for person, p in placed if p.x is not None],
    )


async def _save_links(
    conn: Conn, keyring: Keyring, now: datetime, people: Mapping[int, Checked]
) -> None:
    ids = await endpoints.ensure_active(
        conn, keyring, now, (a for checked in people.values() for a in checked.addresses)
    )
    pairs = [(p, ids[address]) for p, checked in people.items() for address in checked.addresses]
    dropped = await conn.fetch(
        "DELETE FROM person_endpoint l WHERE person_id = ANY($1) AND NOT EXISTS (SELECT FROM"
        " unnest($2::int[], $3::bigint[]) AS k(p, e) WHERE k.p = person_id AND k.e = endpoint_id)"
        " RETURNING endpoint_id",
        list(people), [p for p, _ in pairs], [e for _, e in pairs],
    )  # fmt: skip
    await endpoints.link(conn, now, pairs)
    await endpoints.drop_orphans(conn, now, [row["endpoint_id"] for row in dropped])
