"""`run.py demo`: the whole service on this machine, with carriers of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broadcaster import db, embedded, settings
from broadcaster.demo import carriers, citizens, rehearsal, seed, storm, summary
from broadcaster.demo.alone import alone
from broadcaster.demo.carriers import Carriers
from broadcaster.demo.supervise import Supervisor
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people.selection import Selector
from broadcaster.processes import runner
from broadcaster.terminal import bar, level, say

_SETTLE = 600.0
_LOOK = 0.5
_ANSWERS = 20.0
"""Seconds to wait for the people who answer, once everything is handed off."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    people: int = 20_000
    leave: bool = False
    as_json: bool = False
    port: int | None = None


@dataclass(frozen=True, slots=True)
class City:
    """A running demo."""

    pool: db.Pool
    supervisor: Supervisor
    carriers: Carriers
    waker: Waker
    url: str


@asynccontextmanager
async def city(base: settings.Settings, people: int) -> AsyncIterator[City]:
    """Servers, carriers, seeded city and processes; all of it ends with the block."""
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(base))
        say("Starting PostgreSQL and Valkey …")
        found = await stack.enter_async_context(embedded.servers(base))
        await db.migrate(found.database_url)
        pool = await db.connect(found.database_url, most=8, application="demo")
        stack.push_async_callback(pool.close)
        await _seed(pool, base, people)
        supervisor = Supervisor(_environ(base, found))
        stack.push_async_callback(supervisor.close)
        say("Starting the lab's carriers …")
        lab = await carriers.start(
            supervisor, base.data_dir.absolute() / "lab", base.sms_reply_number
        )
        supervisor.environ(lab.environ)
        for role in ("send", "clock", "intake"):
            supervisor.start(f"worker {role}", ["run.py", "worker", "--role", role])
        supervisor.start("web", ["run.py", "web", "--lab", str(lab.directory)])
        waker = Waker(found.redis_url)
        stack.push_async_callback(waker.close)
        await supervisor.listening("web", base.http_port, base.http_host)
        yield City(pool, supervisor, lab, waker, base.public_url)


def _environ(base: settings.Settings, found: embedded.Servers) -> dict[str, str]:
    return {
        "BROADCASTER_DATABASE_URL": found.database_url,
        "BROADCASTER_REDIS_URL": found.redis_url,
        "BROADCASTER_DATA_DIR": str(base.data_dir.absolute()),
        "BROADCASTER_SECRET_KEY": base.secret_key or "",
        "BROADCASTER_OLD_SECRET_KEYS": ",".join(base.old_secret_keys),
        "BROADCASTER_HTTP_HOST": base.http_host,
        "BROADCASTER_HTTP_PORT": str(base.http_port),
        "BROADCASTER_LOG_LEVEL": "warning",
        "BROADCASTER_SIGN_IN_SECOND_STEP": _second_step(base),
    }


def _second_step(base: settings.Settings) -> str:
    """Ask nobody for a code at sign-in unless it is wanted: a demo is looked at."""
    named = "sign_in_second_step" in base.model_fields_set
    return base.sign_in_second_step if named else settings.SecondStep.OFF


async def _seed(pool: db.Pool, base: settings.Settings, people: int) -> None:
    keyring = Keyring(base.secret_key or "", base.old_secret_keys)
    with bar("Seeding the city", "people", people) as advance:
        await seed.seed(pool, keyring, datetime.now(UTC), people, advance)
    async with pool.acquire() as conn:
        await rehearsal.prepare(conn, datetime.now(UTC))


async def run(options: Options, stopping: asyncio.Event) -> int:
    """Run the demo until it is stopped, or with --exit until one alert is settled."""
    up = asyncio.Event()
    body = _once(options) if options.leave else _stay(options, up)
    status = await runner.unless(stopping, body)
    if status is not None:
        return status
    # Being stopped is how a demo that is up ends; anything else was not done.
    return 0 if up.is_set() else runner.INTERRUPTED


async def _stay(options: Options, up: asyncio.Event) -> int:
    """Run the demo until cancelled."""
    async with city(_settings(options, None), options.people) as running:
        _greet(running)
        up.set()
        people = citizens.Citizens(running.carriers, running.url)
        beside = [
            asyncio.create_task(people.answer_for_ever()),
            asyncio.create_task(_watch(running.pool)),
        ]
        try:
            await asyncio.Event().wait()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            say("Stopping …")
    return 0


def _settings(options: Options, directory: Path | None) -> settings.Settings:
    """Load the settings; with a folder of our own, nothing but that folder and a port."""
    if directory is None:
        return settings.load(http_port=options.port)
    port = options.port or carriers.free_port()
    # Not used, but a name that is no setting is told rather than passed over.
    settings.load(http_port=port, data_dir=directory)
    return settings.load({}, Path(os.devnull), http_port=port, data_dir=directory)


def _greet(running: City) -> None:
    say()
    say(f"  The console:      {running.url}/")
    say(f"  Phones and boxes: {running.url}/lab")
    say()
    say("  Sign in with one of these; the password of each is " + seed.PASSWORD)
    for official in (*seed.OFFICIALS, *rehearsal.TRAINING):
        roles = ", ".join(official.roles)
        say(f"    {official.login:<6} {official.name}, {official.title} ({roles})")
    say("  An emergency asks its approver for a code: put this key into any authenticator app for")
    say(f"  {' and '.join(seed.ENROLLED)}: {seed.FACTOR_SECRET}. The others enrol by themselves,")
    say(f"  with the code {seed.ENROLMENT_CODE}.")
    say()
    say("  Ctrl-C ends the demo. The city is kept and is there again at the next start.")


async def _watch(pool: db.Pool) -> None:
    """Show every alert going out as a bar, one after the other."""
    shown = 0
    while True:
        alert = await pool.fetchrow(
            "SELECT alert_id, code FROM alert WHERE state = 'sending' AND alert_id > $1"
            " ORDER BY alert_id LIMIT 1",
            shown,
        )
        if alert is None:
            await asyncio.sleep(_LOOK)
            continue
        shown = alert["alert_id"]
        with level(f"Sending {alert['code']}", "deliveries") as stand:
            await summary.wait_settled(pool, shown, _SETTLE, stand)


async def _once(options: Options) -> int:
    with embedded.fresh_data_dir() as directory:
        result = await _broadcast(_settings(options, directory), options.people)
    if options.as_json:
        print(json.dumps(result.as_json()), flush=True)
    else:
        _tell(result)
    return 1 if result.problems else 0


async def _broadcast(base: settings.Settings, number: int) -> summary.Summary:
    async with city(base, number) as running:
        people = citizens.Citizens(running.carriers, running.url)
        async with running.pool.acquire() as conn:
            alert = await storm.write(conn, datetime.now(UTC), Selector())
            await storm.approve(conn, datetime.now(UTC), alert)
        await running.waker.wake("start")
        say(f"{alert.code} approved; sending …")
        with level("Sending", "deliveries") as stand:
            settled = await summary.wait_settled(running.pool, alert.alert_id, _SETTLE, stand)
        answered = await people.answer()
        await citizens.wait_reports(running.pool, answered, _ANSWERS)
        async with running.pool.acquire() as conn:
            return await summary.summarise(conn, alert.alert_id, settled)


def _tell(result: summary.Summary) -> None:
    print(f"people       {result.people} ({result.unreachable} reached by nothing)")
    for channel, states in result.deliveries.items():
        counted = ", ".join(f"{state} {number}" for state, number in states.items())
        print(f"{channel:<12} {counted}")
    print(f"reports      {result.reports}")
    print(f"hand-off     first {result.first_handoff_s} s, last {result.last_handoff_s} s")
    for problem in result.problems:
        print(f"LOST         {problem}")
