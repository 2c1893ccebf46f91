"""People whose unit was split are asked once, in the day, by a link that is good for one answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import NotFound, Refused
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people import asking, own_places, register
from broadcaster.people.asking import Candidate
from broadcaster.people.register import Place
from broadcaster.people.selection import Selector
from broadcaster.people.unit_import import import_units
from broadcaster.processes.clock import Stages
from broadcaster.settings import Settings
from tests.conftest import TEMPLATE
from tests.unit.broadcaster.city import NOW
from tests.unit.broadcaster.reform import AFTER, NEW, OLD, found_city, resident, unit, write
from tests.unit.broadcaster.site import Site, running

URL = "https://canhbao.hanoi.gov.vn"
SMS, MAIL, PUSH = ("sms", "+84912345678"), ("email", "a@hn.example"), ("push", "fid:abcdefgh123")
LINK = re.compile(rf"{URL}/places/([A-Za-z0-9_-]+)")
MONTH = timedelta(days=31)


@pytest.fixture
def template() -> str:
    return TEMPLATE


@pytest.fixture
async def city(conn: Conn, tmp_path: Path) -> None:
    await found_city(conn, tmp_path)


@pytest.fixture
async def split(conn: Conn, keyring: Keyring, city: None, tmp_path: Path) -> int:
    """Somebody of the former Ngọc Hà with a telephone, after the reform."""
    person_id = await resident(conn, keyring, Place(unit_code="00016"), SMS)
    await reform(conn, tmp_path)
    return person_id


async def reform(conn: Conn, folder: Path) -> None:
    await import_units(conn, None, NOW, write(folder / "after.geojson", AFTER), NEW)


async def ask(conn: Conn, keyring: Keyring, at: datetime = NOW) -> int:
    return await asking.ask_due(conn, keyring, at, URL)


async def messages(conn: Conn) -> list[tuple[str, str]]:
    """Channel and text of what was ordered, codes apart."""
    rows = await conn.fetch(
        "SELECT channel::text AS channel, content FROM direct_message WHERE purpose = 'follow_up'"
        " ORDER BY message_id"
    )
    return [(row["channel"], row["content"].get("text") or row["content"]["body"]) for row in rows]


async def link(conn: Conn) -> str:
    found = LINK.search((await messages(conn))[-1][1])
    assert found is not None
    return found[1]


async def standing(conn: Conn, person_id: int) -> tuple[str, int]:
    """The code of the home's unit, and how many candidates it still has."""
    row = await conn.fetchrow(
        "SELECT u.code, (SELECT count(*) FROM place_candidate c WHERE c.person_id = p.person_id)"
        " AS open FROM person_place p JOIN unit u USING (unit_id)"
        " WHERE person_id = $1 AND place_no = 0",
        person_id,
    )
    assert row is not None
    return row["code"], row["open"]


async def test_the_question_comes_once_and_again_after_a_month_three_times_at_all(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    asked = [await ask(conn, keyring, NOW + MONTH * n / 2) for n in range(10)]
    assert asked == [1, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    sent = await messages(conn)
    assert [channel for channel, _ in sent] == ["sms"] * 3
    assert len({text for _, text in sent}) == 3
    expires = await conn.fetchval(
        "SELECT min(expires) FROM direct_message WHERE purpose = 'follow_up'"
    )
    assert expires.astimezone(asking.CITY_TIME).hour == 22


async def test_an_sms_says_it_in_one_part(conn: Conn, keyring: Keyring, split: int) -> None:
    await ask(conn, keyring)
    [(_, text)] = await messages(conn)
    assert text.isascii()
    assert len(text) <= 160
    assert text.startswith("Phuong Ngoc Ha cu nay thuoc nhieu phuong, xa.")


@pytest.mark.parametrize(("hour", "asked"), [(6, 0), (7, 1), (19, 1), (20, 0), (23, 0), (2, 0)])
async def test_nobody_is_asked_at_night(
    conn: Conn, keyring: Keyring, split: int, hour: int, asked: int
) -> None:
    moment = NOW.astimezone(asking.CITY_TIME).replace(hour=hour) + timedelta(days=1)
    assert await ask(conn, keyring, moment) == asked


async def test_stop_is_obeyed_and_another_way_is_taken(
    conn: Conn, keyring: Keyring, city: None, tmp_path: Path
) -> None:
    await resident(conn, keyring, Place(unit_code="00016"), SMS)
    await resident(conn, keyring, Place(unit_code="00016"), ("sms", "+84912345679"), MAIL)
    await conn.execute("UPDATE endpoint SET follow_ups = false WHERE channel = 'sms'")
    await reform(conn, tmp_path)
    assert await ask(conn, keyring) == 1
    assert [channel for channel, _ in await messages(conn)] == ["email"]
    assert await ask(conn, keyring, NOW + timedelta(hours=1)) == 0
    # STOP may be taken back: who could not be asked is looked at again the next day.
    await conn.execute("UPDATE endpoint SET follow_ups = true")
    assert await ask(conn, keyring, NOW + timedelta(days=1)) == 1


async def test_unverified_and_retired_addresses_are_not_written_to(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    await conn.execute("UPDATE endpoint SET state = 'retired', retired_reason = 'unregistered'")
    assert await ask(conn, keyring) == 0


async def test_a_household_is_asked_about_one_person_a_day(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    second = await resident(conn, keyring, Place(unit_code="00008"), SMS)
    await conn.execute(
        "UPDATE person_place SET unit_id = $1 WHERE person_id = $2",
        await unit(conn, "00008", NEW), second,
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO place_candidate SELECT $1, place_no, unit_id FROM place_candidate", second
    )
    await asking.open_questions(
        conn, NOW, f"SELECT {second} AS person_id, place_no, former_id FROM place_question"
    )
    assert [await ask(conn, keyring, NOW + timedelta(hours=n)) for n in (0, 1, 25)] == [1, 0, 1]
    people = await conn.fetch("SELECT person_id FROM place_question WHERE asked_at IS NOT NULL")
    assert sorted(row["person_id"] for row in people) == [split, second]


async def test_a_warning_under_way_goes_first(conn: Conn, keyring: Keyring, split: int) -> None:
    await conn.execute(
        "INSERT INTO official (login, name, password_hash, created_at)"
        " VALUES ('a', 'a', '', now()), ('b', 'b', '', now())"
    )
    await conn.execute(
        "INSERT INTO alert (code, cap_identifier, class, lane, event, unit_id, author_id,"
        " created_at, updated_at, expires, state, approved_by, approved_at, approved_version)"
        " SELECT 'HN-1', 'urn:1', 'warning', 1, 'storm', $1, 1, now(), now(),"
        " now() + interval '1 hour', 'sending', 2, now(), 1",
        await unit(conn, "01", NEW),
    )
    assert await ask(conn, keyring) == 0
    await conn.execute("UPDATE alert SET state = 'sent'")
    assert await ask(conn, keyring) == 1


async def test_questions_are_asked_a_few_at_a_time(
    conn: Conn, keyring: Keyring, split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_WAITING", 1)
    assert await ask(conn, keyring) == 1
    await conn.execute("UPDATE place_question SET next_at = $1", NOW)
    later = NOW + timedelta(days=2)
    assert await ask(conn, keyring, later) == 0
    await conn.execute("UPDATE direct_message SET state = 'handed_off'")
    assert await ask(conn, keyring, later) == 1


async def test_an_answer_settles_and_an_import_does_not_undo_it(
    conn: Conn, keyring: Keyring, split: int, tmp_path: Path
) -> None:
    assert await standing(conn, split) == ("00008", 2)
    await ask(conn, keyring)
    token = await link(conn)
    question = await asking.find(conn, keyring, NOW, token)
    [place] = question.places
    assert (place.place_no, place.former_name) == (0, "Phường Ngọc Hà")
    assert place.candidates == (
        Candidate("00004", "Phường Ba Đình", "Ba Dinh Ward"),
        Candidate("00008", "Phường Ngọc Hà", "Ngoc Ha Ward"),
    )
    await asking.answer(conn, keyring, NOW, token, {0: "00004"})
    assert await standing(conn, split) == ("00004", 0)
    with pytest.raises(NotFound):
        await asking.answer(conn, keyring, NOW, token, {0: "00008"})
    await reform(conn, tmp_path)
    assert await standing(conn, split) == ("00004", 0)
    assert await ask(conn, keyring, NOW + MONTH) == 0


async def test_whoever_does_not_know_stays_under_all_and_is_asked_no_more(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    await ask(conn, keyring)
    await asking.answer(conn, keyring, NOW, await link(conn), {0: None})
    assert await standing(conn, split) == ("00008", 2)
    assert await standing(conn, split) == ("00008", 2)
    assert await ask(conn, keyring, NOW + MONTH) == 0


async def test_a_wrong_answer_is_refused_and_the_link_stays_good(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    await ask(conn, keyring)
    token = await link(conn)
    for chosen in ({}, {0: "00025"}, {1: "00004"}):
        with pytest.raises(Refused, match="Choose a place"):
            await asking.answer(conn, keyring, NOW, token, chosen)
    assert await standing(conn, split) == ("00008", 2)
    await asking.answer(conn, keyring, NOW, token, {0: "00008"})
    assert await standing(conn, split) == ("00008", 0)


async def test_a_link_ends_with_its_month_and_with_the_next_one(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    await ask(conn, keyring)
    first = await link(conn)
    stored = await conn.fetchval("SELECT token_hash FROM place_question")
    assert first.encode() not in stored
    with pytest.raises(NotFound):
        await asking.find(conn, keyring, NOW + MONTH, first)
    await ask(conn, keyring, NOW + MONTH)
    with pytest.raises(NotFound):
        await asking.find(conn, keyring, NOW + timedelta(days=1), first)
    assert await asking.find(conn, keyring, NOW + MONTH, await link(conn))


async def test_whoever_leaves_or_moves_is_asked_no_more(
    conn: Conn, keyring: Keyring, split: int
) -> None:
    await ask(conn, keyring)
    token = await link(conn)
    await register.leave(conn, NOW, split)
    with pytest.raises(NotFound):
        await asking.find(conn, keyring, NOW, token)
    assert await ask(conn, keyring, NOW + MONTH) == 0


async def test_the_clockwork_takes_stragglers_along_and_asks_them(
    conn: Conn, pool: Pool, keyring: Keyring, city: None, tmp_path: Path
) -> None:
    await reform(conn, tmp_path)
    late = await resident(conn, keyring, Place(unit_code="00008"), SMS)
    await conn.execute("UPDATE person_place SET unit_id = $1", await unit(conn, "00016", OLD))
    stages = Stages(pool, keyring, "hn.example", URL, Selector(), Waker(None)).table()
    ask_for_places, _ = stages["places"]
    assert await ask_for_places(NOW) == 1
    assert await standing(conn, late) == ("00008", 2)
    assert await ask_for_places(NOW) == 0


@pytest.fixture
async def site(settings: Settings, pool: Pool, split: int) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        await conn_ask(opened)
        yield opened


async def conn_ask(site: Site) -> None:
    """Ask under the key of the running application."""
    async with site.pool.acquire() as conn:
        assert await ask(conn, site.keyring) == 1


async def test_the_page_asks_and_takes_one_answer(site: Site, conn: Conn, split: int) -> None:
    path = f"/places/{await link(conn)}"
    answer = await site.client.get(f"{path}?lang=vi")
    page = await answer.text()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Phường Ngọc Hà cũ nơi bạn đăng ký nay thuộc các nơi này" in page
    assert 'name="place-0" value="00004">Phường Ba Đình</button>' in page
    assert "Tôi không biết" in page
    assert "<script" not in page.partition("<main")[2]
    assert "In which do you live?" in await (await site.client.get(f"{path}?lang=en")).text()
    unsure = await site.client.post(path, data={})
    assert unsure.status == 422
    assert (await site.client.post(path, data={"place-0": "00025"})).status == 422
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    foreign = await site.client.post(path, data={"place-0": "00004"}, headers=elsewhere)
    assert foreign.status == 403
    assert await standing(conn, split) == ("00008", 2)
    done = await site.client.post(f"{path}?lang=en", data={"place-0": "00004"})
    assert (done.status, done.url.path) == (200, "/places/thanks")
    assert "Thank you" in await done.text()
    assert await standing(conn, split) == ("00004", 0)
    for again in (
        await site.client.get(path),
        await site.client.post(path, data={"place-0": "00008"}),
    ):
        assert again.status == 404
        assert "/console" not in await again.text()
    assert await standing(conn, split) == ("00004", 0)


async def test_several_places_are_asked_about_on_one_page(
    conn: Conn, keyring: Keyring, city: None, tmp_path: Path, settings: Settings, pool: Pool
) -> None:
    watched = (Place(unit_code="00028", label="nhà mẹ"), Place(unit_code="00004", label="trường"))
    person = await resident(conn, keyring, Place(unit_code="00016"), MAIL, watched=watched)
    await reform(conn, tmp_path)
    async with running(settings, pool) as site:
        await conn_ask(site)
        path = f"/places/{await link(conn)}"
        page = await (await site.client.get(path)).text()
        assert "nhà mẹ: Phường Kim Mã cũ" in page
        assert page.count('type="radio"') == 2 + 1 + 3 + 1
        assert (await site.client.post(path, data={"place-0": "00008"})).status == 422
        assert await standing(conn, person) == ("00008", 5)
        await site.client.post(path, data={"place-0": "00008", "place-1": "unknown"})
    assert await standing(conn, person) == ("00008", 3)
    kept = await own_places.kept(conn, keyring, NOW, person)
    assert [place.label for place in kept if place.candidates] == ["nhà mẹ"]
