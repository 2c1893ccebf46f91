"""The screens and the API of records: what they show, and that no address stands in an address."""

from __future__ import annotations

import re

from broadcaster.alerts.draft import Alert
from tests.unit.broadcaster.asking import TYPED, alert, city, signed_in
from tests.unit.broadcaster.site import Site

__all__ = ["alert", "city"]


async def test_the_record_the_list_and_the_recipients_are_shown(city: Site, alert: Alert) -> None:
    desk, base = await signed_in(city, "tuan"), f"/console/alerts/{alert.code}"
    assert f"{base}/record" in await desk.text(f"{base}/why")
    answer = await desk.post(f"{base}/record", address=TYPED)
    page = await answer.text()
    assert answer.status == 200
    assert not answer.url.query_string
    assert 'data-proven="yes"' in page
    assert "Mọi mắt xích đều khớp" in page
    assert "…678" in page
    assert "nguyên văn tin, tiếng Việt" in page
    assert "no-store" in answer.headers["Cache-Control"]
    listed = await (await desk.post("/console/received", address=TYPED)).text()
    assert f'data-code="{alert.code}"' in listed
    recipients = await desk.text(f"{base}/recipients?channel=sms&state=pending")
    assert "…678" in recipients
    assert "…678" not in await desk.text(f"{base}/recipients?state=failed")
    trail = await desk.text(base)
    assert "lập hồ sơ của một người nhận" in trail
    assert "345678" not in trail


async def test_what_is_wrong_is_said_where_it_was_typed(city: Site, alert: Alert) -> None:
    desk, base = await signed_in(city, "tuan"), f"/console/alerts/{alert.code}"
    for path in (f"{base}/record", "/console/received"):
        answer = await desk.post(path, address="<b>091</b>")
        page = await answer.text()
        assert answer.status == 422
        assert "&lt;b&gt;091" in page
        nobody = await (await desk.post(path, address="0987654321")).text()
        assert "Không ai đăng ký địa chỉ này" in nobody
    answer = await desk.get(f"{base}/recipients?state=lost")
    assert answer.status == 422
    assert "lost" in await answer.text()


async def test_authors_have_no_record(city: Site, alert: Alert) -> None:
    desk = await signed_in(city, "ha")
    for path in (f"/console/alerts/{alert.code}/record", "/console/received",
                 f"/console/alerts/{alert.code}/recipients"):  # fmt: skip
        assert (await desk.get(path)).status == 403


async def test_the_api_says_the_same(city: Site, alert: Alert) -> None:
    desk = await signed_in(city, "tuan")
    base = f"/api/v1/alerts/{alert.code}"
    answer = await desk.send("POST", f"{base}/record", {"address": TYPED})
    made = await answer.json()
    assert (made["proven"], made["people"][0]["because"]) == (True, "place")
    [sent] = made["people"][0]["sent"]
    assert (sent["address"], sent["proof"], sent["wording"]) == ("…678", "holds", 0)
    assert re.fullmatch("[0-9a-f]{64}", sent["text_sha256"])
    page = await (await city.client.get(f"{base}/deliveries?limit=1")).json()
    assert [one["address"] for one in page["deliveries"]] == ["…678"]
    assert (await city.client.get(f"{base}/deliveries?after=x")).status == 422
    answer = await desk.send("POST", "/api/v1/received", {"address": TYPED})
    found = await answer.json()
    assert [one["code"] for one in found["alerts"]] == [alert.code]
    assert found["before"] is None
