"""The archive: what is found by which terms, page by page, by whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import archive_search, draft, search_index
from broadcaster.alerts.archive_search import find, scope_of
from broadcaster.alerts.archive_terms import Terms, query_of, read_terms
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.errors import NotFound, Refused
from broadcaster.people.officials import Actor, Role
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.desk import VINTAGE
from tests.unit.broadcaster.site import NOW

CITY = "01"


def content(
    headline: str, *codes: str, event: str = "storm", alert_class: str = "warning", **more: Any
) -> dict[str, Any]:
    """A draft that says no more than its headline, for units by their codes."""
    return {
        "event": event,
        "class": alert_class,
        "wording": {"vi": {"page": {"headline": headline}}},
        "area": {"units": [{"code": code, "vintage": VINTAGE} for code in codes]},
        "expires": (NOW + timedelta(hours=9)).isoformat(),
        **more,
    }


async def write(
    conn: Conn, author: Actor, document: dict[str, Any], unit: str = CITY, minutes: int = 0
) -> Alert:
    moment = NOW + timedelta(minutes=minutes)
    return await draft.create(conn, author, moment, parse(document), await unit_id(conn, unit))


@pytest.fixture
async def author(conn: Conn) -> Actor:
    return await official(conn, "ha", Role("author", await unit_id(conn, CITY)))


async def found(conn: Conn, actor: Actor, **terms: str) -> list[str]:
    """The headlines found, newest first; `from_` stands for `from`."""
    given = {name.rstrip("_"): value for name, value in terms.items()}
    scope, sought = await scope_of(conn, actor), await read_terms(conn, given)
    page = await find(conn, scope, NOW, sought)
    counted = await archive_search.count(conn, scope, NOW, sought)
    assert counted == len(page.alerts)
    both = await archive_search.find_and_count(conn, scope, NOW, sought, None, 50)
    assert both == (page, counted)
    return [alert.title for alert in page.alerts]


async def test_words_are_found_with_and_without_their_marks(conn: Conn, author: Actor) -> None:
    storm = await write(conn, author, content("Bão số 3: ở trong nhà"))
    await write(conn, author, content("Đóng đập, tránh đường Đê La Thành"))
    for typed in ("bao so 3", "BÃO SỐ 3", "bao số", "Bão 3 nhà", '"bao so 3"', "Bão số 3"):
        assert await found(conn, author, q=typed) == ["Bão số 3: ở trong nhà"], typed
    for typed in ("dong dap", "đê la thành", '"duong de"', "đong đap"):
        assert await found(conn, author, q=typed) == ["Đóng đập, tránh đường Đê La Thành"], typed
    assert await found(conn, author, q='"so bao"') == []
    assert await found(conn, author, q="bao -nha") == []
    assert await found(conn, author, q="bao -lut") == ["Bão số 3: ở trong nhà"]
    for typed in (storm.code, storm.code.lower(), storm.code.removeprefix("HN-")):
        assert await found(conn, author, q=typed) == ["Bão số 3: ở trong nhà"], typed


@given(st.text(max_size=60))
async def test_no_text_that_is_typed_is_an_error(text: str) -> None:
    words = query_of(text)
    assert all(character.isascii() for character in words)


async def test_whatever_is_typed_is_a_query_the_database_reads(conn: Conn) -> None:
    typed = ("a:*", "'", '"', "!!", "(a | b)", "a & ! b", "<->", "\\", "⑴ ½ ﬁ", "--", '-"a b"', "đ")
    for text in typed:
        await conn.fetchval("SELECT to_tsquery('pg_catalog.simple', $1)", query_of(text))


async def test_every_word_of_an_alert_finds_it(conn: Conn, author: Actor) -> None:
    headline = "Sơ tán khu ngoài đê trước 06:00 10/09, gọi 1022: ngập 0,5 m (Ễnh Ương)"
    await write(conn, author, content(headline))
    for word in [*headline.split(), headline]:
        assert await found(conn, author, q=word) == [headline], word


async def test_the_words_are_those_of_the_newest_version(conn: Conn, author: Actor) -> None:
    alert = await write(conn, author, content("Bão số 3"))
    await draft.save(conn, author, NOW, alert.alert_id, 1, parse(content("Bão số 4", BA_DINH)))
    assert await found(conn, author, q="bao so 3") == []
    assert await found(conn, author, q="bao so 4") == ["Bão số 4"]
    assert await found(conn, author, place=BA_DINH) == ["Bão số 4"]


async def test_a_place_is_found_by_what_holds_it_and_what_it_holds(
    conn: Conn, pool: Pool, units: UnitMap, author: Actor
) -> None:
    await write(conn, author, content("cả thành phố", CITY), minutes=1)
    await write(conn, author, content("Ba Đình", BA_DINH), minutes=2)
    await write(conn, author, content("Ngọc Hà", NGOC_HA), minutes=3)
    drawn = content("vòng tròn")
    centre = await conn.fetchrow("SELECT lon, lat FROM unit WHERE code = $1", BA_DINH)
    assert centre
    drawn["area"] = {"circles": [{**centre, "metres": 50}]}
    await write(conn, author, drawn, minutes=4)
    assert "vòng tròn" not in await found(conn, author, place=BA_DINH)
    assert await search_index.lay_drawn(pool, units) == 1
    assert await search_index.lay_drawn(pool, units) == 0
    assert await found(conn, author, place=BA_DINH) == ["vòng tròn", "Ba Đình", "cả thành phố"]
    assert await found(conn, author, place=NGOC_HA) == ["Ngọc Hà", "cả thành phố"]
    # The former district of Ba Đình.
    assert len(await found(conn, author, place="001")) == 4
    assert len(await found(conn, author, place=CITY)) == 4


async def test_an_alert_for_a_former_district_is_one_for_its_communes(
    conn: Conn, author: Actor
) -> None:
    await write(conn, author, content("quận cũ", area={"groups": ["001"]}))
    assert await found(conn, author, place=BA_DINH) == ["quận cũ"]
    assert await found(conn, author, place="001") == ["quận cũ"]
    assert await found(conn, author, place="271") == []


async def test_terms_are_combined(conn: Conn, author: Actor) -> None:
    await write(conn, author, content("Bão số 3", BA_DINH))
    await write(conn, author, content("Bão số 3, tin khẩn", BA_DINH, alert_class="emergency"))
    await write(conn, author, content("Cháy", BA_DINH, event="fire", alert_class="emergency"))
    await write(conn, author, content("Bão ở Ngọc Hà", NGOC_HA), unit=NGOC_HA)
    both = {"q": "bao", "place": BA_DINH}
    assert len(await found(conn, author, **both)) == 2
    urgent = await found(conn, author, **both, class_="emergency", state="work", event="storm")
    assert urgent == ["Bão số 3, tin khẩn"]
    assert await found(conn, author, **both, class_="emergency", state="sent") == []
    assert await found(conn, author, sender=NGOC_HA) == ["Bão ở Ngọc Hà"]
    assert len(await found(conn, author, sender=CITY, kind="alert", official="ha")) == 4
    assert await found(conn, author, kind="exercise") == []


async def test_days_are_those_of_the_city(conn: Conn, author: Actor) -> None:
    # 16:59 and 17:00 UTC lie on two sides of midnight in Hanoi.
    midnight = NOW.replace(hour=17, minute=0)
    for name, minutes in (("trước nửa đêm", -1), ("nửa đêm", 0)):
        moment = int((midnight - NOW) / timedelta(minutes=1)) + minutes
        await write(conn, author, content(name), minutes=moment)
    assert await found(conn, author, until="2026-09-09") == ["trước nửa đêm"]
    assert await found(conn, author, from_="2026-09-10") == ["nửa đêm"]
    assert len(await found(conn, author, from_="2026-09-09", until="2026-09-10")) == 2


async def test_an_official_is_found_by_a_part_of_the_name(conn: Conn, author: Actor) -> None:
    other = await official(conn, "dung", Role("author", await unit_id(conn, CITY)))
    await conn.execute("UPDATE official SET name = 'Phạm Văn Dũng' WHERE login = 'dung'")
    await write(conn, author, content("của Hà"))
    await write(conn, other, content("của Dũng"))
    for name in ("dung", "van dũng", "PHAM"):
        assert await found(conn, author, official=name) == ["của Dũng"], name
    assert await found(conn, author, official="không ai") == []


@pytest.mark.parametrize(
    "terms",
    [
        {"q": "!?"},
        {"q": "a" * 201},
        {"place": "99999"},
        {"sender": "x"},
        {"from": "10/09/2026"},
        {"until": "9999-12-31"},
        {"class": "loud"},
        {"state": "gone"},
        {"kind": "rumour"},
    ],
)
async def test_a_term_that_means_nothing_is_refused_by_its_name(
    conn: Conn, terms: dict[str, str]
) -> None:
    with pytest.raises(Refused) as refusal:
        await read_terms(conn, terms)
    assert [refusal.value.details["where"]] == list(terms)


async def test_pages_neither_repeat_nor_leave_out_while_alerts_come_in(
    conn: Conn, author: Actor
) -> None:
    for number in range(7):
        # Three share a moment: the second key has to part them.
        await write(conn, author, content(f"tin {number}"), minutes=min(number, 4))
    scope, after, seen = await scope_of(conn, author), None, []
    while True:
        page = await find(conn, scope, NOW, Terms(), after, limit=2)
        seen += [alert.title for alert in page.alerts]
        await write(conn, author, content("mới đến"), minutes=60)
        after = page.after
        if after is None:
            break
    assert seen == [f"tin {number}" for number in range(6, -1, -1)]


@pytest.mark.parametrize("after", ["", "x", "1", "1-2-3", "9" * 17 + "-1"])
async def test_a_cursor_of_nobody(conn: Conn, author: Actor, after: str) -> None:
    scope = await scope_of(conn, author)
    if after.startswith("9"):
        assert (await find(conn, scope, NOW, Terms(), after)).alerts == []
    else:
        with pytest.raises(NotFound):
            await find(conn, scope, NOW, Terms(), after)


async def test_nobody_finds_alerts_beyond_their_reach(conn: Conn, author: Actor) -> None:
    there = await official(conn, "la", Role("staff", await unit_id(conn, NGOC_HA)))
    await write(conn, author, content("của thành phố, cho Ngọc Hà", NGOC_HA))
    await write(conn, author, content("của Ngọc Hà", BA_DINH), unit=NGOC_HA)
    assert await found(conn, there) == ["của Ngọc Hà"]
    assert await found(conn, there, place=NGOC_HA) == []
    assert await found(conn, there, sender=CITY) == ["của Ngọc Hà"]
    nobody = await official(conn, "khong")
    assert await found(conn, nobody) == []


@pytest.mark.parametrize("looked_through", [3, 100])
async def test_words_that_many_alerts_have_are_found_as_any_others(
    conn: Conn, author: Actor, monkeypatch: pytest.MonkeyPatch, looked_through: int
) -> None:
    for number in range(9):
        event = "heat" if number % 3 else "storm"
        await write(conn, author, content(f"tin {number}", event=event), minutes=number)
    scope, sought = await scope_of(conn, author), Terms(words="tin", event="heat")
    pages: list[tuple[list[str], int]] = []
    for most in (archive_search.COUNTED, 2):
        monkeypatch.setattr(archive_search, "COUNTED", most)
        monkeypatch.setattr(archive_search, "_LOOKED_THROUGH", looked_through)
        after: str | None = None
        codes: list[str] = []
        while True:
            page, counted = await archive_search.find_and_count(conn, scope, NOW, sought, after, 2)
            codes += [one.code for one in page.alerts]
            if (after := page.after) is None:
                break
        pages.append((codes, min(counted, 3)))
    assert pages[0] == pages[1]
    assert len(pages[0][0]) == 6
