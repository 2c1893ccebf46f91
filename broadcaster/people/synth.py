"""A made-up city: people in proportion to population, with all the untidiness of real ones.

Some share a number, some have two phones, some are known by their unit only, a few cannot be
reached at all. The same seed over an empty database makes the same people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people.endpoints import NEXT_ID
from broadcaster.people.positions import HOURS
from broadcaster.people.register import HOME, LAST_POSITION
from broadcaster.people.units import UnitMap
from targeting.synth import random_points

Progress = Callable[[int], None]
"""Told how many more people are done."""
Random = np.random.Generator
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

CHUNK = 20_000
SOURCE = "synthetic"

BY_UNIT_ONLY = 0.20
WATCHING = 0.30
WATCHING_TWO = 0.10
POSITION_KNOWN = 0.05
ENGLISH = 0.10
UNREACHABLE = 0.01
PUSH, SMS, EMAIL = 0.82, 0.70, 0.25
"""Whoever none of them falls to has the app: 85 % have it in the end."""
HOUSEHOLDS = 0.04
"""Of all people, those who use the number of the one before them: twice as many share."""
TWO_PHONES = 0.05

LABELS = (
    ("Nhà mẹ", "Mother's home"),
    ("Trường của con", "The school"),
    ("Cơ quan", "The office"),
    ("Nhà ông bà", "Grandparents' home"),
    ("Quê", "Home village"),
    ("Nhà trọ em gái", "Sister's room"),
    ("Cửa hàng", "The shop"),
)
"""Names of watched places, in Vietnamese and English."""

_FID_LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8
)
_FID_LENGTH = 22
# Numbers +849[0-8]… are mobile ones whatever follows. A step without a common divisor visits
# each of the 90 million once, so numbers look random and never meet.
_NUMBERS, _STEP, _START = 90_000_000, 48_271_003, 31_415_927


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some people: where they live and what reaches them; every array has one entry each."""

    ids: list[int]
    unit: Numbers
    x: Numbers
    y: Numbers
    by_unit_only: Flags
    english: Flags
    shares: Flags
    """Lives with the person before and uses that person's number."""
    push: Flags
    sms: Flags
    second_sms: Flags
    email: Flags


async def synth(
    pool: Pool,
    keyring: Keyring,
    units: UnitMap,
    now: datetime,
    n: int,
    seed: int = 1,
    progress: Progress | None = None,
) -> int:
    """Make n people with consent, places and active endpoints; return how many were made."""
    # More people added with the same seed must be others, with devices of their own.
    known = await pool.fetchval("SELECT coalesce(max(person_id), 0) FROM person")
    rng = np.random.default_rng([seed, known])
    homes = await asyncio.to_thread(_spread, units, n, rng)
    watched = await asyncio.to_thread(_spread, units, n, rng)
    rng.shuffle(watched)
    for start in range(0, n, CHUNK):
        end = min(start + CHUNK, n)
        async with pool.acquire() as conn, conn.transaction():
            await _trust(conn)
            ids = await _next_ids(conn, "nextval(pg_get_serial_sequence('person', 'person_id'))",
                                  end - start)  # fmt: skip
            chunk = _people(ids, homes[start:end], rng)
            await _store_people(conn, now, chunk)
            await _store_places(conn, now, chunk, watched[start:end], rng)
            await _store_endpoints(conn, keyring, now, chunk, rng)
        if progress is not None:
            progress(end - start)
    async with pool.acquire() as conn:
        await conn.execute("ANALYZE person, person_place, person_point, endpoint, person_endpoint")
    return n


def _spread(units: UnitMap, n: int, rng: Random) -> Numbers:
    """Return n rows (unit, x, y), unit after unit, by population to the nearest person."""
    keys = units.outlines.lowest
    population = np.array([units.outlines.units[key].population for key in keys], dtype=float)
    if not population.sum():
        population[:] = 1
    exact = population / population.sum() * n
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact)[: n - counts.sum()]] += 1
    rows = []
    for key, count in zip(keys, counts.tolist(), strict=True):
        x, y = random_points(units.outlines.unit(key), count, rng)
        rows.append(np.column_stack((np.full(count, units.ids[key]), x, y)))
    return np.concatenate(rows).astype(np.int64)


async def _trust(conn: Conn) -> None:
    """Skip the checks of references for this transaction, where the database lets us.

    Every row here refers to one made a moment before; looking each of them up again would take
    two thirds of the time.
    """
    if await conn.fetchval(
        "SELECT has_parameter_privilege(current_user, 'session_replication_role', 'SET')"
    ):
        await conn.execute("SET LOCAL session_replication_role = replica")


async def _next_ids(conn: Conn, next_id: str, count: int) -> list[int]:
    rows = await conn.fetch(f"SELECT {next_id} FROM generate_series(1, $1::int)", count)
    return [row[0] for row in rows]


def _people(ids: list[int], homes: Numbers, rng: Random) -> _Chunk:
    n = len(ids)

    def some(share: float) -> Flags:
        return rng.random(n) < share

    unit, x, y = homes.T.copy()
    reachable = ~some(UNREACHABLE)
    sms = some(SMS) & reachable
    shares = some(HOUSEHOLDS) & reachable
    # Whoever shares lives with the one before, who must be there and own the number.
    shares[1:] &= (unit[1:] == unit[:-1]) & ~shares[:-1] & reachable[:-1]
    shares[:1] = False
    push, email = some(PUSH) & reachable, some(EMAIL) & reachable
    push |= reachable & ~sms & ~email & ~shares
    second = np.flatnonzero(shares)
    sms[second - 1], sms[second] = True, False
    x[second], y[second] = x[second - 1], y[second - 1]
    return _Chunk(
        ids=ids, unit=unit, x=x, y=y, by_unit_only=some(BY_UNIT_ONLY), english=some(ENGLISH),
        shares=shares, push=push, sms=sms,
        second_sms=some(TWO_PHONES / SMS) & sms, email=email,
    )  # fmt: skip


async def _store_people(conn: Conn, now: datetime, chunk: _Chunk) -> None:
    langs = ["en" if english else "vi" for english in chunk.english.tolist()]
    await conn.copy_records_to_table(
        "person",
        columns=["person_id", "lang", "created_at"],
        records=[(i, lang, now) for i, lang in zip(chunk.ids, langs, strict=True)],
    )
    await conn.copy_records_to_table(
        "consent",
        columns=["person_id", "given_at", "source"],
        records=[(i, now, SOURCE) for i in chunk.ids],
    )


async def _store_places(
    conn: Conn, now: datetime, chunk: _Chunk, watched: Numbers, rng: Random
) -> None:
    n = len(chunk.ids)
    ids = np.array(chunk.ids)
    home = np.column_stack((ids, np.zeros(n, int), chunk.unit, chunk.x, chunk.y))
    watching = rng.random(n) < WATCHING
    second = watching & (rng.random(n) < WATCHING_TWO / WATCHING)
    known = rng.random(n) < POSITION_KNOWN
    others = [
        np.column_stack((ids[who], np.full(who.sum(), place_no), watched[rows]))
        for who, place_no, rows in (
            (watching, 1, watching),
            (second, 2, np.roll(second, 1)),
            (known, LAST_POSITION, np.roll(known, 2)),
        )
    ]
    by_unit_only = np.concatenate((chunk.by_unit_only, np.zeros(sum(map(len, others)), bool)))
    rows = np.concatenate((home, *others))
    await conn.copy_records_to_table(
        "person_place",
        columns=["person_id", "place_no", "unit_id", "by_unit_only", "label", "expires_at"],
        records=zip(
            *rows[:, :3].T.tolist(),
            by_unit_only.tolist(),
            _labels(chunk, rows),
            _ends(now, rows, rng),
            strict=True,
        ),
    )
    await conn.copy_records_to_table(
        "person_point",
        columns=["person_id", "place_no", "x", "y"],
        records=map(tuple, rows[~by_unit_only][:, [0, 1, 3, 4]].tolist()),
    )
    await conn.copy_records_to_table(
        "position_consent",
        columns=["person_id", "given_at", "source", "hours"],
        records=[(i, now, SOURCE, HOURS) for i in ids[known].tolist()],
    )


def _labels(chunk: _Chunk, rows: Numbers) -> Iterator[str]:
    """Name the watched places, two of one person differently, in the language they read."""
    english = dict(zip(chunk.ids, chunk.english.tolist(), strict=True))
    for person, place_no in rows[:, :2].tolist():
        if place_no in (HOME, LAST_POSITION):
            yield ""
        else:
            names = LABELS[(person + place_no) % len(LABELS)]
            yield names[english[person]]


def _ends(now: datetime, rows: Numbers, rng: Random) -> Iterator[datetime | None]:
    """Say when positions end: phones told them in the hours before."""
    left = HOURS * (1 - rng.random(len(rows)) / 2)
    for place_no, hours in zip(rows[:, 1].tolist(), left.tolist(), strict=True):
        yield now + timedelta(hours=hours) if place_no == LAST_POSITION else None


async def _store_endpoints(
    conn: Conn, keyring: Keyring, now: datetime, chunk: _Chunk, rng: Random
) -> None:
    made = list(_addresses(chunk, rng))
    ids = await _next_ids(conn, NEXT_ID, len(made))
    await conn.copy_records_to_table(
        "endpoint",
        columns=["endpoint_id", "channel", "state", "lang", "hash_key_id", "address_hash",
                 "address_enc", "created_at"],
        records=(
            (i, channel, "active", lang, keyring.key_id, keyring.address_hash(channel, address),
             keyring.seal(address.encode(), "endpoint", "address_enc", i), now)
            for i, (channel, address, lang, _) in zip(ids, made, strict=True)
        ),
    )  # fmt: skip
    await conn.copy_records_to_table(
        "person_endpoint",
        columns=["person_id", "endpoint_id", "linked_at"],
        records=[
            (person, i, now)
            for i, (_, _, _, people) in zip(ids, made, strict=True)
            for person in people
        ],
    )


def _addresses(chunk: _Chunk, rng: Random) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Yield (channel, address, language, people behind it)."""
    n = len(chunk.ids)
    fids = _FID_LETTERS[rng.integers(0, 64, (n, _FID_LENGTH))].tobytes().decode()
    joined = np.append(chunk.shares[1:], False).tolist()
    flags = [column.tolist() for column in
             (chunk.push, chunk.sms, chunk.second_sms, chunk.email, chunk.english)]  # fmt: skip
    for row, (push, sms, second, email, english) in enumerate(zip(*flags, strict=True)):
        person = chunk.ids[row]
        lang = "en" if english else "vi"
        if push:
            yield (
                "push",
                f"fid:{fids[row * _FID_LENGTH : (row + 1) * _FID_LENGTH]}",
                lang,
                (person,),
            )
        if sms and joined[row]:
            both = english and bool(chunk.english[row + 1])
            people = (person, chunk.ids[row + 1])
            yield "sms", _phone(2 * person), "en" if both else "vi", people
        elif sms:
            yield "sms", _phone(2 * person), lang, (person,)
        if second:
            yield "sms", _phone(2 * person + 1), lang, (person,)
        if email:
            yield "email", f"nguoi{person}@dan.example", lang, (person,)


def _phone(number: int) -> str:
    return f"+849{(number * _STEP + _START) % _NUMBERS:08d}"
