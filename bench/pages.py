"""How long the server takes for each page, with 100,000 alerts in the archive.

One web server over an embedded PostgreSQL; pages are asked one after the other, by officials of
every role, and timed by the server itself, from the request's head to its answer's last byte. The
clock leaps between two requests, so that nothing remembered for a moment helps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from aiohttp import ClientSession, web
from aiohttp.abc import AbstractAccessLogger

from bench.report import Figure, Report
from bench.years import COMMUNE, write_years
from broadcaster import db, settings
from broadcaster.db import Conn, Pool
from broadcaster.demo import seed
from broadcaster.embedded import fresh_data_dir, start_postgres
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Role, create_official, find_actor
from broadcaster.people.sessions import open_session
from broadcaster.processes import runner
from broadcaster.terminal import say
from broadcaster.web.app import create_app
from broadcaster.web.security import session_cookie_name
from broadcaster.web.settling import settle

ALERTS, PEOPLE, ASKED = 100_000, 2_000, 40
TARGET_MS = 50.0
_WARM_UP = 4
_LEAP = timedelta(seconds=4)
_SECRET = "only-for-measuring-" + "0123456789abcdef" * 2
ROLES = {"city": "ha", "commune": "long", "approver": "tuan", "staff": "tam", "admin": "anna"}
"""Of each role measured, the login."""
_AUTHORS, _APPROVERS = ("city", "commune"), ("approver",)
_EVERYBODY = tuple(ROLES)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: what its figure is called, where it is, and who looks at it."""

    name: str
    path: str
    roles: Sequence[str] = _EVERYBODY
    """Nobody: it is public."""


_PAGES = (
    Page("today", "/console"),
    Page("archive", "/console/alerts"),
    Page("archive_live", "/console/alerts?state=live"),
    Page("archive_words", "/console/alerts?q=bao+so+3"),
    Page("archive_many", "/console/alerts?q=HN-{year}"),
    Page("archive_place", "/console/alerts?place=00091"),
    Page("archive_all", "/console/alerts?q=%22bao+so+3%22&place=003&from={from}&class=warning"
         "&event=storm&kind=alert&state=over"),
    Page("archive_months_ago", "/console/alerts?until={from}&sender=00091"),
    Page("archive_nothing", "/console/alerts?q=khongcogi&class=emergency"),
    Page("new", "/console/alerts/new", (*_AUTHORS, "approver")),
    Page("edit", "/console/alerts/{draft}/edit", _AUTHORS),
    # What a save answers: the checks, the figures and every fragment of the page.
    Page("saved", "/console/alerts/{draft}/draft", _AUTHORS),
    Page("versions", "/console/alerts/{draft}/versions", _AUTHORS),
    Page("comments", "/console/alerts/{draft}/comments", _AUTHORS),
    Page("review", "/console/alerts/{submitted}/review", _APPROVERS),
    Page("live", "/console/alerts/{sending}"),
    Page("live_progress", "/console/alerts/{sending}/progress"),
    Page("live_reach", "/console/alerts/{sending}/reach"),
    Page("live_over", "/console/alerts/{expired}"),
    Page("record", "/console/alerts/{expired}/record", ("city", "commune", "approver", "staff")),
    Page("duty", "/console/duty"),
    Page("incidents", "/console/incidents"),
    Page("incident", "/console/incidents/{incident}", ("city", "approver", "staff")),
    Page("policy", "/console/policy", ("admin",)),
    Page("policy_class", "/console/policy/warning", ("admin",)),
    Page("approval_rules", "/console/approval-rules", ("admin",)),
    Page("exercises", "/console/exercises", ("admin",)),
    Page("providers", "/console/providers", ("admin",)),
    Page("dead_letters", "/console/dead-letters", ("city", "admin")),
    Page("templates", "/console/templates", ("city", "admin")),
    Page("template", "/console/templates/storm", ("city", "admin")),
    Page("scenarios", "/console/scenarios", _AUTHORS),
    Page("scenario_use", "/console/scenarios/{scenario}/use", ("city",)),
    Page("account", "/console/account", ("city",)),
    Page("public", "/alerts/{expired}", ()),
    Page("public_list", "/alerts", ()),
    Page("public_cap", "/alerts/{expired}.cap.xml", ()),
    Page("feed", "/feeds/cap.atom", ()),
    Page("api_alerts", "/api/v1/alerts", ()),
    Page("api_search", "/api/v1/alerts?q=bao+so+3&place=003", ()),
    Page("api_in_force", "/api/v1/alerts?in_force=1", ()),
    Page("api_alert", "/api/v1/alerts/{expired}", ()),
)  # fmt: skip


class _Stopwatch(AbstractAccessLogger):
    """Takes the server's own time of every request."""

    seconds: list[float] = []  # noqa: RUF012 - the server makes these itself, one is read here

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.seconds.append(time)


@dataclass
class Console:
    """A running web server and a signed-in browser for each role."""

    url: str
    browsers: dict[str, ClientSession]
    now: list[datetime]
    backends: Sequence[int]
    """Process ids of our connections to the database."""
    samples: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    """Milliseconds of processor a request, the database's among them."""
    failed: list[str] = field(default_factory=list)

    async def measure(self, page: Page, asked: int) -> None:
        """Ask a page so often by everybody whose page it is; ms by name and role."""
        for role in page.roles or ("",):
            taken: list[float] = []
            before = 0.0
            for number in range(asked + _WARM_UP):
                self.now[0] += _LEAP
                if number == _WARM_UP:
                    before = _processor(self.backends)
                _Stopwatch.seconds.clear()
                async with self.browsers[role].get(self.url + page.path) as answer:
                    await answer.read()
                if answer.status == 404:
                    say(f"{page.path}: not there for {role or 'the public'}")
                    break
                if answer.status != 200:
                    self.failed.append(f"{page.path} as {role or 'the public'}: {answer.status}")
                    say(self.failed[-1])
                    break
                if number >= _WARM_UP:
                    taken.append(_Stopwatch.seconds[-1] * 1000)
            if taken:
                name = f"{page.name} {role}".strip()
                self.samples[name] = taken
                self.cpu[name] = (_processor(self.backends) - before) * 1000 / len(taken)
                say(
                    f"{name:<28} median {np.median(taken):6.1f}  p95 {_p95(taken):6.1f} ms"
                    f"  processor {self.cpu[name]:6.1f} ms"
                )


def _processor(backends: Sequence[int]) -> float:
    """Return the processor seconds of this process and, to a hundredth, of the database's."""
    ticks = 0
    for pid in backends:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _p95(taken: Sequence[float]) -> float:
    return float(np.percentile(taken, 95))


@asynccontextmanager
async def console(pool: Pool, directory: Path) -> AsyncIterator[Console]:
    """Serve the console and sign everybody in."""
    now = [datetime.now(UTC)]
    base = settings.load(
        {"BROADCASTER_SECRET_KEY": _SECRET, "BROADCASTER_DATA_DIR": str(directory)}
    )
    app = create_app(base, pool, clock=lambda: now[0])
    keyring = Keyring(_SECRET)
    async with AsyncExitStack() as stack:
        server = web.AppRunner(app, access_log_class=_Stopwatch)
        await server.setup()
        stack.push_async_callback(server.cleanup)
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        await settle(app)
        browsers = {"": await stack.enter_async_context(ClientSession())}
        async with pool.acquire() as conn:
            for role, login in ROLES.items():
                opened = await open_session(conn, keyring, await find_actor(conn, login), now[0])
                cookie = {session_cookie_name(base): opened.token}
                browser = ClientSession(cookies=cookie, headers={"Accept": "text/html"})
                browsers[role] = await stack.enter_async_context(browser)
        host, port = server.addresses[0][:2]
        rows = await pool.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'bench'")
        backends = [row["pid"] for row in rows]
        yield Console(f"http://{host}:{port}", browsers, now, backends)


async def fill(pool: Pool, now: datetime, alerts: int) -> None:
    """Seed the city and write its past."""
    await seed.seed(pool, Keyring(_SECRET), now, PEOPLE, lambda _: None)
    async with pool.acquire() as conn:
        city = await conn.fetchval("SELECT unit_id FROM unit WHERE parent_id IS NULL")
        await create_official(
            conn, None, now, login="tam", name="Bùi Thanh Tâm", title="Trực sự cố",
            password="chi-de-do-thoi-gian", roles=[Role("staff", city)]
        )  # fmt: skip
        await write_years(conn, now, alerts)


async def _places(conn: Conn, now: datetime) -> dict[str, str]:
    """Return what stands for the names in the pages' addresses."""
    found = {
        row["state"]: row["code"]
        for row in await conn.fetch(
            "SELECT DISTINCT ON (state) state::text AS state, code FROM alert"
            " WHERE unit_id = (SELECT unit_id FROM unit WHERE code = $1 AND valid_to IS NULL)"
            " ORDER BY state, alert_id DESC",
            COMMUNE,
        )
    }
    incident = await conn.fetchval("SELECT max(incident_id) FROM incident")
    scenario = await conn.fetchval("SELECT min(scenario_id) FROM scenario")
    half = (now - timedelta(days=180)).date().isoformat()
    return {
        **found, "incident": f"SC-{incident}", "scenario": str(scenario), "from": half,
        "year": str(now.year),
    }  # fmt: skip


def _report(running: Console, alerts: int) -> Report:
    samples = running.samples
    figures = []
    for page in _PAGES:
        of_page = {name: taken for name, taken in samples.items() if name.split()[0] == page.name}
        if of_page:
            slowest = max(of_page, key=lambda name: _p95(of_page[name]))
            who = slowest.partition(" ")[2] or "the public"
            what = f"server time of {page.path}, as the slowest role: {who}"
            ms = round(_p95(of_page[slowest]), 1)
            figures.append(Figure(f"pages.{page.name}_p95_ms", what, ms, "ms", TARGET_MS))
            cpu = round(max(running.cpu[name] for name in of_page), 1)
            told = "processor time of it, the database's too"
            figures.append(Figure(f"pages.{page.name}_cpu_ms", told, cpu, "ms"))
    rounded = {name: [round(one, 2) for one in taken] for name, taken in samples.items()}
    sink = f"one browser at a time, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return Report("pages", figures, alerts, sink, samples=rounded)


async def measure(pool: Pool, directory: Path, asked: int, only: str = "") -> Report:
    """Measure every page of a filled database, or those whose name begins with `only`."""
    async with pool.acquire() as conn:
        alerts = await conn.fetchval("SELECT count(*) FROM alert")
        names = await _places(conn, datetime.now(UTC))
    async with console(pool, directory) as running:
        for page in _PAGES:
            if page.name.startswith(only):
                path = page.path.format_map(names)
                await running.measure(replace(page, path=path), asked)
        report = _report(running, alerts)
        if running.failed:
            report.show()
            raise RuntimeError("; ".join(running.failed))
        return report


async def _measure(given: argparse.Namespace) -> Report:
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(fresh_data_dir())
        url = given.database
        if url is None:
            postgres = start_postgres(directory)
            stack.callback(postgres.stop)
            url = postgres.url
            await db.migrate(url)
        pool = await db.connect(url, application="bench")
        stack.push_async_callback(pool.close)
        if given.database is None:
            say(f"writing {given.alerts} alerts: some minutes for 100,000")
            await fill(pool, datetime.now(UTC), given.alerts)
        return await measure(pool, directory, given.asked, given.only)


def main() -> None:
    """Measure; raises RuntimeError when a page is not answered as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=ALERTS, metavar="N")
    parser.add_argument(
        "--asked", type=int, default=ASKED, metavar="N", help="times each page is asked by each"
    )
    parser.add_argument("--only", default="", metavar="NAME", help="pages whose name begins so")
    parser.add_argument("--database", metavar="URL", help="one that was filled before")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("error")

    async def measured(_: object) -> None:
        (await _measure(given)).show()

    runner.run(measured)


if __name__ == "__main__":
    main()
