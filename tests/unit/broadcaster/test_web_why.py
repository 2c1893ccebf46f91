"""The screen and the API that explain an alert: who may ask, and what the answer shows."""

from __future__ import annotations

from typing import Any

from broadcaster.alerts.draft import Alert
from tests.unit.broadcaster.asking import TYPED, alert, city, signed_in
from tests.unit.broadcaster.site import BA_DINH_AREA, Site

__all__ = ["alert", "city"]


async def test_the_screen_answers_in_words_and_keeps_the_number_out_of_its_address(
    city: Site, alert: Alert
) -> None:
    desk, path = await signed_in(city, "tuan"), f"/console/alerts/{alert.code}/why"
    assert path in await desk.text(f"/console/alerts/{alert.code}")
    assert 'value="R-AAAAA"' in await desk.text(f"{path}?report=R-AAAAA")
    answer = await desk.post(path, address=TYPED)
    page = await answer.text()
    assert answer.status == 200
    # Rows without a badge keep no column for one: their text would be a finger wide.
    assert '<ul class="rows">' not in page
    assert answer.url.path == path
    assert not answer.url.query_string
    assert 'data-because="place"' in page
    assert "chỉ biết theo đơn vị: Phường Ba Đình" in page
    assert "…678" in page
    assert "no-store" in answer.headers["Cache-Control"]
    nobody = await (await desk.post(path, address="0987654321")).text()
    assert "Không ai đăng ký địa chỉ này" in nobody
    trail = await desk.text(f"/console/alerts/{alert.code}")
    assert "tra cứu vì sao một người nhận" in trail
    assert "345678" not in trail


async def test_a_wrong_number_is_told_where_it_was_typed(city: Site, alert: Alert) -> None:
    desk, path = await signed_in(city, "tuan"), f"/console/alerts/{alert.code}/why"
    answer = await desk.post(path, address="<b>091</b>")
    page = await answer.text()
    assert answer.status == 422
    assert "Số điện thoại không đúng" in page
    assert "&lt;b&gt;091" in page
    both = await desk.post(path, address=TYPED, report="R-AAAAA")
    assert both.status == 422


async def test_authors_do_not_see_the_screen_nor_the_way_there(city: Site, alert: Alert) -> None:
    desk, path = await signed_in(city, "ha"), f"/console/alerts/{alert.code}/why"
    assert (await desk.get(path)).status == 403
    assert (await desk.post(path, address=TYPED)).status == 403
    assert path not in await desk.text(f"/console/alerts/{alert.code}")


async def test_programs_get_the_same_in_both_languages(city: Site, alert: Alert) -> None:
    desk = await signed_in(city, "tuan")
    path = f"/api/v1/alerts/{alert.code}/why"
    answer: dict[str, Any] = await (await desk.send("POST", path, {"address": TYPED})).json()
    [person] = answer["people"]
    assert (person["in_audience"], person["because"]) == (True, "place")
    assert person["places"][0]["parts"] == [{"vi": "Phường Ba Đình", "en": "Ba Dinh Ward"}]
    assert person["message"]["vi"] != person["message"]["en"]
    assert person["sent"][0]["address"] == "…678"
    refused = await desk.send("POST", path, {"address": "1"})
    assert (refused.status, (await refused.json())["code"]) == (422, "phone_invalid")
    assert (await desk.send("POST", path, {"phone": TYPED})).status == 422
    assert (await desk.send("POST", "/api/v1/alerts/HN-0/why", {"address": TYPED})).status == 404


async def test_programs_ask_what_an_update_would_change(city: Site, alert: Alert) -> None:
    desk, path = await signed_in(city, "ha"), f"/api/v1/alerts/{alert.code}/change"
    same = await (await desk.send("POST", path, {"area": BA_DINH_AREA})).json()
    assert same == {"added": 0, "kept": 1, "dropped": 0}
    away = {"circles": [{"lon": 105.4, "lat": 21.2, "metres": 500}]}
    assert await (await desk.send("POST", path, {"area": away})).json() == {
        "added": 0, "kept": 0, "dropped": 1,
    }  # fmt: skip
    nowhere = await desk.send("POST", path, {"area": {}})
    assert (nowhere.status, (await nowhere.json())["code"]) == (422, "area_refused")
