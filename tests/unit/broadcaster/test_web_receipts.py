"""What apps say of messages on their phones: several at once, forward only, safe to repeat."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from broadcaster.db import Pool
from broadcaster.fanout import direct, letters
from broadcaster.people import claims, endpoints
from broadcaster.people.endpoints import Address
from broadcaster.settings import Settings
from broadcaster.web.api.receipts import MOST
from tests.unit.broadcaster.city import delivered
from tests.unit.broadcaster.site import NOW, Site, publish, running

MINE, OTHER = "fid:" + "a" * 22, "fid:" + "b" * 22


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def _phone(site: Site, address: str) -> tuple[dict[str, str], int]:
    """The header of somebody with this phone, and the phone's endpoint."""
    async with site.pool.acquire() as conn:
        person_id = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
        )
        made = await endpoints.ensure_active(conn, site.keyring, NOW, [Address("push", address)])
        endpoint_id = made[Address("push", address)]
        await endpoints.link(conn, NOW, [(person_id, endpoint_id)])
        token = await claims.issue_token(conn, site.keyring, NOW, person_id)
    return {"Authorization": f"Bearer {token}"}, endpoint_id


async def _sent(site: Site, alert_id: int, *endpoint_ids: int) -> None:
    async with site.pool.acquire() as conn:
        for endpoint_id in endpoint_ids:
            await delivered(conn, alert_id, endpoint_id, "push")
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off) VALUES ($1, 'push', $2)",
            alert_id, len(endpoint_ids),
        )  # fmt: skip


async def _message(site: Site, endpoint_id: int, state: str = "handed_off") -> tuple[int, str]:
    async with site.pool.acquire() as conn:
        message_id = await direct.enqueue(
            conn, NOW, endpoint_id=endpoint_id, channel="push", purpose="acknowledgement",
            content={"title": "a", "body": "b"}, expires=NOW + timedelta(hours=1),
        )  # fmt: skip
        assert message_id is not None
        await conn.execute(
            "UPDATE direct_message SET state = $2 WHERE message_id = $1", message_id, state
        )
    return message_id, direct.token_of(site.keyring, message_id)


async def _say(site: Site, who: dict[str, str], *told: dict[str, str], **more: Any) -> int:
    answer = await site.client.post(
        "/api/v1/receipts", json={"receipts": list(told), **more}, headers=who
    )
    assert answer.status == 202, await answer.text()
    return int((await answer.json())["booked"])


async def test_alerts_follow_ups_and_messages_are_told_of_at_once_and_once(site: Site) -> None:
    first = await publish(site)
    update = await publish(site, kind="update", before=first)
    who, mine = await _phone(site, MINE)
    _, other = await _phone(site, OTHER)
    await _sent(site, first.alert_id, mine, other)
    await _sent(site, update.alert_id, mine)
    _, token = await _message(site, mine)
    _, foreign = await _message(site, other)
    told = [
        {"alert": first.code, "news": "received"},
        {"alert": update.code, "news": "opened"},
        {"message": token, "news": "received"},
        {"message": foreign, "news": "opened"},
        {"alert": "HN-2000-0101-001", "news": "opened"},
        {"message": "x" * 26, "news": "opened"},
    ]
    assert await _say(site, who, *told) == 3
    assert await _say(site, who, *told) == 0
    states = await site.pool.fetch(
        "SELECT state::text FROM delivery ORDER BY alert_id, endpoint_id"
    )
    assert [row["state"] for row in states] == ["confirmed", "handed_off", "seen"]
    rows = await site.pool.fetch("SELECT state::text FROM direct_message ORDER BY message_id")
    assert [row["state"] for row in rows] == ["confirmed", "handed_off"]
    counts = await site.pool.fetch("SELECT handed_off, confirmed, seen FROM progress ORDER BY 1")
    assert [tuple(row) for row in counts] == [(0, 0, 1), (1, 1, 0)]


async def test_whatever_the_order_the_furthest_stands(site: Site) -> None:
    alert = await publish(site)
    who, mine = await _phone(site, MINE)
    await _sent(site, alert.alert_id, mine)
    message_id, token = await _message(site, mine)
    told = [
        {kind: name, "news": news}
        for kind, name in (("alert", alert.code), ("message", token))
        for news in ("received", "opened", "received")
    ]
    random.Random(7).shuffle(told)
    for one in told:
        await _say(site, who, one)
    assert await site.pool.fetchval("SELECT state::text FROM delivery") == "seen"
    assert await site.pool.fetchval("SELECT state::text FROM direct_message") == "seen"
    # Both in one request count once.
    second, token = await _message(site, mine)
    assert second != message_id
    both = [{"message": token, "news": news} for news in ("opened", "received")]
    assert await _say(site, who, *both) == 1


@pytest.mark.parametrize("state", ["failed", "expired", "stopped"])
async def test_what_comes_too_late_changes_nothing(site: Site, state: str) -> None:
    alert = await publish(site)
    who, mine = await _phone(site, MINE)
    _, token = await _message(site, mine, state)
    async with site.pool.acquire() as conn:
        await delivered(conn, alert.alert_id, mine, "push", state)
    site.later(hours=48)
    told = [{"alert": alert.code, "news": "opened"}, {"message": token, "news": "opened"}]
    assert await _say(site, who, *told) == 0
    assert await site.pool.fetchval("SELECT state::text FROM direct_message") == state


async def test_a_phone_that_has_it_is_no_dead_letter(site: Site) -> None:
    who, mine = await _phone(site, MINE)
    message_id, token = await _message(site, mine, "unknown")
    async with site.pool.acquire() as conn:
        await letters.book_message(conn, NOW, message_id)
    assert await _say(site, who, {"message": token, "news": "received"}, address=OTHER) == 0
    assert await site.pool.fetchval("SELECT count(*) FROM dead_letter") == 1
    assert await _say(site, who, {"message": token, "news": "received"}, address=MINE) == 1
    assert await site.pool.fetchval("SELECT count(*) FROM dead_letter") == 0


@pytest.mark.parametrize(
    "told",
    [
        [],
        [{"news": "opened"}],
        [{"alert": "A", "message": "b", "news": "opened"}],
        [{"alert": "A", "news": "read"}],
        [{"alert": "A", "news": "opened"}] * (MOST + 1),
    ],
)
async def test_what_cannot_be_read_is_refused_whole(site: Site, told: list[Any]) -> None:
    who, _ = await _phone(site, MINE)
    answer = await site.client.post("/api/v1/receipts", json={"receipts": told}, headers=who)
    assert answer.status == 422
    assert (await answer.json())["problems"]
    nobody = await site.client.post("/api/v1/receipts", json={"receipts": told})
    assert nobody.status == 401
