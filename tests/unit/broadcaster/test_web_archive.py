"""The archive's page: terms in the address, what they find, what to change, and the file."""

from __future__ import annotations

import csv
import io

import pytest

from broadcaster.alerts import draft
from broadcaster.alerts.content import parse
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site
from tests.unit.broadcaster.test_archive import content


@pytest.fixture
async def archive(author: Desk, city: Site) -> Desk:
    """Three alerts of the city, one of them with a formula for a title."""
    async with city.pool.acquire() as conn:
        unit = await unit_id(conn, "01")
        for headline, code in (("Bão số 3", BA_DINH), ("Ngập sâu", NGOC_HA), ("=1+1", BA_DINH)):
            document = parse(content(headline, code))
            await draft.create(conn, city.author, city.now, document, unit)
    return author


async def test_terms_stand_in_the_address_and_in_the_form(archive: Desk) -> None:
    page = await archive.text(f"/console/alerts?q=bao+so+3&place={BA_DINH}&state=work")
    assert "Bão số 3" in page
    assert "Ngập sâu" not in page
    assert "1 tin, mới nhất trước" in page
    assert 'value="bao so 3"' in page
    assert f'<option value="{BA_DINH}" selected>' in page
    # Each term can be taken out by itself.
    assert f'href="/console/alerts?place={BA_DINH}&amp;state=work"' in page


async def test_nothing_found_says_which_term_to_leave_out(archive: Desk) -> None:
    page = await archive.text(f"/console/alerts?q=bao&place={NGOC_HA}&class=emergency")
    assert "Không có tin nào khớp mọi điều kiện" in page
    assert "Bỏ “bao” cũng không có tin nào" in page
    page = await archive.text(f"/console/alerts?q=bao&place={NGOC_HA}")
    assert f'<a href="/console/alerts?place={NGOC_HA}">Tìm không cần “bao”</a>: 1 tin' in page
    assert '<a href="/console/alerts?q=bao">' in page


@pytest.mark.parametrize("query", ["q=%3F", "place=99999", "from=x", "class=x", "state=x"])
async def test_a_wrong_term_is_named_and_the_form_kept(archive: Desk, query: str) -> None:
    answer = await archive.get(f"/console/alerts?{query}&official=lan")
    page = await answer.text()
    assert answer.status == 422
    assert 'id="wrong"' in page
    assert 'aria-invalid="true"' in page
    assert 'value="lan"' in page
    assert "Ngập sâu" not in page


async def test_a_page_that_never_was(archive: Desk) -> None:
    for after in ("9" * 23, "²", "-1", "x"):
        assert (await archive.get(f"/console/alerts?after={after}")).status == 404
    assert "Bão số 3" in await archive.text("/console/alerts?after=")


async def test_the_file_holds_what_was_found_and_no_formula(archive: Desk) -> None:
    answer = await archive.get(f"/console/alerts.csv?place={BA_DINH}")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO((await answer.text()).lstrip("\ufeff"))))
    assert [row["title"] for row in rows] == ["'=1+1", "Bão số 3"]
    assert {row["state"] for row in rows} == {"draft"}
    assert (await archive.get("/console/alerts.csv?class=x")).status == 422


async def test_the_page_keeps_to_the_officials_reach(archive: Desk, city: Site) -> None:
    async with Seat(city, "lan") as signed:
        commune = await signed
        assert "Chưa có tin nào" in await commune.text("/console/alerts")
        assert (await (await commune.get("/console/alerts.csv")).text()).count("\n") == 1


async def test_pages_are_turned_by_the_line_before(archive: Desk, city: Site) -> None:
    async with city.pool.acquire() as conn:
        unit = await unit_id(conn, "01")
        for number in range(60):
            document = parse(content(f"tin {number}"))
            await draft.create(conn, city.author, city.now, document, unit)
    page = await archive.text("/console/alerts?q=tin")
    assert "60 tin" in page
    assert ">tin 59<" in page
    assert ">tin 29<" not in page
    link = page.split('class="end" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "q=tin" in link
    older = await archive.text(link)
    assert ">tin 29<" in older
    assert ">tin 30<" not in older
    assert "Tin mới nhất" in older
