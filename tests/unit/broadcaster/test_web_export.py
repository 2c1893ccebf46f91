"""Taking an alert along: the record on paper, communes and messages as lists."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest

from broadcaster.alerts import lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.fanout import reach_series, tally
from broadcaster.people.officials import Role
from broadcaster.states import AlertState
from broadcaster.web.build_assets import PRINTED
from broadcaster.web.console import export
from broadcaster.web.console.record_file import FONTS
from tests.unit.broadcaster.city import NOW, official, unit_id
from tests.unit.broadcaster.desk import Seat
from tests.unit.broadcaster.pdf_text import text_of
from tests.unit.broadcaster.site import Site, approved, publish, written


async def _settled(city: Site, *, messages: int = 3) -> Alert:
    """An alert that went to some phones in Ba Đình, and has settled."""
    alert = await publish(city)
    async with city.pool.acquire() as conn:
        home = await unit_id(conn, "00004")
        for number in range(messages):
            person = await conn.fetchval(
                "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
            )
            await conn.execute(
                "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
                " VALUES ($1, 0, $2, true)", person, home,
            )  # fmt: skip
            endpoint = await conn.fetchval("SELECT nextval('endpoint_endpoint_id_seq')")
            address = f"+84901234{number:03}"
            await conn.execute(
                "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
                " address_enc, created_at) VALUES ($1, 'sms', 'active', $2, $3, $4, $5)",
                endpoint, city.keyring.key_id, city.keyring.address_hash("sms", address),
                city.keyring.seal(address.encode(), "endpoint", "address_enc", endpoint), NOW,
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO person_endpoint VALUES ($1, $2, $3)", person, endpoint, NOW
            )
            await conn.execute(
                "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, state, updated_at)"
                " VALUES ($1, $2, 'sms', 'vi', 'handed_off', $3)",
                alert.alert_id, endpoint, NOW,
            )  # fmt: skip
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off) VALUES ($1, 'sms', $2)",
            alert.alert_id, messages,
        )  # fmt: skip
        await lifecycle.move(conn, city.now, alert.alert_id, AlertState.SENT)
    await reach_series.keep(city.pool, city.now + timedelta(seconds=5))
    await tally.Counter(city.pool).count_due(city.now + timedelta(seconds=6))
    return alert


@pytest.fixture(scope="module", autouse=True)
def _fonts() -> None:
    assert all((FONTS / f"be-vietnam-pro-{weight}.ttf").is_file() for weight in PRINTED), (
        "run make setup: the fonts of records are made with the front-end files"
    )


async def test_the_record_is_readable_in_both_languages_and_the_same_bytes_twice(
    city: Site,
) -> None:
    alert = await _settled(city)
    async with Seat(city, "ha") as seat:
        author = await seat
        path = f"/console/alerts/{alert.code}/record.pdf"
        first = await author.get(path)
        pdf = await first.read()
        city.later(hours=2)
        assert pdf == await (await author.get(path)).read()
        english = await (await author.get(path, cookies={"lang": "en"})).read()
    assert first.content_type == "application/pdf"
    assert alert.code in first.headers["Content-Disposition"]
    text = " ".join(text_of(pdf).split())
    async with city.pool.acquire() as conn:
        approved_now = await lifecycle.snapshot(conn, alert.alert_id)
    for words in (
        "Hồ sơ một tin cảnh báo", alert.code, approved_now.content_hash.hex(), "Phường Ba Đình",
        "Người duyệt Tuan", "Đã chuyển, không báo lại", "trang 1/", "Lời tin, đúng như đã duyệt",
        "Đã làm gì, ai làm", "đã duyệt",
    ):  # fmt: skip
        assert words in text, words
    for words in approved_now.content.wording.values():
        assert words.sms.text in text
    assert "P. Ba Đình" in text, "the map names what it shows"
    text = " ".join(text_of(english).split())
    for words in (
        "Record of an alert", "Ba Dinh Ward", approved_now.content.wording["en"].page.headline,
        "page 1 of",
    ):  # fmt: skip
        assert words in text, words


async def test_every_page_of_a_record_names_its_alert_and_its_number(city: Site) -> None:
    alert = await _settled(city)
    async with Seat(city, "ha") as seat:
        author = await seat
        pdf = await (await author.get(f"/console/alerts/{alert.code}/record.pdf")).read()
    pages = len(re.findall(rb"/Type /Page\b", pdf))
    text = text_of(pdf)
    assert pages > 1
    assert len(re.findall(r"trang \d+/", text)) == pages
    assert text.count("SHA-256 ") >= pages


async def test_communes_and_messages_add_up_and_show_no_address(
    city: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    alert = await _settled(city, messages=5)
    async with Seat(city, "tuan") as seat:
        approver = await seat
        path = f"/console/alerts/{alert.code}"
        communes = _rows(await approver.text(f"{path}/communes.csv"))
        messages = _rows(await approver.text(f"{path}/deliveries.csv"))
        trail = await approver.text(path)
    assert [(one["code"], one["channel"], one["state"], one["messages"]) for one in communes] == [
        ("00004", "sms", "handed_off", "5")
    ]
    moments = [one["counted_at"] for one in communes]
    moments += [one[name] for one in messages for name in ("written", "changed")]
    assert all(one.endswith("+07:00") for one in moments)
    assert [one["number"] for one in messages] == ["1", "2", "3", "4", "5"]
    assert all(one["address"].endswith(f"{n:03}") for n, one in enumerate(messages))
    assert not any("90123" in value for one in messages for value in one.values())
    assert trail.count('data-what="alert.exported"') == 2


async def test_who_may_not_look_up_people_gets_the_list_without_addresses(city: Site) -> None:
    alert = await _settled(city)
    async with Seat(city, "ha") as seat:
        author = await seat
        messages = _rows(await author.text(f"/console/alerts/{alert.code}/deliveries.csv"))
    assert len(messages) == 3
    assert all("address" not in one for one in messages)


async def test_nothing_is_exported_of_what_nobody_approved_or_what_is_not_theirs(
    city: Site,
) -> None:
    async with city.pool.acquire() as conn:
        draft = await written(city, conn)
        done = await approved(city, conn)
        await official(conn, "xa", Role("author", await unit_id(conn, "00091")))
    forms = ("record.pdf", "communes.csv", "deliveries.csv")
    async with Seat(city, "ha") as seat:
        author = await seat
        for form in forms:
            assert (await author.get(f"/console/alerts/{draft.code}/{form}")).status == 422
    async with Seat(city, "xa") as seat:
        elsewhere = await seat
        seen = (await elsewhere.get(f"/console/alerts/{done.code}")).status
        for form in forms:
            answer = await elsewhere.get(f"/console/alerts/{done.code}/{form}")
            assert (answer.status == 200) == (seen == 200)


def test_no_cell_is_taken_for_a_formula() -> None:
    assert export.lines([("=1+1", "+84…", "-", "a,b", 3)]) == "'=1+1,'+84…,'-,\"a,b\",3\r\n"


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
