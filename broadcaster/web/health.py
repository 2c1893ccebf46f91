"""Whether this process lives, whether it can serve, and what there is to measure.

Figures are read from PostgreSQL when they are asked for, so any web process gives those of the
whole service, and none has to be told what the others did.
"""

from __future__ import annotations

import asyncio
import hmac
import platform
from collections.abc import Iterator
from datetime import timedelta
from importlib import metadata
from typing import Any

import asyncpg
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from broadcaster.db import Conn
from broadcaster.errors import NotAllowed
from broadcaster.web.keys import CLOCK, POOL, SETTINGS
from broadcaster.web.security import program

routes = web.RouteTableDef()
_PATIENCE = 2.0
_LANES = ("emergency", "warning", "routine")
_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900)
_WINDOW = timedelta(hours=24)

_QUEUES = """
SELECT b.channel::text AS channel, a.lane, count(*) AS batches,
    extract(epoch FROM $1 - min(b.not_before))::float AS age
FROM batch b JOIN alert a USING (alert_id) WHERE b.state <> 'done' GROUP BY 1, 2
"""
# From approval, or from the moment it was scheduled for, to the first hand-off.
_FIRST_HANDOFF = """
SELECT lane, extract(epoch FROM first_handoff_at
    - greatest(approved_at, coalesce(scheduled_for, approved_at)))::float AS seconds
FROM alert WHERE first_handoff_at > $1 AND approved_at IS NOT NULL
"""
_DELIVERIES = """
SELECT p.channel::text AS channel, sum(p.pending) AS pending, sum(p.handed_off) AS handed_off,
    sum(p.confirmed) AS confirmed, sum(p.seen) AS seen, sum(p.failed) AS failed,
    sum(p.expired) AS expired, sum(p.stopped) AS stopped, sum(p.unknown) AS unknown
FROM progress p JOIN alert a USING (alert_id) WHERE a.started_at > $1 GROUP BY 1
"""
_BACKLOGS = """
SELECT 'outbox' AS queue, extract(epoch FROM $1 - min(created_at))::float AS age FROM outbox
WHERE done_at IS NULL
UNION ALL SELECT 'inbound', extract(epoch FROM $1 - min(received_at))::float FROM inbound_raw
WHERE handled_at IS NULL
UNION ALL SELECT 'receipts', extract(epoch FROM $1 - min(received_at))::float FROM receipt_raw
WHERE joined_at IS NULL AND unknown_at IS NULL
"""


def add_to(app: web.Application) -> None:
    """Add the three addresses."""
    app.add_routes(routes)


@routes.get("/healthz")
@program
async def alive(request: web.Request) -> web.StreamResponse:
    """Say that this process answers; touches nothing else."""
    return web.json_response({"status": "alive"}, headers={"Cache-Control": "no-store"})


@routes.get("/readyz")
@program
async def ready(request: web.Request) -> web.StreamResponse:
    """Say whether this process can serve: it needs the database, and nothing else."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await request.app[POOL].fetchval("SELECT 1 FROM migration LIMIT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        answer, status = {"status": "waiting", "database": "away"}, 503
    else:
        answer, status = {"status": "ready", "database": "ok"}, 200
    return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})


@routes.get("/metrics")
@program
async def metrics(request: web.Request) -> web.StreamResponse:
    """Return the figures for Prometheus; with the token, where one is set."""
    wanted = request.app[SETTINGS].metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if wanted and not hmac.compare_digest(given.encode(), wanted.encode()):
        raise NotAllowed("token", "Thiếu hoặc sai mã truy cập số liệu.", "The token does not fit.")
    async with request.app[POOL].acquire() as conn:
        families = await _gather(conn, request)
    registry = CollectorRegistry()
    registry.register(_Once(families))
    return web.Response(
        body=generate_latest(registry),
        headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
    )


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


async def _gather(conn: Conn, request: web.Request) -> list[Metric]:
    now = request.app[CLOCK]()
    queues = await conn.fetch(_QUEUES, now)
    return [
        _build(),
        _gauge(
            "broadcaster_queue_age_seconds",
            "Age of the oldest batch that is not done",
            ("channel", "lane"),
            [(r["channel"], _LANES[r["lane"]], max(0.0, r["age"])) for r in queues],
        ),
        _gauge(
            "broadcaster_queue_batches",
            "Batches that are not done",
            ("channel", "lane"),
            [(r["channel"], _LANES[r["lane"]], r["batches"]) for r in queues],
        ),
        _gauge(
            "broadcaster_backlog_age_seconds",
            "Age of the oldest row that waits: orders, messages that came in, receipts",
            ("queue",),
            [(r["queue"], max(0.0, r["age"] or 0.0)) for r in await conn.fetch(_BACKLOGS, now)],
        ),
        _gauge(
            "broadcaster_deliveries_day",
            "Deliveries of alerts begun in the last 24 hours",
            ("channel", "state"),
            [
                (row["channel"], state, row[state])
                for row in await conn.fetch(_DELIVERIES, now - _WINDOW)
                for state in list(row.keys())[1:]
            ],
        ),
        _first_handoffs(await conn.fetch(_FIRST_HANDOFF, now - _WINDOW)),
        _gauge("broadcaster_workers", "Workers alive", ("role",), await _workers(conn, request)),
    ]


async def _workers(conn: Conn, request: web.Request) -> list[tuple[Any, ...]]:
    rows = await conn.fetch(
        "SELECT role, count(*) AS n FROM worker WHERE lease_until > $1 GROUP BY role",
        request.app[CLOCK](),
    )
    return [(row["role"], row["n"]) for row in rows]


def _gauge(
    name: str, about: str, labels: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for *values, figure in rows:
        family.add_metric(values, float(figure))
    return family


def _build() -> GaugeMetricFamily:
    version = metadata.version("hanoi-alert-broadcaster") if _installed() else "source"
    return _gauge(
        "broadcaster_build_info",
        "What runs here",
        ("version", "python"),
        [(version, platform.python_version(), 1)],
    )


def _installed() -> bool:
    return any(metadata.distributions(name="hanoi-alert-broadcaster"))


def _first_handoffs(rows: list[asyncpg.Record]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "broadcaster_first_handoff_seconds",
        "From approval to the first hand-off, alerts of the last 24 hours",
        labels=("lane",),
    )
    for lane, name in enumerate(_LANES):
        took = [max(0.0, row["seconds"]) for row in rows if row["lane"] == lane]
        buckets = [(str(float(top)), sum(one <= top for one in took)) for top in _BUCKETS]
        family.add_metric([name], [*buckets, ("+Inf", len(took))], sum_value=sum(took))
    return family
