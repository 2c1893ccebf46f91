"""What Prometheus is told, in its own words: of the whole service, by any web process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broadcaster.db import Pool
from broadcaster.fanout import alarms, waits
from broadcaster.fanout.alarms import What
from broadcaster.fanout.waits import Wait
from broadcaster.settings import Settings
from tests.unit.broadcaster.site import NOW, Site, publish, running

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def _told(site: Site) -> Told:
    text = await (await site.client.get("/metrics")).text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _of(told: Told, name: str, **labels: str) -> float:
    return told[f"broadcaster_{name}", frozenset(labels.items())]


async def test_how_long_deliveries_took_by_channel_and_lane(site: Site) -> None:
    alert = await publish(site)
    await site.pool.execute(
        "INSERT INTO progress (alert_id, channel, handed_off, confirmed, handed_off_within,"
        " handed_off_seconds, confirmed_within, confirmed_seconds)"
        " VALUES ($1, 'push', 3, 2, '{3,1,NULL,1}', 6.5, '{0,2}', 1.75)",
        alert.alert_id,
    )
    await site.pool.execute(
        "INSERT INTO timing_total VALUES"
        " ('push', 1, 'handed_off', '{10,0,0,0,0,0,0,0,0,0,0,0,5}', 40000)"
    )
    told = await _told(site)
    where = {"channel": "push", "lane": "warning"}
    name = "delivery_handed_off_seconds"
    assert _of(told, f"{name}_bucket", **where, le="0.5") == 13
    assert _of(told, f"{name}_bucket", **where, le="1.0") == 14
    assert _of(told, f"{name}_bucket", **where, le="5.0") == 15
    assert _of(told, f"{name}_bucket", **where, le="3600.0") == 15
    assert _of(told, f"{name}_count", **where) == 20
    assert _of(told, f"{name}_sum", **where) == 40006.5
    assert _of(told, "delivery_confirmed_seconds_count", **where) == 2


async def test_providers_limits_workers_and_alarms(site: Site) -> None:
    account = {"channel": "push", "provider": "fcm", "account": "city"}
    provider_id = await site.pool.fetchval(
        "INSERT INTO provider (channel, name, account, paused_until)"
        " VALUES ('push', 'fcm', 'city', $1) RETURNING provider_id",
        NOW + timedelta(seconds=30),
    )
    async with site.pool.acquire() as conn:
        await waits.add(conn, [Wait(provider_id, 0, 4, 0.25)])
        await waits.add(conn, [Wait(provider_id, 0, 1, 0.25)])
        await alarms.raise_(conn, NOW - timedelta(hours=1), What.WORKERS_MISSING, "send")
    await site.pool.execute(
        "INSERT INTO worker (worker, role, started_at, lease_until)"
        " VALUES ('w', 'clock', $1, $2), ('dead', 'intake', $1, $1)",
        NOW - timedelta(minutes=1), NOW + timedelta(seconds=5),
    )  # fmt: skip
    told = await _told(site)
    assert _of(told, "provider_state", **account, state="paused") == 1
    assert _of(told, "provider_state", **account, state="ready") == 0
    assert _of(told, "limiter_waits_total", **account, lane="emergency") == 5
    assert _of(told, "limiter_wait_seconds_total", **account, lane="emergency") == 0.5
    assert [_of(told, "workers", role=role) for role in ("send", "clock", "intake")] == [0, 1, 0]
    assert _of(told, "alarms", what="workers_missing") == 1
    assert _of(told, "alarms", what="queue_old") == 0


async def test_receipts_nobody_claims_are_counted_for_a_day(site: Site) -> None:
    await site.pool.execute(
        "WITH p AS (INSERT INTO provider (channel, name, account) VALUES ('sms', 'smpp', 'x')"
        " RETURNING provider_id) INSERT INTO receipt_raw (provider_id, message_ids, news, raw_enc,"
        " received_at, unknown_at) SELECT provider_id, '{1}', 'confirmed', '', t, t"
        " FROM p, unnest($1::timestamptz[]) t",
        [NOW - timedelta(hours=hours) for hours in (1, 23, 25)],
    )
    assert _of(await _told(site), "receipts_unclaimed_day") == 2
