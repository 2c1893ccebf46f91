"""Deliveries by commune: counted in pieces now and then, so that looking costs one row.

Writes commune_tally. A count reads every delivery of an alert once, fifty thousand at a time, and
rests fifteen times as long as it took: it never takes more than a sixteenth of one core, and its
age is told wherever it is shown. Nothing is counted while nothing moves, so that the figures of an
alert that has settled are those of `progress`, to the last one.

Somebody counts for one commune: that of the first of their places which the alert covers, else of
their home. An endpoint that a household shares counts where its first person does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn, Pool, numbers
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reach_series import FOLLOWED
from broadcaster.states import DeliveryState

STATES = tuple(state.value for state in DeliveryState)
ELSEWHERE = 0
"""In place of a unit: no place of theirs is known any more."""
_LANGS = ("vi", "en")
_PIECE = 50_000
_RESTS, _SOONEST = 15.0, 2.0
_REMEMBERED = 4_000_000
"""Endpoints whose commune is remembered between two counts, in 12 bytes each."""
_COUNTS = "pending, handed_off, confirmed, seen, failed, expired, stopped, unknown"

Ids = NDArray[np.int64]
Units = NDArray[np.int32]

_DUE = f"""
SELECT a.alert_id, coalesce(v.covered, w.covered) AS covered, m.moved
FROM alert a
LEFT JOIN alert_version v ON v.alert_id = a.alert_id AND v.version = a.approved_version
LEFT JOIN alert b ON b.alert_id = a.predecessor_id
LEFT JOIN alert_version w ON w.alert_id = b.alert_id AND w.version = b.approved_version
LEFT JOIN commune_tally t ON t.alert_id = a.alert_id
CROSS JOIN LATERAL (SELECT jsonb_object_agg(p.channel, ARRAY[{_COUNTS}]) AS moved
    FROM progress p WHERE p.alert_id = a.alert_id) m
WHERE a.started_at > $1::timestamptz - $2::interval AND m.moved IS NOT NULL
    AND (t.alert_id IS NULL OR t.moved <> m.moved
        AND $1 >= t.counted_at + make_interval(secs => greatest($3::float8, t.took * $4::float8)))
ORDER BY a.lane, a.alert_id
"""


def _case(column: str, values: Iterable[str]) -> str:
    whens = " ".join(f"WHEN '{value}' THEN {number}" for number, value in enumerate(values))
    return f"CASE {column} {whens} END"


# One number a delivery: who, and in the low byte wording, language, channel and state.
_READ = (
    "SELECT string_agg(int8send(endpoint_id * 256 + wording * 64"
    f" + {_case('lang', _LANGS)} * 32 + {_case('channel', CHANNELS)} * 8"
    f" + {_case('state', STATES)}), '')"
    " FROM (SELECT endpoint_id, wording, lang, channel, state FROM delivery"
    "  WHERE alert_id = $1 AND endpoint_id > $2 ORDER BY endpoint_id LIMIT $3) d"
)
# Of what an alert covers comes before what it does not, home before other places.
_HOMES = (
    "SELECT string_agg(int8send(endpoint_id) || int4send(unit_id), '') FROM ("
    "SELECT DISTINCT ON (l.endpoint_id) l.endpoint_id, p.unit_id"
    " FROM unnest($1::text::bigint[]) AS k(endpoint_id)"
    " CROSS JOIN LATERAL (SELECT * FROM person_endpoint"
    "  WHERE endpoint_id = k.endpoint_id OFFSET 0) l"
    " CROSS JOIN LATERAL (SELECT * FROM person_place"
    "  WHERE person_id = l.person_id OFFSET 0) p"
    " ORDER BY l.endpoint_id, (p.unit_id = ANY($2::integer[])) DESC, l.person_id, p.place_no) h"
)
_HOME = np.dtype([("endpoint", ">i8"), ("unit", ">i4")])


@dataclass(frozen=True, slots=True)
class Commune:
    """Deliveries of an alert in one commune on one channel, by state."""

    unit_id: int
    channel: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Said:
    """SMS in one language and wording that were tried, which decides their parts."""

    lang: str
    wording: int
    messages: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The newest count of an alert."""

    counted_at: datetime
    took: float
    exact: bool
    """Nothing has moved since."""
    communes: tuple[Commune, ...]
    texts: tuple[Said, ...]

    @property
    def unit_ids(self) -> list[int]:
        """The communes there are, by id."""
        return sorted({one.unit_id for one in self.communes})


async def of_alert(conn: Conn, alert_id: int) -> Tally | None:
    """Return the newest count: one row; None before the first."""
    row = await conn.fetchrow(
        "SELECT t.counted_at, t.took, t.communes, t.moved = (SELECT jsonb_object_agg(p.channel,"
        f" ARRAY[{_COUNTS}]) FROM progress p WHERE p.alert_id = t.alert_id) AS exact"
        " FROM commune_tally t WHERE t.alert_id = $1",
        alert_id,
    )
    if row is None:
        return None
    return Tally(
        row["counted_at"], row["took"], bool(row["exact"]),
        tuple(_communes(row["communes"])), tuple(_texts(row["communes"])),
    )  # fmt: skip


def _communes(kept: Mapping[str, Mapping[str, list[int]]]) -> Iterable[Commune]:
    found: dict[tuple[int, str], list[int]] = {}
    for said, units in kept.items():
        for written, counts in units.items():
            key = int(written), said.split("/")[0]
            found[key] = [a + b for a, b in zip(found.get(key, [0] * 8), counts, strict=True)]
    for (unit_id, channel), counts in sorted(found.items()):
        yield Commune(unit_id, channel, dict(zip(STATES, counts, strict=True)))


def _texts(kept: Mapping[str, Mapping[str, list[int]]]) -> Iterable[Said]:
    for said, units in kept.items():
        channel, *words = said.split("/")
        if channel == "sms":
            tried = sum(sum(counts) - _untried(counts) for counts in units.values())
            yield Said(words[0], int(words[1]), tried)


def _untried(counts: list[int]) -> int:
    by_state = dict(zip(STATES, counts, strict=True))
    return sum(by_state[state] for state in ("pending", "expired", "stopped", "failed"))


class Counter:
    """Counts for one process, which remembers where the endpoints of running alerts count."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._homes: dict[int, tuple[Ids, Units]] = {}

    async def count_due(self, now: datetime) -> int:
        """Count every alert that has moved and has rested since; returns how many."""
        async with self._pool.acquire() as conn:
            due = await conn.fetch(_DUE, now, FOLLOWED, _SOONEST, _RESTS)
            for row in due:
                await self._count(conn, now, row["alert_id"], row["covered"] or [], row["moved"])
        return len(due)

    async def _count(
        self, conn: Conn, now: datetime, alert_id: int, covered: list[int], moved: dict[str, Any]
    ) -> None:
        spent = 0.0
        counts: dict[tuple[int, int], int] = {}
        known = self._homes.pop(alert_id, (np.empty(0, np.int64), np.empty(0, np.int32)))
        whole, after = 0, -1
        while True:
            began = time.monotonic()
            packed = await conn.fetchval(_READ, alert_id, after, _PIECE)
            # Where people live is read once: only what a count costs again decides how it rests.
            spent += time.monotonic() - began
            if not packed:
                break
            numbered = np.frombuffer(packed, dtype=">i8").astype(np.int64)
            ids = numbered >> 8
            known, units = await _homes_of(conn, ids, covered, known)
            keys, many = np.unique(units.astype(np.int64) * 256 + (numbered & 255),
                                   return_counts=True)  # fmt: skip
            for key, count in zip(keys.tolist(), many.tolist(), strict=True):
                counts[key >> 8, key & 255] = counts.get((key >> 8, key & 255), 0) + count
            whole += len(ids)
            after = int(ids[-1])
        self._remember(alert_id, known)
        if whole >= sum(map(sum, moved.values())):
            await _keep(conn, now, alert_id, spent, moved, counts)

    def _remember(self, alert_id: int, known: tuple[Ids, Units]) -> None:
        self._homes[alert_id] = known
        # The first one in was counted longest ago.
        while sum(len(ids) for ids, _ in self._homes.values()) > _REMEMBERED:
            del self._homes[next(iter(self._homes))]


async def _homes_of(
    conn: Conn, ids: Ids, covered: list[int], known: tuple[Ids, Units]
) -> tuple[tuple[Ids, Units], Units]:
    """Return what is known by now, and the units of these ids; reads those it does not know."""
    places = np.searchsorted(known[0], ids)
    found = places < len(known[0])
    found[found] = known[0][places[found]] == ids[found]
    missing = ids[~found]
    if len(missing):
        packed = await conn.fetchval(_HOMES, numbers(missing.tolist()), covered)
        read = np.frombuffer(packed or b"", dtype=_HOME)
        homes = np.full(len(missing), ELSEWHERE, np.int32)
        homes[np.searchsorted(missing, read["endpoint"].astype(np.int64))] = read["unit"]
        merged = np.concatenate([known[0], missing])
        order = np.argsort(merged, kind="stable")
        known = merged[order], np.concatenate([known[1], homes])[order]
        places = np.searchsorted(known[0], ids)
    return known, known[1][places]


async def _keep(
    conn: Conn, now: datetime, alert_id: int, took: float, moved: dict[str, Any],
    counts: Mapping[tuple[int, int], int],
) -> None:  # fmt: skip
    kept: dict[str, dict[str, list[int]]] = {}
    for (unit_id, code), count in counts.items():
        channel = CHANNELS[code >> 3 & 3]
        # Language and wording decide how many parts an SMS has, and what it costs.
        said = f"sms/{_LANGS[code >> 5 & 1]}/{code >> 6}" if channel == "sms" else channel
        kept.setdefault(said, {}).setdefault(str(unit_id), [0] * 8)[code & 7] += count
    await conn.execute(
        "INSERT INTO commune_tally AS t (alert_id, counted_at, took, moved, communes)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (alert_id) DO UPDATE SET"
        " counted_at = excluded.counted_at, took = excluded.took, moved = excluded.moved,"
        " communes = excluded.communes WHERE t.counted_at < excluded.counted_at",
        alert_id, now, took, moved, kept,
    )  # fmt: skip
