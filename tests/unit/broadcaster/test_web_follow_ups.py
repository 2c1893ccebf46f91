"""What follows an alert at the console and over the API: offered, refused with a reason, sent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import pytest

from broadcaster.alerts import cap, draft, followup, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Pool
from broadcaster.settings import Settings
from broadcaster.states import AlertState
from broadcaster.web.console.followups import Act
from tests.unit.broadcaster import site
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, publish

PREPARED = ("cancel", "correct")
CAP = f"{{{cap.NAMESPACE}}}"


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with site.running(settings, pool) as running:
        yield running


@pytest.fixture
async def author(city: Site) -> AsyncIterator[Desk]:
    async with Seat(city, "ha") as desk:
        yield await desk


@pytest.fixture
async def alert(city: Site) -> Alert:
    words = wordings.with_prepared(parse(site.content(city.now)), "alert")
    return await publish(city, prepared=words.to_json()["prepared"])


async def _find(city: Site, code: str) -> Alert:
    async with city.pool.acquire() as conn:
        return await draft.find(conn, code)


def _code(address: str) -> str:
    found = re.search(r"HN-[0-9-]+", address)
    assert found, address
    return found[0]


async def test_the_page_offers_what_may_follow_and_shows_the_prepared_words(
    city: Site, author: Desk, alert: Alert
) -> None:
    page = await author.text(f"/console/alerts/{alert.code}")
    for word in ("Soạn bản cập nhật", "Soạn tin hết nguy hiểm", "Gửi nhầm", "Chỉ dừng"):
        assert word in page
    assert "Tin gửi nhầm, hãy bỏ qua" in page
    assert "Đã hủy cảnh báo, không cần làm theo" in page
    assert 'style="' not in page


async def test_an_update_is_written_from_the_page_and_a_second_one_is_told_of_it(
    city: Site, author: Desk, alert: Alert
) -> None:
    answer = await author.post(f"/console/alerts/{alert.code}/update")
    assert answer.status == 303
    assert answer.headers["Location"].endswith("/edit")
    made = await _find(city, _code(answer.headers["Location"]))
    assert (made.kind, made.sequence) == ("update", 2)
    again = await author.post(f"/console/alerts/{alert.code}/all-clear")
    assert again.status == 409
    assert made.code in await again.text()
    page = await author.text(f"/console/alerts/{alert.code}")
    assert f"đang soạn {made.code}" in page
    assert "disabled" in page
    gone = await author.post(f"/console/alerts/{made.code}/withdraw", reason="nhầm")
    assert gone.headers["Location"] == f"/console/alerts/{alert.code}"
    assert (await _find(city, made.code)).state is AlertState.REJECTED


async def test_an_update_names_what_it_follows_and_says_while_nothing_has_changed(
    city: Site, author: Desk, alert: Alert
) -> None:
    answer = await author.post(f"/console/alerts/{alert.code}/update")
    page = await author.text(answer.headers["Location"])
    assert f'<a href="/console/alerts/{alert.code}">Cập nhật của tin {alert.code}</a>' in page
    assert f"Chưa có gì khác tin {alert.code}" in page
    code = _code(answer.headers["Location"])
    await city.pool.execute(
        "UPDATE alert_version SET content = jsonb_set(content, '{risk_level}', '4')"
        " WHERE alert_id = (SELECT alert_id FROM alert WHERE code = $1)", code,
    )  # fmt: skip
    assert "Chưa có gì khác" not in await author.text(answer.headers["Location"])


async def test_stop_alone_tells_nobody_and_stop_and_tell_sends_the_cancel(
    city: Site, author: Desk, alert: Alert
) -> None:
    # Whether people are told is for whoever stops it to say.
    page = await author.text(f"/console/alerts/{alert.code}")
    assert _choices(page) == [("only", False), ("tell", False)]
    first = await author.post(f"/console/alerts/{alert.code}/stop", reason="nhầm", then="tell")
    made = await _find(city, _code(first.headers["Location"]))
    assert (made.kind, made.state) == ("cancel", AlertState.APPROVED)
    assert (await _find(city, alert.code)).state is AlertState.STOPPED
    assert "Hủy" in await author.text(f"/console/alerts/{alert.code}")
    other = await publish(city)
    page = await author.text(f"/console/alerts/{other.code}")
    assert "No words for this" not in page
    assert _choices(page) == [("only", True), ("tell", False)], "nothing else can be chosen"
    answer = await author.post(f"/console/alerts/{other.code}/stop", reason="nhầm", then="only")
    assert _code(answer.headers["Location"]) == other.code


def _choices(page: str) -> list[tuple[str, bool]]:
    """Return what may follow a stop, and whether it is chosen already."""
    found = re.findall(r'<input type="radio" name="then" value="(\w+)"([^>]*)>', page)
    return [(value, "checked" in rest) for value, rest in found]


@pytest.mark.parametrize("path", PREPARED)
async def test_what_was_prepared_goes_out_once_it_is_confirmed(
    city: Site, author: Desk, alert: Alert, path: str
) -> None:
    refused = await author.post(f"/console/alerts/{alert.code}/{path}", reason="Gửi nhầm")
    assert refused.status == 422
    assert (await _find(city, alert.code)).state is AlertState.SENDING
    answer = await author.post(
        f"/console/alerts/{alert.code}/{path}", reason="Gửi nhầm", sure="yes"
    )
    made = await _find(city, _code(answer.headers["Location"]))
    assert made.state is AlertState.APPROVED
    again = await author.post(f"/console/alerts/{alert.code}/{path}", reason="Gửi nhầm", sure="yes")
    assert again.status == 409


async def test_programs_act_as_the_page_does(city: Site, author: Desk, alert: Alert) -> None:
    path = f"/api/v1/alerts/{alert.code}"
    answer = await author.send("POST", f"{path}/update", None)
    made = await answer.json()
    assert (answer.status, made["kind"], made["state"], made["follows"]) == (
        201, "update", "draft", alert.code,
    )  # fmt: skip
    again = await author.send("POST", f"{path}/all-clear", None)
    assert (again.status, (await again.json())["code"]) == (409, "follow_up_in_work")
    clear = await author.send("POST", f"{path}/all-clear?set_aside={made['code']}", None)
    assert (clear.status, (await clear.json())["sequence"]) == (201, 3)
    assert (await author.send("POST", f"{path}/correct", {"reason": ""})).status == 422
    corrected = await author.send("POST", f"{path}/correct", {"reason": "nhầm"})
    said = await corrected.json()
    assert (corrected.status, said["kind"], said["sequence"]) == (201, "correction", 4)
    for late in ("stop", "cancel", "correct"):
        assert (await author.send("POST", f"{path}/{late}", {"reason": "nhầm"})).status == 409
    stranger = await author.client.post(f"{path}/cancel", json={"reason": "x"})
    assert stranger.status == 403


async def test_the_page_of_an_update_shows_the_difference_and_every_wording(
    city: Site, author: Desk, alert: Alert
) -> None:
    location = (await author.post(f"/console/alerts/{alert.code}/update")).headers["Location"]
    page = await author.text(location)
    for word in ("Ai nhận gì", "không còn áp dụng nơi bạn", "Để sẵn: khi hủy tin"):
        assert word in page
    assert 'data-variant="left_wording"' in page
    assert page.count('data-difference="') == 3


@pytest.mark.parametrize(
    ("act", "msg_type", "said"),
    [
        (followup.cancel, "Cancel", "Cancelled"),
        (followup.correct, "Cancel", "Sent in error"),
    ],
)
async def test_what_is_taken_back_says_so_in_public_and_in_cap(
    city: Site, alert: Alert, act: Act, msg_type: str, said: str
) -> None:
    async with city.pool.acquire() as conn:
        made = await act(conn, city.approver, city.now, alert.alert_id, "nhầm")
        await lifecycle.supersede(conn, city.now, made.alert_id)
        await lifecycle.move(conn, city.now, made.alert_id, AlertState.SENDING)
    old = await (await city.client.get(f"/alerts/{alert.code}?lang=en")).text()
    assert said in old
    assert f"/alerts/{made.code}" in old
    page = await (await city.client.get(f"/alerts/{made.code}?lang=en")).text()
    assert "in force" not in page.partition("<h1")[0].partition("<article")[2]
    listed = await (await city.client.get("/alerts?lang=en")).text()
    assert "No alert is in force now." in listed
    files = {
        one.code: await (await city.client.get(f"/alerts/{one.code}.cap.xml")).read()
        for one in (alert, made)
    }
    for data in files.values():
        assert cap.check_bytes(data) == []
    root = ElementTree.fromstring(files[made.code])
    assert root.findtext(f"{CAP}msgType") == msg_type
    assert alert.cap_identifier in (root.findtext(f"{CAP}references") or "")
    assert len(root.findall(f"{CAP}info")) == 2
    assert {r.text for r in root.iter(f"{CAP}responseType")} == {"None"}
    in_force = await (await city.client.get("/api/v1/alerts?in_force=1")).json()
    assert in_force["alerts"] == []


async def test_a_draft_in_the_way_of_an_all_clear_is_set_aside_in_the_same_act(
    city: Site, author: Desk, alert: Alert
) -> None:
    page = f"/console/alerts/{alert.code}"
    made = await _find(city, _code((await author.post(f"{page}/update")).headers["Location"]))
    shown = await (await author.get(page)).text()
    assert f'name="aside" value="{made.code}"' in shown
    assert made.author_name in shown
    unsure = await author.post(f"{page}/all-clear", aside=made.code)
    assert unsure.status == 422
    answer = await author.post(f"{page}/all-clear", aside=made.code, sure="yes")
    assert answer.status == 303
    assert (await _find(city, made.code)).state is AlertState.REJECTED
    opened = await author.get(f"{page}/all-clear")
    assert opened.status == 405
    assert "correct what you entered" not in await opened.text()
