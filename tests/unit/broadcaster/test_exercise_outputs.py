"""Wherever an exercise is shown or taken along, it says what it is."""

from __future__ import annotations

import csv
import io
from typing import Any
from xml.etree import ElementTree

import pytest

from broadcaster.alerts import approval, checks, draft, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.cli import alerts as cli
from broadcaster.people.officials import Role, create_official
from broadcaster.states import AlertState
from tests import factor
from tests.unit.broadcaster.city import PASSWORD, unit_id
from tests.unit.broadcaster.desk import Desk
from tests.unit.broadcaster.pdf_text import text_of
from tests.unit.broadcaster.site import Site, content

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
MARKS = ("[DIỄN TẬP] ", "[EXERCISE] ")
KINDS = ("listed", "widened", "training")
BANNERS = {
    "listed": "chỉ gửi tới người tham gia diễn tập",
    "widened": "gửi tới mọi người trong vùng",
    "training": "của tài khoản tập huấn",
}


async def _sent(city: Site, kind: str, **changes: Any) -> Alert:
    """An exercise on its way to those listed, to everybody, or of training accounts."""
    author, approver = city.author, city.approver
    async with city.pool.acquire() as conn:
        top = await unit_id(conn, "01")
        if kind == "training":
            author, approver = [
                await create_official(
                    conn, None, city.now, login=login, name=login, password=PASSWORD,
                    training=True, roles=[Role(role, top)],
                )
                for login, role in (("hoc", "author"), ("thi", "approver"))
            ]  # fmt: skip
        words = wordings.with_prepared(parse(content(city.now, **changes)), "alert")
        made = await draft.create(conn, author, city.now, words, top, as_exercise=True)
        await checks.run(conn, author, city.now, made.alert_id, city.selector)
        await approval.submit(conn, author, city.now, made.alert_id, 1)
        proof = None
        if kind == "widened":
            proof = await factor.proof(conn, city.keyring, approver, city.now)
        await approval.approve(
            conn, approver, city.now, made.alert_id, 1, proof, widen=kind == "widened"
        )
        await lifecycle.move(conn, city.now, made.alert_id, AlertState.SENDING)
        await lifecycle.first_handoff(conn, city.now, made.alert_id)
        await conn.execute("SELECT ensure_partitions($1)", made.alert_id)
        return await draft.find(conn, made.alert_id)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_page_of_an_exercise_is_one_by_its_root_its_title_and_its_banner(
    city: Site, author: Desk, kind: str
) -> None:
    alert = await _sent(city, kind)
    for path in ("", "?lang=en"):
        page = await author.text(f"/console/alerts/{alert.code}{path}")
        assert 'data-mode="exercise"' in page
        assert "<title>[DIỄN TẬP] " in page
        assert BANNERS[kind] in page.partition("<main")[0]
    page = await author.text("/console/alerts?kind=exercise")
    row = page[page.index(alert.code) - 900 : page.index(alert.code) + 300]
    assert "[DIỄN TẬP]" in row
    assert "badge-ex" in row


@pytest.mark.parametrize("kind", KINDS)
async def test_the_record_says_so_on_every_page_and_for_whom_it_was(
    city: Site, author: Desk, kind: str
) -> None:
    alert = await _sent(city, kind)
    answer = await author.get(f"/console/alerts/{alert.code}/record.pdf")
    assert answer.status == 200
    said = text_of(await answer.read())
    pages = said.count("trang ")
    assert pages >= 1
    assert said.count(f"[DIỄN TẬP] {alert.code}") >= pages
    assert "không phải tin thật" in said
    assert {
        "listed": "không ai khác", "widened": "Tuan mở", "training": "Không ai",
    }[kind] in said  # fmt: skip


async def test_every_line_that_is_taken_along_has_its_status(city: Site, author: Desk) -> None:
    alert = await _sent(city, "listed")
    async with city.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
            " address_enc, created_at) OVERRIDING SYSTEM VALUE"
            " VALUES (77, 'sms', 'active', 1, 'h', '', now())"
        )
        await conn.execute(
            "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, state, updated_at)"
            " VALUES ($1, 77, 'sms', 'vi', 'handed_off', now())",
            alert.alert_id,
        )
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off) VALUES ($1, 'sms', 1)",
            alert.alert_id,
        )
    for path in (f"/console/alerts/{alert.code}/deliveries.csv", "/console/alerts.csv"):
        answer = await author.get(path)
        assert answer.status == 200, path
        rows = list(csv.DictReader(io.StringIO((await answer.text()).lstrip("\ufeff"))))
        assert rows, path
        assert {row["status"] for row in rows} == {"Exercise"}
    answer = await author.get(f"/console/alerts/{alert.code}/communes.csv")
    assert (await answer.text()).splitlines()[0].endswith(",status")


@pytest.mark.parametrize("kind", ["listed", "widened"])
async def test_what_is_public_of_an_exercise_says_so_to_people_and_programs(
    city: Site, kind: str
) -> None:
    alert = await _sent(city, kind)
    for lang, mark in (("vi", "[DIỄN TẬP]"), ("en", "[EXERCISE]")):
        page = await (await city.client.get(f"/alerts/{alert.code}?lang={lang}")).text()
        assert 'data-mode="exercise"' in page
        assert f"<title>{mark} " in page
        assert 'class="ex-banner"' in page
        listed = await (await city.client.get(f"/alerts?lang={lang}")).text()
        current, _, apart = listed.partition('class="pub-list pub-over ex-part"')
        assert alert.code not in current, "never among what is in force"
        assert mark in apart
    root = ElementTree.fromstring(
        await (await city.client.get(f"/alerts/{alert.code}.cap.xml")).read()
    )
    assert root.findtext(f"{CAP}status") == "Exercise"
    assert (root.findtext(f"{CAP}note") or "").startswith("[DIỄN TẬP]")
    infos = root.findall(f"{CAP}info")
    assert len(infos) == 2
    for info in infos:
        for name in ("headline", "description", "instruction"):
            assert (info.findtext(f"{CAP}{name}") or "").startswith(MARKS), name
    feed = await (await city.client.get("/feeds/cap.atom")).text()
    entry = feed[feed.index("<entry") :]
    assert 'term="Exercise"' in entry
    assert "<title>[DIỄN TẬP]" in entry
    drawn = await (await city.client.get(f"/alerts/{alert.code}.geojson")).json(content_type=None)
    properties = drawn["properties"]
    assert properties["status"] == "Exercise"
    assert all(said.startswith(MARKS) for said in properties["headline"].values())
    told = await (await city.client.get(f"/api/v1/alerts/{alert.code}")).json()
    assert told["status"] == "Exercise"
    assert all(words["headline"].startswith(MARKS) for words in told["wording"].values())


async def test_nothing_of_training_accounts_is_public(city: Site) -> None:
    alert = await _sent(city, "training")
    for path in (
        f"/alerts/{alert.code}", f"/alerts/{alert.code}.cap.xml", f"/alerts/{alert.code}.geojson",
        f"/api/v1/alerts/{alert.code}",
    ):  # fmt: skip
        assert (await city.client.get(path)).status == 404, path
    for path in ("/alerts", "/feeds/cap.atom", "/api/v1/alerts"):
        assert alert.code not in await (await city.client.get(path)).text(), path


async def test_the_command_line_tells_exercises_from_what_is_real(city: Site) -> None:
    alert = await _sent(city, "widened")
    assert f"{alert.code}  EXERCISE " in cli._line(alert)
    said = cli._as_json(alert)
    assert (said["status"], said["training"], said["recipients"]) == ("Exercise", False, "all")
