"""Checks beside the form: each says what to do, and a button does it where one can."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

from tests.unit.broadcaster.desk import SQUARE, Desk, posted, started, submitted
from tests.unit.broadcaster.site import Site

LONG_SMS = "Nước sông lên nhanh, rời khu ngoài đê ngay. " * 6
FAR_SQUARE = [[x + 0.2, y - 0.2] for x, y in SQUARE]


async def checks(author: Desk, city: Site, address: str, **changes: Any) -> str:
    """Save a draft and return what the page shows of its checks."""
    code = address.rsplit("/", 1)[1]
    version = await city.pool.fetchval("SELECT version FROM alert WHERE code = $1", code)
    answer = await author.send("PUT", f"{address}/draft", posted(version, city, **changes))
    document = await answer.json()
    assert answer.status == 200, document
    return str(document["fragments"]["checks"])


def button(html: str, path: str) -> str:
    """The value that the button for a field puts into it."""
    found = re.search(rf'data-fix="{re.escape(path)}" data-value="([^"]*)"', html)
    assert found, html
    return unescape(found[1])


async def test_an_sms_that_is_too_long_loses_its_marks_by_one_button(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    own = {"vi": {"sms.text": LONG_SMS}, "en": {}}
    html = await checks(author, city, address, own=own)
    plain = button(html, "own/vi/sms.text")
    assert plain.startswith("Nuoc song len nhanh, roi khu ngoai de")
    html = await checks(author, city, address, own={"vi": {"sms.text": plain}, "en": {}})
    assert 'data-fix="own/vi/sms.text"' not in html


async def test_an_end_that_is_too_late_is_moved_to_the_latest_there_may_be(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    late = (city.now + timedelta(days=60)).replace(tzinfo=None).isoformat(timespec="minutes")
    html = await checks(author, city, address, expires=late)
    assert re.fullmatch(r"\d\d:\d[05] \d\d/\d\d(/\d{4})?", button(html, "expires"))


async def test_an_end_before_the_beginning_is_blocking_and_has_a_button(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    html = await checks(author, city, address, expires="2026-09-01T00:00")
    assert 'class="k3" data-problem="expires"' in html
    assert button(html, "expires")


async def test_without_a_channel_push_is_one_button(author: Desk, city: Site) -> None:
    address = await started(author, city)
    assert button(await checks(author, city, address, channels=[]), "channels/push") == "true"


async def test_a_missing_field_and_a_missing_area_are_a_way_to_each(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    page = await author.text(f"{address}/edit")
    assert 'data-go="values/storm"' in page
    assert 'data-go="area"' in page


async def test_a_running_alert_of_the_same_kind_here_is_named_with_a_way_to_it(
    author: Desk, approver: Desk, city: Site
) -> None:
    running = await submitted(author, city)
    assert (await approver.post(f"{running}/approve", version="2")).status == 303
    address = await started(author, city)
    html = await checks(author, city, address)
    assert f'href="{running}"' in html
    assert running.rsplit("/", 1)[1] in html


async def test_one_elsewhere_or_of_another_kind_is_no_look_alike(
    author: Desk, approver: Desk, city: Site
) -> None:
    running = await submitted(author, city)
    assert (await approver.post(f"{running}/approve", version="2")).status == 303
    address = await started(author, city)
    elsewhere = {
        "units": [], "groups": [], "circles": [],
        "polygons": [{"type": "Polygon", "coordinates": [FAR_SQUARE]}],
    }  # fmt: skip
    assert running not in await checks(author, city, address, area=elsewhere)


async def test_own_words_are_read_for_shouting_and_jargon_and_never_block(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    own = {"vi": {"push.body": "RỜI NGAY khu vực này!"}, "en": {}}
    html = await checks(author, city, address, own=own)
    assert "viết hoa cả từ" in html
    assert 'data-go="own/vi/push.body"' in html
    assert 'class="k3"' not in html


async def test_the_templates_own_words_raise_nothing(author: Desk, city: Site) -> None:
    address = await started(author, city)
    html = await checks(author, city, address)
    assert 'data-go="own/' not in html


async def test_what_is_fine_is_folded_and_counted(author: Desk, city: Site) -> None:
    address = await started(author, city)
    html = await checks(author, city, address)
    passed = html[html.index("checks-passed") :]
    for name in ("Khu vực và thẩm quyền", "Trần chi phí", "Không trùng tin đang phát"):
        assert name in passed
    broken = await checks(author, city, address, channels=[])
    assert "Kênh và nhà cung cấp" not in broken[broken.index("checks-passed") :]


async def test_a_missing_language_is_advised_and_the_way_leads_to_it(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    await checks(author, city, address)
    await city.pool.execute(
        "UPDATE alert_version SET content = content #- '{wording,en}'"
        " WHERE version = (SELECT max(version) FROM alert_version)"
    )
    page = await author.text(f"{address}/edit")
    assert "Chưa có bản tiếng Anh" in page
    assert 'data-go="languages"' in page
