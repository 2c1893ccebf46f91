"""The whole service for a test: a seeded city, real worker processes, and what the lab received.

Everything runs as it does in the demo: workers and carriers are processes of their own, and what
a test believes about a message it reads from the carrier's file, not from our database.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg

from broadcaster import db
from broadcaster.alerts import approval, checks, draft, wordings
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.demo import carriers, seed, storm
from broadcaster.demo.carriers import Carriers
from broadcaster.demo.supervise import Supervisor
from broadcaster.fanout.progress import progress
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, find_actor
from broadcaster.people.selection import Selector
from broadcaster.people.units import load_map
from broadcaster.states import DeliveryState
from channels.lab import fcm_store, smsc_store, smtp, store
from templates.catalogue import LANGS
from templates.render import render
from tests import factor, wire
from tests.wire import Received

SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 2
REPLY_NUMBER = "1022"
CHANNELS = ("push", "sms", "email")
LAB_FILES = {
    "push": fcm_store.connect,
    "sms": smsc_store.open_store,
    "email": smtp.connect,
}
StartCarriers = Callable[[Supervisor, Path, str], Awaitable[Carriers]]
_ENDED = ("sent", "stopped", "expired")


@dataclass
class Service:
    """A running service over a city of its own."""

    pool: Pool
    keyring: Keyring
    supervisor: Supervisor
    lab: Carriers
    waker: Waker
    selector: Selector
    url: str
    """Of the web server, where one was asked for."""

    async def actor(self, login: str) -> Actor:
        async with self.pool.acquire() as conn:
            return await find_actor(conn, login)

    async def write(
        self,
        content: Content,
        *,
        author: str = "ha",
        unit_id: int | None = None,
        kind: str = "alert",
        predecessor_id: int | None = None,
        as_exercise: bool | None = None,
    ) -> Alert:
        """A draft of `author`, issued by the city or by another unit."""
        if kind == "update" and not content.update_wording:
            content = wordings.with_difference(content, content)
        async with self.pool.acquire() as conn:
            return await draft.create(
                conn, await find_actor(conn, author), now(), content,
                unit_id or await unit_of(conn), kind=kind, predecessor_id=predecessor_id,
                as_exercise=as_exercise,
            )  # fmt: skip

    async def submit(self, alert: Alert, *, author: str = "ha") -> Alert:
        """Check the newest version and send it for approval."""
        async with self.pool.acquire() as conn:
            actor = await find_actor(conn, author)
            version = (await draft.find(conn, alert.alert_id)).version
            found = await checks.run(conn, actor, now(), alert.alert_id, self.selector)
            assert not found.blocked, [p for p in found.problems if p.blocking]
            return await approval.submit(conn, actor, now(), alert.alert_id, version)

    async def approve(self, alert: Alert, *, approver: str = "tuan", widen: bool = False) -> Alert:
        """Approve what was submitted, and wake whoever starts it, as the console does."""
        async with self.pool.acquire() as conn:
            actor = await find_actor(conn, approver)
            proof = None
            if (alert.alert_class == "emergency" or widen) and not actor.training:
                proof = await factor.proof(conn, self.keyring, actor, now())
            done = await approval.approve(
                conn, actor, now(), alert.alert_id, alert.version, proof, widen=widen
            )
        await self.waker.wake("start")
        return done

    async def broadcast(self, content: Content, **how: Any) -> Alert:
        """Write, check, submit and approve."""
        who = {"author": how["author"]} if "author" in how else {}
        approver = {"approver": how.pop("approver")} if "approver" in how else {}
        alert = await self.write(content, **how)
        return await self.approve(await self.submit(alert, **who), **approver)

    async def value(self, query: str, *arguments: object) -> Any:
        """One value from the database."""
        rows = await self.rows(query, *arguments)
        return rows[0][0] if rows else None

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows from the database, which may be restarting."""
        while True:
            try:
                async with self.pool.acquire() as conn:
                    return await conn.fetch(query, *arguments)
            except db.AWAY:
                await asyncio.sleep(0.1)

    async def state(self, alert_id: int) -> str:
        return str(await self.value("SELECT state::text FROM alert WHERE alert_id = $1", alert_id))

    async def settled(self, alert_id: int, timeout: float = 120) -> None:
        """Wait until the alert has ended and none of its deliveries is open."""

        async def ended() -> bool:
            if await self.state(alert_id) not in _ENDED:
                return False
            open_ones = "SELECT sum(pending + unknown) FROM progress WHERE alert_id = $1"
            return not await self.value(open_ones, alert_id)

        await eventually(ended, timeout, f"alert {alert_id} settled")

    async def handed_off(self, alert_id: int, channel: str | None = None) -> int:
        """How many deliveries are with their carrier by now, by our own count."""
        return int(
            await self.value(
                "SELECT coalesce(sum(handed_off + confirmed), 0) FROM progress"
                " WHERE alert_id = $1 AND ($2::text IS NULL OR channel::text = $2)",
                alert_id, channel,
            )
        )  # fmt: skip

    async def states(self, alert_id: int) -> dict[str, dict[str, int]]:
        """Deliveries by channel and state: by their rows, which the running totals must equal."""
        while True:
            try:
                async with (
                    self.pool.acquire() as conn,
                    conn.transaction(isolation="repeatable_read"),
                ):
                    rows = await conn.fetch(
                        "SELECT channel::text, state::text, count(*) FROM delivery"
                        " WHERE alert_id = $1 GROUP BY 1, 2",
                        alert_id,
                    )
                    totals = await progress(conn, alert_id)
                break
            except db.AWAY:
                await asyncio.sleep(0.1)
        found: dict[str, dict[str, int]] = {total.channel: {} for total in totals}
        for channel, state, count in rows:
            found[channel][state] = count
        for total in totals:
            for state in DeliveryState:
                assert getattr(total, state) == found[total.channel].get(state, 0), total
        return found

    async def addresses(self, endpoint_ids: list[int]) -> dict[int, tuple[str, str, str]]:
        """(channel, address, language) of endpoints."""
        rows = await self.rows(
            "SELECT endpoint_id, channel::text, lang::text, address_enc FROM endpoint"
            " WHERE endpoint_id = ANY($1)",
            endpoint_ids,
        )
        return {
            endpoint_id: (
                channel,
                self.keyring.unseal(sealed, "endpoint", "address_enc", endpoint_id).decode(),
                lang,
            )
            for endpoint_id, channel, lang, sealed in rows
        }

    async def configure(self, channel: str, **values: float) -> None:
        """Change a carrier's behaviour, and wait until it obeys."""

        def change() -> None:
            with closing(LAB_FILES[channel](self.lab.directory)) as conn:
                store.configure(conn, **values)
                store.settle(conn)

        await asyncio.to_thread(change)

    def received(self, alert: Alert, content: Content) -> dict[str, list[Received]]:
        """What every carrier got of an alert: one entry for each message on the wire."""
        return {
            "push": wire.pushes(self.lab.directory, alert.code),
            "sms": wire.texts(
                self.lab.directory, {said.sms.text for said in content.wording.values()}
            ),
            "email": wire.mails(self.lab.directory, self.keyring, alert.alert_id),
        }

    def kill(self, process: str) -> int:
        """`kill -9` one of our processes; returns the id it had."""
        pid = self.supervisor.pid(process)
        assert pid is not None, f"{process} is not running"
        os.kill(pid, signal.SIGKILL)
        return pid

    async def running(self, process: str, other_than: int | None = None) -> int:
        """Wait until a process runs (again); returns its id."""

        async def up() -> bool:
            return self.supervisor.pid(process) not in (None, other_than)

        await eventually(up, 30, f"{process} running")
        pid = self.supervisor.pid(process)
        assert pid is not None
        return pid


def now() -> datetime:
    return datetime.now(UTC)


async def eventually(
    holds: Callable[[], Awaitable[Any]], timeout: float, what: str, every: float = 0.05
) -> Any:
    """Wait until something is true; returns what it gave."""
    deadline = time.monotonic() + timeout
    while not (value := await holds()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        await asyncio.sleep(every)
    return value


async def unit_of(conn: Conn, code: str | None = None) -> int:
    """The unit of a code, or the city."""
    return int(
        await conn.fetchval(
            "SELECT unit_id FROM unit WHERE valid_to IS NULL"
            " AND (code = $1 OR ($1 IS NULL AND kind = 'city'))",
            code,
        )
    )


async def area_of(conn: Conn, *codes: str) -> dict[str, Any]:
    """An area of whole units."""
    rows = await conn.fetch(
        "SELECT code, vintage FROM unit WHERE code = ANY($1) AND valid_to IS NULL", list(codes)
    )
    return {"units": [{"code": c, "vintage": v.isoformat()} for c, v in rows]}


def warning(
    area: dict[str, Any], where: str, *, lasts: timedelta = timedelta(hours=12), **changes: Any
) -> Content:
    """A storm warning from the catalogue; `where` stands in every wording and tells it apart."""
    begins = now()
    document = storm.content(begins, area).to_json()
    event = checks.known_event("storm")
    assert event is not None
    names = {field.name: {lang: [where] for lang in LANGS}
             for field in event.fields if field.fill == "area"}  # fmt: skip
    values = document["values"] | names
    wording = {lang: render("storm", lang, values).as_dict() for lang in LANGS}
    expires = (begins + lasts).isoformat()
    made = parse(document | {"values": values, "wording": wording, "expires": expires} | changes)
    return wordings.with_prepared(made, "alert")


@asynccontextmanager
async def database_of(server_url: str, name: str) -> AsyncIterator[str]:
    """A migrated database of its own on a running server."""
    admin = await asyncpg.connect(server_url)
    before, options = server_url.split("?", 1)
    url = f"{before.rsplit('/', 1)[0]}/{name}?{options}"
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await db.migrate(url)
        yield url
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@asynccontextmanager
async def service(
    database_url: str,
    redis_url: str,
    directory: Path,
    *,
    people: int,
    workers: tuple[str, ...] = ("send", "clock", "intake"),
    web: bool = False,
    environ: Mapping[str, str] = MappingProxyType({}),
    start_carriers: StartCarriers = carriers.start,
    through: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> AsyncIterator[Service]:
    """Seed a city and start carriers and workers; `send 2` is a second one of that role.

    `through` names what runs the command line of a worker in the place of Python alone.
    """
    keyring = Keyring(SECRET_KEY, ())
    port = carriers.free_port()
    ours = {
        "BROADCASTER_DATABASE_URL": database_url,
        "BROADCASTER_REDIS_URL": redis_url,
        "BROADCASTER_DATA_DIR": str(directory),
        "BROADCASTER_SECRET_KEY": SECRET_KEY,
        "BROADCASTER_SMS_REPLY_NUMBER": REPLY_NUMBER,
        "BROADCASTER_HTTP_PORT": str(port),
        "BROADCASTER_LOG_LEVEL": "warning",
        **environ,
    }
    async with AsyncExitStack() as stack:
        pool = await db.connect(database_url, most=8, application="test")
        stack.push_async_callback(pool.close)
        await seed.seed(pool, keyring, now(), people, lambda _: None)
        supervisor = Supervisor(ours)
        stack.push_async_callback(supervisor.close)
        lab = await start_carriers(supervisor, directory / "lab", REPLY_NUMBER)
        supervisor.environ(lab.environ)
        for worker in workers:
            role = worker.split()[0]
            command = [*through.get(worker, ()), "run.py", "worker", "--role", role]
            supervisor.start(worker, command)
        if web:
            supervisor.start("web", ["run.py", "web"])
            await supervisor.listening("web", port)
        waker = Waker(redis_url)
        stack.push_async_callback(waker.close)
        url = f"http://127.0.0.1:{port}"
        running = Service(pool, keyring, supervisor, lab, waker, Selector(), url)
        await _ready(running, [worker for worker in workers if worker.startswith("send")])
        await supervisor.listening("intake", lab.mail_inbound[1], lab.mail_inbound[0])
        yield running


async def _ready(running: Service, senders: Sequence[str]) -> None:
    async def alive() -> bool:
        at_work = await running.value("SELECT count(*) FROM worker WHERE role = 'send'")
        return int(at_work) >= len(senders)

    for sender in senders:
        await running.supervisor.came_up(sender, alive, "report for duty")
    async with running.pool.acquire() as conn:
        await load_map(conn)
