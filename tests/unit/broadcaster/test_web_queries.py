"""How many questions a screen asks the database: few, and no more for a longer list."""

from __future__ import annotations

from broadcaster.alerts import approval
from tests.unit.broadcaster.desk import Desk
from tests.unit.broadcaster.site import Site, publish, written


async def count(site: Site, desk: Desk, asked: list[str], path: str) -> int:
    """Return how many a second look at a page takes, when nothing of a moment ago is kept."""
    await desk.text(path)
    site.later(minutes=1)
    asked.clear()
    await desk.text(path)
    return len(asked)


async def submitted(site: Site) -> str:
    async with site.pool.acquire() as conn:
        made = await written(site, conn)
        await approval.submit(conn, site.author, site.now, made.alert_id, made.version)
        return made.code


async def test_compose_asks_each_thing_once(city: Site, author: Desk, asked: list[str]) -> None:
    async with city.pool.acquire() as conn:
        code = (await written(city, conn)).code
    assert await count(city, author, asked, f"/console/alerts/{code}/edit") <= 33
    for table in ("provider_health", "channel_policy p", "FROM template ", "alert_comment"):
        assert sum(table in question for question in asked) <= 1


async def test_review_asks_each_thing_once(city: Site, approver: Desk, asked: list[str]) -> None:
    code = await submitted(city)
    assert await count(city, approver, asked, f"/console/alerts/{code}/review") <= 37
    for table in ("provider_health", "channel_policy p", "FROM template "):
        assert sum(table in question for question in asked) <= 1


async def test_a_longer_list_takes_no_more_questions(
    city: Site, approver: Desk, asked: list[str]
) -> None:
    pages = ("/console", "/console/alerts")
    await publish(city)
    await submitted(city)
    few = [await count(city, approver, asked, page) for page in pages]
    for _ in range(2):
        await publish(city)
        await submitted(city)
    many = [await count(city, approver, asked, page) for page in pages]
    assert many == few
    assert max(many) <= 24
