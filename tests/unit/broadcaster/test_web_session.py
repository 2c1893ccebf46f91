"""The door of the console: sessions, cookies, tokens, headers, languages."""

from __future__ import annotations

import re

import pytest
from yarl import URL

from broadcaster.db import Pool
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import PASSWORD
from tests.unit.broadcaster.desk import (
    Desk,
)
from tests.unit.broadcaster.site import Site


async def test_nobody_is_sent_to_the_door_and_back_to_where_they_wanted(city: Site) -> None:
    desk = Desk(city.client)
    answer = await desk.get("/console/duty?status=overdue&x=1")
    assert answer.status == 303
    door = URL(answer.headers["Location"])
    assert door.path == "/console/sign-in"
    assert door.query == {"next": "/console/duty?status=overdue&x=1"}


async def test_a_page_left_open_is_led_to_the_door_not_filled_with_it(city: Site) -> None:
    path = "/console/alerts/HN-1/progress"
    answer = await Desk(city.client).get(path, headers={"HX-Request": "true"})
    assert answer.status == 401
    assert answer.headers["HX-Redirect"] == "/console/sign-in"


async def test_a_wrong_password_names_no_field_and_opens_nothing(city: Site) -> None:
    desk = Desk(city.client)
    wrong = await desk.sign_in("ha", "không phải mật khẩu")
    unknown = await desk.sign_in("nobody")
    assert (wrong.status, unknown.status) == (422, 422)
    sentences = [
        re.search(r'id="problem".*?<span>(.*?)</span>', await answer.text(), re.S)
        for answer in (wrong, unknown)
    ]
    assert sentences[0] is not None
    assert sentences[1] is not None
    assert sentences[0][1] == sentences[1][1]
    assert (await desk.get("/console")).status == 303


async def test_the_session_cookie_is_out_of_scripts_reach(city: Site) -> None:
    answer = await Desk(city.client).sign_in("ha")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    stored = await city.pool.fetchval("SELECT token_hash FROM session")
    assert cookie.split("=", 1)[1].split(";")[0].encode() not in bytes(stored)


async def test_over_https_cookies_are_secure_and_pinned_to_the_host(
    settings: Settings, pool: Pool
) -> None:
    secure = settings.model_copy(update={"base_url": "https://alerts.example.org"})
    async with site.running(secure, pool) as running:
        answer = await running.client.post(
            "/console/sign-in", data={"login": "ha", "password": PASSWORD}, allow_redirects=False
        )
    assert answer.headers["Set-Cookie"].startswith("__Host-session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
async def test_signing_in_never_leads_to_another_site(city: Site, target: str) -> None:
    answer = await city.client.post(
        "/console/sign-in",
        data={"login": "ha", "password": PASSWORD, "next": target},
        allow_redirects=False,
    )
    assert answer.headers["Location"] == "/console"


async def test_signing_out_ends_the_session_on_the_server(author: Desk, city: Site) -> None:
    assert (await author.post("/console/sign-out")).status == 303
    assert await city.pool.fetchval("SELECT count(*) FROM session") == 0
    assert (await author.get("/console")).status == 303


# forgery and headers


async def test_a_change_without_the_sessions_token_is_refused(author: Desk, city: Site) -> None:
    right, author.csrf = author.csrf, "forged"
    assert (await author.post("/console/alerts/new", event="storm", unit="1")).status == 403
    assert (await author.send("POST", "/console/audience", {"area": {}})).status == 403
    author.csrf = right
    assert await city.pool.fetchval("SELECT count(*) FROM alert") == 0


async def test_a_form_on_another_site_changes_nothing(author: Desk) -> None:
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = await author.client.post(
            "/console/sign-out", data={"csrf": author.csrf}, headers=header, allow_redirects=False
        )
        assert answer.status == 403
    assert (await author.get("/console")).status == 200


async def test_every_answer_carries_the_policy(author: Desk) -> None:
    for path in ("/console", "/console/nothing", "/console/units.geojson", "/"):
        headers = (await author.get(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
    assert (await author.get("/console")).headers["Cache-Control"] == "no-store"


async def test_assets_are_named_by_content_and_kept_for_a_year(author: Desk) -> None:
    page = await author.text("/console")
    sheet = re.search(r'href="(/assets/[0-9a-f]+/css/base\.css)"', page)
    assert sheet
    answer = await author.get(sheet[1], headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Encoding"] == "gzip"
    stale = await author.get(re.sub(r"/assets/[0-9a-f]+", "/assets/0123456789ab", sheet[1]))
    assert stale.headers["Cache-Control"] == "no-cache"
    assert (await author.get(sheet[1].replace("base.css", "../../../app.py"))).status == 404


async def test_pages_travel_compressed(author: Desk) -> None:
    for path in ("/console", "/console/duty", "/console/units.geojson"):
        answer = await author.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip", path
    plain = await author.get("/console", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


async def test_the_language_is_chosen_and_remembered(author: Desk) -> None:
    assert 'lang="vi"' in await author.text("/console")
    await author.post("/language", lang="en", next="/console")
    page = await author.text("/console")
    assert '<html lang="en">' in page
    assert "Waiting for your approval" in page or "Write an alert" in page


async def test_one_readers_language_does_not_stick_to_the_next(author: Desk) -> None:
    vi, en = "<h1>Hôm nay</h1>", "<h1>Today</h1>"
    for lang, word, other in (("vi", vi, en), ("en", en, vi), ("vi", vi, en)):
        await author.post("/language", lang=lang, next="/console")
        page = await author.text("/console")
        assert word in page
        assert other not in page
