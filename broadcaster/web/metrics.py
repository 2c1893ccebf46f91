"""What there is to measure, for Prometheus.

Figures are read from PostgreSQL when they are asked for, so any web process gives those of the
whole service, and none has to be told what the others did. Nothing here reads deliveries: what is
asked every few seconds costs the same whatever was sent. Names and rules: docs/operations.md.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any

import asyncpg
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from broadcaster.db import Conn
from broadcaster.errors import NotAllowed
from broadcaster.fanout import alarms, timings
from broadcaster.fanout.alarms import What
from broadcaster.fanout.progress import TIMES
from broadcaster.fanout.watch import LANES
from broadcaster.web.console.watching import STREAMS, Streams
from broadcaster.web.keys import CLOCK, POOL, SETTINGS
from broadcaster.web.security import program

routes = web.RouteTableDef()
_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900)
_WINDOW = timedelta(hours=24)
_ROLES = ("send", "clock", "intake")
_PROVIDER_STATES = ("ready", "paused", "broken", "off")

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
UNION ALL SELECT 'messages', extract(epoch FROM $1 - min(not_before))::float FROM direct_message
WHERE state = 'pending' AND expires > $1
"""
_PROVIDERS = """
SELECT channel::text AS channel, name, account, CASE WHEN switch = 'off' THEN 'off'
    WHEN paused_until > $1 THEN 'paused' WHEN breaker <> 'closed' THEN 'broken'
    ELSE 'ready' END AS state
FROM provider ORDER BY provider_id
"""
_WAITS = """
SELECT p.channel::text AS channel, p.name, p.account, w.lane, w.waits, w.seconds
FROM limiter_wait w JOIN provider p USING (provider_id) ORDER BY provider_id, lane
"""
_GIVEN_UP = "SELECT count(*) FROM receipt_raw WHERE unknown_at > $1"


def add_to(app: web.Application) -> None:
    """Add the address."""
    app.add_routes(routes)


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
    return [
        _build(),
        *_queues(await conn.fetch(_QUEUES, now), await conn.fetch(_BACKLOGS, now)),
        *await _deliveries(conn, now),
        *await _providers(conn, now),
        *await _state_of_the_service(conn, now),
        *_streams(request.app[STREAMS]),
    ]


def _streams(streams: Streams) -> list[Metric]:
    return [
        _gauge("broadcaster_streams", "Pages kept up by this process", (), [(streams.open,)]),
        _gauge("broadcaster_watches", "Alerts they follow", (), [(streams.followed,)]),
    ]


def _queues(queues: Sequence[asyncpg.Record], backlogs: Sequence[asyncpg.Record]) -> list[Metric]:
    def by_lane(figure: str) -> list[tuple[Any, ...]]:
        return [(r["channel"], LANES[r["lane"]], max(0.0, r[figure])) for r in queues]

    return [
        _gauge(
            "broadcaster_queue_age_seconds",
            "Age of the oldest batch that is not done",
            ("channel", "lane"),
            by_lane("age"),
        ),
        _gauge(
            "broadcaster_queue_batches",
            "Batches that are not done",
            ("channel", "lane"),
            by_lane("batches"),
        ),
        _gauge(
            "broadcaster_backlog_age_seconds",
            "Age of the oldest row that waits: orders, messages in and out, receipts",
            ("queue",),
            [(r["queue"], max(0.0, r["age"] or 0.0)) for r in backlogs],
        ),
    ]


async def _deliveries(conn: Conn, now: datetime) -> list[Metric]:
    return [
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
        *_timings(await timings.histograms(conn)),
        _gauge(
            "broadcaster_receipts_unclaimed_day",
            "Receipts of messages nobody knows, given up on in the last 24 hours",
            (),
            [(await conn.fetchval(_GIVEN_UP, now - _WINDOW),)],
        ),
    ]


async def _providers(conn: Conn, now: datetime) -> list[Metric]:
    labels = ("channel", "provider", "account")
    states = [
        (row["channel"], row["name"], row["account"], state, state == row["state"])
        for row in await conn.fetch(_PROVIDERS, now)
        for state in _PROVIDER_STATES
    ]
    waits = [
        ((row["channel"], row["name"], row["account"], LANES[row["lane"]]), row)
        for row in await conn.fetch(_WAITS)
    ]
    return [
        _gauge(
            "broadcaster_provider_state",
            "1 for the state a provider account is in",
            (*labels, "state"),
            states,
        ),
        _counter(
            "broadcaster_limiter_waits",
            "How often messages waited for the limits of an account",
            (*labels, "lane"),
            [(*values, row["waits"]) for values, row in waits],
        ),
        _counter(
            "broadcaster_limiter_wait_seconds",
            "How long messages waited for the limits of an account",
            (*labels, "lane"),
            [(*values, row["seconds"]) for values, row in waits],
        ),
    ]


async def _state_of_the_service(conn: Conn, now: datetime) -> list[Metric]:
    alive = dict.fromkeys(_ROLES, 0)
    for row in await conn.fetch(
        "SELECT role, count(*) AS n FROM worker WHERE lease_until > $1 GROUP BY role", now
    ):
        alive[row["role"]] = row["n"]
    standing = [alarm.what for alarm in await alarms.standing(conn, now)]
    return [
        _gauge("broadcaster_workers", "Workers alive", ("role",), list(alive.items())),
        _gauge(
            "broadcaster_alarms",
            "Alarms that stand",
            ("what",),
            [(what.value, standing.count(what.value)) for what in What],
        ),
    ]


def _gauge(
    name: str, about: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for *values, figure in rows:
        family.add_metric(values, float(figure))
    return family


def _counter(
    name: str, about: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=labels)
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
    for lane, name in enumerate(LANES):
        took = [max(0.0, row["seconds"]) for row in rows if row["lane"] == lane]
        buckets = [(str(float(top)), sum(one <= top for one in took)) for top in _BUCKETS]
        family.add_metric([name], [*buckets, ("+Inf", len(took))], sum_value=sum(took))
    return family


def _timings(found: Sequence[timings.Histogram]) -> Iterator[HistogramMetricFamily]:
    bounds = [*(str(top) for top in TIMES), "+Inf"]
    for what, about in (
        ("handed_off", "From writing a delivery to its hand-off"),
        ("confirmed", "From writing a delivery to its confirmation by the phone"),
    ):
        family = HistogramMetricFamily(
            f"broadcaster_delivery_{what}_seconds", about, labels=("channel", "lane")
        )
        for one in (one for one in found if one.what == what):
            whole, buckets = 0, []
            for bound, count in zip(bounds, one.counts, strict=True):
                whole += count
                buckets.append((bound, whole))
            family.add_metric([one.channel, LANES[one.lane]], buckets, sum_value=one.seconds)
        yield family
