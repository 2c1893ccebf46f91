"""The page of an alert kept up by a stream: what changed, once, whoever and however many look."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse

from broadcaster.alerts import approval, escalation, lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.states import AlertState
from broadcaster.web.console import watching
from broadcaster.web.console.watching import STREAMS, Streams
from tests.unit.broadcaster.desk import Desk
from tests.unit.broadcaster.site import Site, publish, written

WITHIN_S = 10.0


class Heard:
    """One stream, event by event."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer
        self.marks = ""

    async def look(self) -> dict[str, Any]:
        """Return the next look; its marks are kept."""
        return json.loads((await self.event("look"))["data"])  # type: ignore[no-any-return]

    async def until(self, piece: str) -> str:
        """Return a piece once a look brings it."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = (await self.look()).get("pieces", {}).get(piece)
                if found is not None:
                    return str(found)

    async def event(self, kind: str) -> dict[str, str]:
        """Return the next event of a kind; raises EOFError at the stream's end."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                fields = {}
                while line := (await self.answer.content.readline()).decode():
                    if line == "\n":
                        break
                    name, _colon, value = line.rstrip("\n").partition(": ")
                    fields[name] = value
                else:
                    raise EOFError
                self.marks = fields.get("id", self.marks)
                if fields.get("event") == kind:
                    return fields


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_EVERY", 0.05)
    monkeypatch.setattr(watching, "_SELDOM", 0.05)
    monkeypatch.setattr(watching, "_ANSWERS_KEEP", 0.0)


@asynccontextmanager
async def following(desk: Desk, alert: Alert, have: str = "", **options: Any) -> AsyncIterator[Any]:
    answer = await desk.get(
        f"/console/alerts/{alert.code}/stream", params={"have": have}, **options
    )
    try:
        yield Heard(answer)
    finally:
        answer.close()


async def have_of(desk: Desk, alert: Alert) -> str:
    page = await desk.text(f"/console/alerts/{alert.code}")
    found = re.search(r'name="have" value="([^"]+)"', page)
    assert found
    return found[1]


async def handed_off(site: Site, alert: Alert, count: int) -> None:
    await site.pool.execute(
        "INSERT INTO progress AS p (alert_id, channel, handed_off, pending)"
        " VALUES ($1, 'sms', $2, 100) ON CONFLICT (alert_id, channel)"
        " DO UPDATE SET handed_off = excluded.handed_off",
        alert.alert_id,
        count,
    )


async def submitted(site: Site) -> Alert:
    async with site.pool.acquire() as conn:
        made = await written(site, conn)
        return await approval.submit(conn, site.author, site.now, made.alert_id, made.version)


def streams_of(site: Site) -> Streams:
    app = site.client.app
    assert app is not None
    return app[STREAMS]


async def gone(site: Site) -> None:
    """Wait until nobody is followed any more."""
    streams = streams_of(site)
    async with asyncio.timeout(WITHIN_S):
        while streams.followed or streams.open:
            await asyncio.sleep(0.05)


async def test_what_changes_comes_by_itself_and_what_the_page_has_does_not(
    city: Site, author: Desk
) -> None:
    alert = await publish(city)
    await handed_off(city, alert, 10)
    async with following(author, alert, await have_of(author, alert)) as heard:
        assert heard.answer.headers["Content-Type"].startswith("text/event-stream")
        assert heard.answer.headers["X-Accel-Buffering"] == "no"
        assert heard.answer.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in heard.answer.headers
        first = await heard.look()
        assert set(first["pieces"]) == {"figures"}
        assert first["moving"] is True
        assert "pieces" not in await heard.look()
        await handed_off(city, alert, 77)
        assert "77" in await heard.until("channels")


async def test_who_comes_back_gets_what_they_missed_and_nothing_twice(
    city: Site, author: Desk
) -> None:
    alert = await publish(city)
    await handed_off(city, alert, 10)
    async with following(author, alert) as heard:
        first = await heard.look()
        assert {"figures", "channels", "communes", "replies", "timeline"} <= set(first["pieces"])
        assert "plot" in first
        marks = heard.marks
    await handed_off(city, alert, 55)
    async with following(author, alert, headers={"Last-Event-ID": marks}) as heard:
        missed = await heard.look()
        assert set(missed["pieces"]) == {"channels", "figures"}
        assert "plot" not in missed
    await gone(city)


async def test_any_number_of_readers_cost_the_database_as_much_as_one(
    city: Site, author: Desk, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = await publish(city)
    monkeypatch.setattr(watching, "MOST_EACH", 100)

    async def questions(readers: int) -> float:
        async with AsyncExitStack() as stack:
            heard = [
                await stack.enter_async_context(following(author, alert)) for _ in range(readers)
            ]
            await asyncio.gather(*(one.look() for one in heard))
            asked.clear()
            looks = 0
            for _ in range(4):
                await asyncio.gather(*(one.look() for one in heard))
                looks += 1
            return len(asked) / looks

    one, many = await questions(1), await questions(12)
    await gone(city)
    assert 0 < many <= 1.5 * one


async def test_each_language_has_its_own_words(city: Site, author: Desk) -> None:
    alert = await publish(city)
    async with (
        following(author, alert, cookies={"lang": "vi"}) as vi,
        following(author, alert, cookies={"lang": "en"}) as en,
    ):
        assert "Đang phát" in await vi.until("figures")
        assert "Sending" in await en.until("figures")


async def test_the_asking_for_an_approval_is_followed(city: Site, author: Desk) -> None:
    alert = await submitted(city)
    async with following(author, alert, await have_of(author, alert)) as heard:
        assert (await heard.look())["seen"] == "submitted"
        await escalation.ask_due(city.pool, city.now, "https://example.invalid")
        assert city.approver.name in await heard.until("approval")
        async with city.pool.acquire() as conn:
            await approval.approve(conn, city.approver, city.now, alert.alert_id, alert.version)
        async with asyncio.timeout(WITHIN_S):
            while (await heard.look())["seen"] == "submitted":
                pass


async def test_the_stream_of_what_is_over_ends(city: Site, author: Desk) -> None:
    alert = await publish(city)
    async with following(author, alert) as heard:
        await heard.look()
        async with city.pool.acquire() as conn:
            await lifecycle.move(conn, city.now, alert.alert_id, AlertState.STOPPED)
        await heard.event("over")
        with pytest.raises(EOFError):
            await heard.event("look")
    await gone(city)


async def test_too_many_streams_are_refused_and_the_page_can_still_ask(
    city: Site, author: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = await publish(city)
    monkeypatch.setattr(watching, "MOST_EACH", 1)
    async with following(author, alert) as heard, following(author, alert) as refused:
        await heard.look()
        assert refused.answer.status == 503
        figures = await author.text("/metrics")
        assert "broadcaster_streams 1.0" in figures
        assert "broadcaster_watches 1.0" in figures
    await gone(city)
    async with following(author, alert) as heard:
        await heard.look()
    assert (await author.get(f"/console/alerts/{alert.code}/progress")).status == 200


async def test_nobody_follows_what_they_may_not_see(city: Site, author: Desk) -> None:
    alert = await publish(city)
    stranger = await city.client.get(
        f"/console/alerts/{alert.code}/stream", headers={"Accept": "application/json"}
    )
    assert stranger.status == 401
    answer = await author.get("/console/alerts/HN-2026-01-01-999/stream")
    assert answer.status == 404
    assert streams_of(city).followed == 0


async def test_a_server_that_stops_ends_its_streams(city: Site, author: Desk) -> None:
    alert = await publish(city)
    async with following(author, alert) as heard:
        await heard.look()
        await streams_of(city).close()
        with pytest.raises(EOFError):
            await heard.event("none")
        async with following(author, alert) as refused:
            assert refused.answer.status == 503
