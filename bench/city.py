"""A city of millions in the real schema, with processes that send for real and fast carriers.

People are `bench.population`'s: places go in as folding would leave them, endpoints sealed as
registration seals them, so that everything from the approval to the wire is what runs in earnest.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyotp

from bench.load import write_places
from bench.population import Population, populate
from bench.sinks import carriers
from bench.sinks.carriers import CHANNELS, Sinks
from broadcaster import db
from broadcaster.alerts import approval, checks, draft, lifecycle
from broadcaster.alerts.content import Content, parse
from broadcaster.db import Conn, Pool
from broadcaster.demo import seed, storm
from broadcaster.demo.supervise import Supervisor
from broadcaster.embedded import fresh_data_dir, start_postgres, start_valkey
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment, second_factor
from broadcaster.people.officials import Actor, find_actor
from broadcaster.people.second_factor import Proof
from broadcaster.people.selection import Selector
from broadcaster.people.units import load_map
from templates.catalogue import LANGS
from templates.render import render

_SECRET = "only-for-measuring-" + "0123456789abcdef" * 2
_REPLY_NUMBER = "1022"
_SEED = 2026
_ROWS = 100_000
_PATIENCE = 120.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Written:
    """An alert submitted for approval, and the words no other alert has."""

    alert_id: int
    version: int
    mark: str
    emergency: bool

    def says(self, content: Mapping[str, Any]) -> bool:
        """Whether a carrier's content is of this alert."""
        return any(self.mark in value for value in content.values() if isinstance(value, str))


@dataclass(frozen=True, slots=True)
class City:
    """A running service over a city made for measuring."""

    pool: Pool
    supervisor: Supervisor
    sinks: Sinks
    waker: Waker
    selector: Selector
    people: int
    database_pid: int
    keyring: Keyring
    codes: list[str] = field(default_factory=list)
    """Recovery codes of the approver that are left."""

    def database_cpu(self) -> float:
        """Return the processor seconds used by the database's processes that live."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = path.read_text("utf-8").rpartition(")")[2].split()
                if int(fields[1]) == self.database_pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    async def write(self, alert_class: str) -> Written:
        """Write an alert to everybody, check it and send it for approval."""
        now = datetime.now(UTC)
        async with self.pool.acquire() as conn:
            author = await find_actor(conn, "ha")
            unit = await conn.fetchrow(
                "SELECT unit_id, code, vintage FROM unit WHERE kind = 'city' AND valid_to IS NULL"
            )
            if unit is None:
                raise LookupError("no city is seeded")
            area = {"units": [{"code": unit["code"], "vintage": unit["vintage"].isoformat()}]}
            mark = f"khu {next(_numbers):04d}"
            content = _content(now, area, alert_class, mark)
            alert = await draft.create(conn, author, now, content, unit["unit_id"])
            found = await checks.run(conn, author, now, alert.alert_id, self.selector)
            if found.blocked:
                raise RuntimeError(f"the checks refuse it: {found.problems}")
            await approval.submit(conn, author, now, alert.alert_id, alert.version)
            return Written(alert.alert_id, alert.version, mark, alert_class == "emergency")

    async def approve(self, alert: Written) -> None:
        """Approve it and wake whoever starts it, as the console does."""
        async with self.pool.acquire() as conn:
            actor, now = await find_actor(conn, "tuan"), datetime.now(UTC)
            proof = await self._proof(conn, actor, now) if alert.emergency else None
            await approval.approve(conn, actor, now, alert.alert_id, alert.version, proof)
        await self.waker.wake("start")

    async def _proof(self, conn: Conn, actor: Actor, now: datetime) -> Proof:
        """Confirm an emergency by a recovery code: of the digits there is one in half a minute."""
        if not self.codes:
            secret = pyotp.random_base32()
            made = await enrolment.enrol_known(conn, self.keyring, actor.official_id, now, secret)
            self.codes.extend(made)
        return await second_factor.prove(conn, self.keyring, actor, now, self.codes.pop())

    async def stop(self, alert: Written) -> None:
        """Stop it and wait until every delivery that was written is closed."""
        async with self.pool.acquire() as conn:
            actor = await find_actor(conn, "tuan")
            await lifecycle.stop(conn, actor, datetime.now(UTC), alert.alert_id, "measured")
        open_ones = (
            "SELECT EXISTS (SELECT FROM batch WHERE alert_id = $1 AND state <> 'done')"
            " OR EXISTS (SELECT FROM progress WHERE alert_id = $1 AND pending > 0)"
        )
        await self._until(
            f"SELECT NOT ({open_ones})", alert.alert_id, f"alert {alert.alert_id} to be closed"
        )

    async def workers(self, number: int) -> None:
        """Start one more sending worker, up to so many, and wait until it reports for duty."""
        name = f"worker send {number}"
        self.supervisor.start(name, ["run.py", "worker", "--role", "send"])
        await self._until(
            "SELECT count(*) >= $1 FROM worker WHERE role = 'send'",
            number,
            f"{number} sending workers to report for duty",
        )

    async def _until(self, holds: str, argument: int, what: str) -> None:
        """Wait until a query is true; raises TimeoutError that says what was awaited."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await self.pool.fetchval(holds, argument):  # noqa: ASYNC110 - asks rows
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(
                f"waited {_PATIENCE:.0f} s for {what}; what the processes say stands above"
            ) from None

    def sender(self, number: int = 1) -> int:
        """Return the process id of a sending worker."""
        pid = self.supervisor.pid(f"worker send {number}")
        if pid is None:
            raise LookupError(f"sending worker {number} does not run")
        return pid


def _content(now: datetime, area: dict[str, Any], alert_class: str, mark: str) -> Content:
    """Write a storm alert whose place names are a mark of its own."""
    event = checks.known_event("storm")
    if event is None:
        raise LookupError("the catalogue has no event “storm”")
    document = storm.content(now, area).to_json()
    places = {field.name: {lang: [mark] for lang in LANGS}
              for field in event.fields if field.fill == "area"}  # fmt: skip
    values = document["values"] | places
    wording = {lang: render("storm", lang, values).as_dict() for lang in LANGS}
    return parse(document | {"class": alert_class, "values": values, "wording": wording})


@asynccontextmanager
async def city(people: int) -> AsyncIterator[City]:
    """Servers, people, carriers and processes, one of each; all of it ends with the block."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(fresh_data_dir())
        postgres = start_postgres(directory)
        stack.callback(postgres.stop)
        valkey = start_valkey(directory)
        stack.callback(valkey.stop)
        await db.migrate(postgres.url)
        pool = await db.connect(postgres.url, most=8, application="bench")
        stack.push_async_callback(pool.close)
        await _settle(pool, people)
        supervisor = Supervisor(
            {
                "BROADCASTER_DATABASE_URL": postgres.url,
                "BROADCASTER_REDIS_URL": valkey.url,
                "BROADCASTER_DATA_DIR": str(directory),
                "BROADCASTER_SECRET_KEY": _SECRET,
                "BROADCASTER_LOG_LEVEL": "warning",
            }
        )
        stack.push_async_callback(supervisor.close)
        sinks = await carriers.start(supervisor, directory / "sinks", _REPLY_NUMBER)
        supervisor.environ(sinks.carriers.environ)
        waker = Waker(valkey.url)
        stack.push_async_callback(waker.close)
        selector = Selector(directory / "index", pool)
        stack.push_async_callback(selector.close)
        for role in ("clock", "intake"):
            supervisor.start(f"worker {role}", ["run.py", "worker", "--role", role])
        running = City(
            pool, supervisor, sinks, waker, selector, people, postgres.pid, Keyring(_SECRET, ())
        )
        await running.workers(1)
        yield running


async def _settle(pool: Pool, people: int) -> None:
    """Seed units, officials and so many people with sealed addresses."""
    now, keyring = datetime.now(UTC), Keyring(_SECRET, ())
    await seed.seed(pool, keyring, now, 0, lambda _: None)
    async with pool.acquire() as conn:
        units = await load_map(conn)
        known = np.arange(1 + max(units.ids.values()), dtype=np.int32)
        rng = np.random.default_rng([_SEED, people])
        made = await asyncio.to_thread(populate, units.outlines, dict(units.ids), people, rng)
        # Nobody is looked up twice and nothing is logged: the places below are all there is.
        await conn.execute("SET session_replication_role = replica")
        await conn.execute(
            "INSERT INTO person (person_id, lang, created_at) OVERRIDING SYSTEM VALUE"
            " SELECT i, 'vi', $2 FROM generate_series(1, $1::int) i", people, now,
            timeout=600,
        )  # fmt: skip
        endpoints = 0
        for rows in _endpoints(made, keyring, now):
            await _copy(conn, rows, now)
            endpoints += len(rows)
        await conn.execute("SET session_replication_role = origin")
        for table, column, top in (
            ("person", "person_id", people), ("endpoint", "endpoint_id", endpoints),
        ):  # fmt: skip
            await conn.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {top})"
            )
        await write_places(conn, made, known)
        for table in ("person", "endpoint", "person_endpoint"):
            await conn.execute(f"VACUUM ANALYZE {table}", timeout=600)


def _endpoints(made: Population, keyring: Keyring, now: datetime) -> Iterator[list[Any]]:
    """Yield rows of endpoint with the person behind each as the last value."""
    bits, english = made.channels[: made.people], made.langs[: made.people]
    person, channel = np.nonzero(bits[:, np.newaxis] >> np.arange(len(CHANNELS)) & 1)
    for start in range(0, len(person), _ROWS):
        some = slice(start, start + _ROWS)
        rows = zip(
            range(start + 1, start + 1 + _ROWS), (person[some] + 1).tolist(),
            channel[some].tolist(), english[person[some]].tolist(), strict=False,
        )  # fmt: skip
        yield [_endpoint(keyring, now, *row) for row in rows]


def _endpoint(
    keyring: Keyring, now: datetime, number: int, person: int, which: int, english: int
) -> tuple[Any, ...]:
    channel = CHANNELS[which]
    address = (f"fid:{number:022d}", f"+849{number:08d}", f"n{number}@dan.example")[which]
    sealed = keyring.seal(address.encode(), "endpoint", "address_enc", number)
    hashed = keyring.address_hash(channel, address)
    lang = "en" if english else "vi"
    return number, channel, "active", lang, keyring.key_id, hashed, sealed, now, person


async def _copy(conn: Conn, rows: list[Any], now: datetime) -> None:
    await conn.copy_records_to_table(
        "endpoint",
        columns=["endpoint_id", "channel", "state", "lang", "hash_key_id", "address_hash",
                 "address_enc", "created_at"],
        records=(row[:-1] for row in rows), timeout=600,
    )  # fmt: skip
    await conn.copy_records_to_table(
        "person_endpoint",
        columns=["person_id", "endpoint_id", "linked_at"],
        records=((row[-1], row[0], now) for row in rows),
        timeout=600,
    )
