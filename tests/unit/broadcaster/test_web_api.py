"""The JSON API over real sockets and a real database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse
from yarl import URL

from broadcaster.db import Pool
from broadcaster.people import claims, endpoints, sessions
from broadcaster.people.endpoints import Address
from broadcaster.settings import Settings
from broadcaster.web.api import citizen, openapi
from broadcaster.web.api.citizen import LIMIT
from broadcaster.web.api.operation import operation_of
from broadcaster.web.limits import Limit, TooMany
from broadcaster.web.security import SESSION_COOKIE
from tests.unit.broadcaster.city import BA_DINH_POINT, delivered
from tests.unit.broadcaster.site import BA_DINH_AREA, NOW, Site, approved, publish, running, written

PHONE = "fid:" + "a" * 22
REGISTRATION = {
    "home": {"lon": BA_DINH_POINT[0], "lat": BA_DINH_POINT[1], "label": "Nhà"},
    "endpoints": [
        {"channel": "sms", "address": "0912 345 678"},
        {"channel": "push", "address": PHONE},
    ],
    "consent": {"at": (NOW - timedelta(minutes=1)).isoformat(), "source": "app 1.0"},
    "lang": "en",
}


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def token_of(site: Site, phone: str = PHONE) -> tuple[str, int]:
    """The token of somebody with this phone, and the phone's endpoint."""
    async with site.pool.acquire() as conn:
        person_id = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
        )
        made = await endpoints.ensure_active(conn, site.keyring, NOW, [Address("push", phone)])
        endpoint_id = made[Address("push", phone)]
        await endpoints.link(conn, NOW, [(person_id, endpoint_id)])
        token = await claims.issue_token(conn, site.keyring, NOW, person_id)
    return token, endpoint_id


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def problem(response: ClientResponse, status: int) -> dict[str, Any]:
    assert response.status == status
    assert response.content_type == "application/problem+json"
    said: dict[str, Any] = orjson.loads(await response.read())
    assert said["code"]
    assert said["message_vi"]
    assert said["message_en"]
    return said


async def test_somebody_registers_verifies_looks_and_leaves(site: Site) -> None:
    answer = await site.client.post("/api/v1/people", json=REGISTRATION)
    assert answer.status == 201
    made = await answer.json()
    assert [claim["channel"] for claim in made["claims"]] == ["sms", "push"]
    text = await site.pool.fetchval(
        "SELECT content->>'text' FROM direct_message WHERE channel = 'sms'"
    )
    code = "".join(c for c in text if c.isdigit())[:6]

    wrong = {"claim": made["claims"][0]["id"], "code": "000000" if code != "000000" else "1"}
    await problem(await site.client.post("/api/v1/people/verify", json=wrong), 422)
    answer = await site.client.post("/api/v1/people/verify", json=wrong | {"code": code})
    token = (await answer.json())["token"]

    me = await (await site.client.get("/api/v1/people/me", headers=bearer(token))).json()
    assert me["id"] == made["id"]
    assert me["lang"] == "en"
    assert [(p["label"], p["unit"], p["point"]) for p in me["places"]] == [("Nhà", "00004", True)]
    assert [(e["channel"], e["state"]) for e in me["endpoints"]] == [("sms", "active")]

    left = await site.client.delete("/api/v1/people/me", headers=bearer(token))
    assert left.status == 204
    await problem(await site.client.get("/api/v1/people/me", headers=bearer(token)), 401)


async def test_every_wrong_field_is_named(site: Site) -> None:
    outside = REGISTRATION | {
        "home": {"lon": 106.7, "lat": 10.8},
        "endpoints": [{"channel": "sms", "address": "0243 123 456"}],
    }
    said = await problem(await site.client.post("/api/v1/people", json=outside), 422)
    assert {p["field"] for p in said["problems"]} == {"home", "endpoints[0]"}

    unknown = REGISTRATION | {"role": "admin", "lang": "fr", "name": "x" * 201}
    said = await problem(await site.client.post("/api/v1/people", json=unknown), 422)
    assert {(p["field"], p["code"]) for p in said["problems"]} == {
        ("role", "extra_forbidden"),
        ("lang", "literal_error"),
        ("name", "string_too_long"),
    }
    without_zone = REGISTRATION | {"consent": {"at": "2026-09-10T03:00:00", "source": "app"}}
    said = await problem(await site.client.post("/api/v1/people", json=without_zone), 422)
    assert said["field"] == "consent.at"
    for body in (b"{", b"[]", b"", b"null", b"\xff"):
        await problem(await site.client.post("/api/v1/people", data=body), 422)
    await problem(await site.client.post("/api/v1/people", data=b" " * 20_000), 413)
    assert await site.pool.fetchval("SELECT count(*) FROM consent") == 0


async def test_no_null_character_reaches_the_database(site: Site) -> None:
    consent = {"at": "2026-09-10T03:00:00+07:00", "source": "app\0"}
    said = await problem(
        await site.client.post("/api/v1/people", json=REGISTRATION | {"consent": consent}), 422
    )
    assert said["code"] == "null_character"
    escaped = REGISTRATION | {"consent": consent | {"source": "\\u0000"}}
    assert (await site.client.post("/api/v1/people", json=escaped)).status == 201
    for route in operation_paths(site):
        await problem(await site.client.request(route[0], URL(route[1], encoded=True)), 404)
    form = {"login": "ha\0", "password": "x"}
    assert (await site.client.post("/console/sign-in", data=form)).status == 422


def operation_paths(site: Site) -> set[tuple[str, str]]:
    """Return every method and path of the API that has parameters, each of them with U+0000."""
    return {
        (route.method, re.sub(r"\{[^}]+\}", "a%00b", route.resource.canonical))
        for route in site.client.app.router.routes()
        if route.method != "HEAD" and route.resource and "{" in route.resource.canonical
        if route.resource.canonical.startswith("/api/")
    }


async def test_refusals_that_no_route_gives_have_the_same_shape(site: Site) -> None:
    await problem(await site.client.get("/api/v1/nothing"), 404)
    refused = await site.client.put("/api/v1/reports", json={})
    await problem(refused, 405)
    assert "POST" in refused.headers["Allow"]
    assert (await site.client.get("/nothing")).content_type == "text/html"


async def test_a_report_is_stored_before_it_is_answered(site: Site) -> None:
    alert = await publish(site)
    token, _ = await token_of(site)
    report = {"text": "ngập 0,5m", "alert": alert.code, "lon": 105.8, "lat": 21.0, "id": "a1"}
    answer = await site.client.post("/api/v1/reports", json=report, headers=bearer(token))
    assert answer.status == 202
    receipt = (await answer.json())["receipt"]
    row = await site.pool.fetchrow("SELECT inbound_id, channel, raw_enc FROM inbound_raw")
    raw = orjson.loads(
        site.keyring.unseal(row["raw_enc"], "inbound_raw", "raw_enc", row["inbound_id"])
    )
    assert row["channel"] == "app"
    assert raw["text"] == "ngập 0,5m"
    assert raw["alert_code"] == alert.code
    assert raw["person_id"] is not None

    again = await site.client.post("/api/v1/reports", json=report, headers=bearer(token))
    assert (again.status, (await again.json())["repeated"]) == (202, True)
    assert await site.pool.fetchval("SELECT count(*) FROM inbound_raw") == 1

    standing = await (await site.client.get(f"/api/v1/reports/{receipt}")).json()
    assert (standing["state"], standing["code"]) == ("waiting", None)
    forged = receipt[:-1] + ("a" if receipt[-1] != "a" else "b")
    await problem(await site.client.get(f"/api/v1/reports/{forged}"), 404)


async def test_a_report_says_how_it_stands_by_code_and_by_receipt(site: Site) -> None:
    answer = await site.client.post("/api/v1/reports", json={"text": "cây đổ"})
    receipt = (await answer.json())["receipt"]
    async with site.pool.acquire() as conn:
        report_id = await conn.fetchval(
            "INSERT INTO report (code, inbound_id, channel, received_at, text)"
            " SELECT 'HNCDFGH', inbound_id, 'app', $1, 'cây đổ' FROM inbound_raw"
            " RETURNING report_id",
            NOW,
        )
        incident_id = await conn.fetchval(
            "INSERT INTO incident (code, title, state, opened_at, updated_at)"
            " VALUES ('SCX', 't', 'under_way', $1, $1) RETURNING incident_id",
            NOW,
        )
        await conn.execute(
            "INSERT INTO incident_report (report_id, to_incident, at) VALUES ($1, $2, $3)",
            report_id, incident_id, NOW,
        )  # fmt: skip
    for name in ("HNCDFGH", "hncdfgh", receipt):
        text = await (await site.client.get(f"/api/v1/reports/{name}")).text()
        standing = orjson.loads(text)
        assert (standing["code"], standing["state"]) == ("HNCDFGH", "under_way")
        assert "cây đổ" not in text
    await problem(await site.client.get("/api/v1/reports/HNZZZZZ"), 404)


async def test_a_report_that_makes_no_sense_is_refused(site: Site) -> None:
    for wrong in (
        {"text": "  "},
        {"text": "x" * 4_001},
        {"text": "x", "lon": 105.8},
        {"text": "x", "lon": 185, "lat": 21},
        {"text": "x", "person_id": 1},
    ):
        await problem(await site.client.post("/api/v1/reports", json=wrong), 422)
    wrong_token = await site.client.post(
        "/api/v1/reports", json={"text": "x"}, headers=bearer("none")
    )
    await problem(wrong_token, 401)
    assert await site.pool.fetchval("SELECT count(*) FROM inbound_raw") == 0


async def test_anonymous_requests_are_limited_and_known_people_are_not(site: Site) -> None:
    token, _ = await token_of(site)
    limit = site.client.app[LIMIT]  # type: ignore[union-attr]
    for _ in range(citizen.BURST):
        limit.take("127.0.0.1")
    refused = await site.client.post("/api/v1/reports", json={"text": "ngập"})
    await problem(refused, 429)
    assert int(refused.headers["Retry-After"]) >= 1
    known = await site.client.post("/api/v1/reports", json={"text": "ngập"}, headers=bearer(token))
    assert known.status == 202


def test_a_limit_fills_again_and_counts_each_address_alone() -> None:
    limit = Limit(burst=2, per_minute=60)
    limit.take("a", now=0)
    limit.take("a", now=0)
    with pytest.raises(TooMany):
        limit.take("a", now=0.5)
    limit.take("b", now=0.5)
    limit.take("a", now=1.1)


async def test_only_what_was_sent_is_public(site: Site) -> None:
    async with site.pool.acquire() as conn:
        draft = await written(site, conn)
        waiting = await approved(site, conn)
    first, second = await publish(site), await publish(site)
    page = await (await site.client.get("/api/v1/alerts?limit=1")).json()
    assert [one["code"] for one in page["alerts"]] == [second.code]
    page = await (await site.client.get(f"/api/v1/alerts?after={page['after']}")).json()
    assert [one["code"] for one in page["alerts"]] == [first.code]
    assert page["after"] is None
    for hidden in (draft.code, waiting.code, "HN-1"):
        await problem(await site.client.get(f"/api/v1/alerts/{hidden}"), 404)
    one = await (await site.client.get(f"/api/v1/alerts/{first.code}")).json()
    assert one["standing"] == "in_force"
    assert one["class"] == "warning"
    assert one["wording"]["vi"]["headline"] != one["wording"]["en"]["headline"]
    for wrong in ("limit=0", "limit=x", "after=-1", "limit=51"):
        await problem(await site.client.get(f"/api/v1/alerts?{wrong}"), 422)


async def test_published_alerts_are_searched_and_nothing_else_is(site: Site) -> None:
    found = await publish(site)
    async with site.pool.acquire() as conn:
        hidden = await written(site, conn)

    async def codes(query: str) -> list[str]:
        page = await (await site.client.get(f"/api/v1/alerts?{query}")).json()
        return [one["code"] for one in page["alerts"]]

    day = found.started_at or found.created_at
    hits = ("q=bao so 3", "q=" + found.code, "place=00004", "class=warning&event=storm&kind=alert",
            "sender=01&in_force=1", "from=2026-09-10&until=2026-09-10")  # fmt: skip
    for query in hits:
        assert await codes(query) == [found.code], (query, day)
    misses = ("q=lut", "place=10489", "class=emergency", "event=fire", "kind=update", "sender=003",
              "from=2026-09-11", "until=2026-09-09", f"q={hidden.code}")  # fmt: skip
    for query in misses:
        assert await codes(query) == [], query
    # Nobody outside learns who wrote what, or what is being written.
    assert await codes("official=nobody&state=draft") == [found.code]
    for wrong in ("place=99999", "from=x", "class=loud", "q=!"):
        await problem(await site.client.get(f"/api/v1/alerts?{wrong}"), 422)


async def test_an_alert_in_force_is_listed_until_it_is_over_or_replaced(site: Site) -> None:
    first = await publish(site)
    update = await publish(site, kind="update", before=first)

    async def codes() -> list[str]:
        page = await (await site.client.get("/api/v1/alerts?in_force=1")).json()
        return [one["code"] for one in page["alerts"]]

    assert await codes() == [update.code]
    old = await (await site.client.get(f"/api/v1/alerts/{first.code}")).json()
    assert (old["standing"], old["newer"]) == ("replaced", update.code)
    site.later(hours=13)
    assert await codes() == []


async def test_an_app_moves_its_own_deliveries_and_nobody_elses(site: Site) -> None:
    alert = await publish(site)
    token, mine = await token_of(site)
    _, other = await token_of(site, "fid:" + "b" * 22)
    async with site.pool.acquire() as conn:
        for endpoint_id in (mine, other):
            await delivered(conn, alert.alert_id, endpoint_id, "push")
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off) VALUES ($1, 'push', 2)",
            alert.alert_id,
        )
    where = f"/api/v1/alerts/{alert.code}/receipts"

    async def said(**news: str) -> int:
        answer = await site.client.post(where, json=news, headers=bearer(token))
        assert answer.status == 202
        return int((await answer.json())["booked"])

    assert await said(news="received", address="fid:" + "b" * 22) == 0
    assert await said(news="received", address=PHONE) == 1
    assert await said(news="opened") == 1
    assert await said(news="received") == 0
    states = dict(await site.pool.fetch("SELECT endpoint_id, state::text FROM delivery ORDER BY 1"))
    assert states == {mine: "seen", other: "handed_off"}
    await problem(await site.client.post(where, json={"news": "opened"}), 401)
    away = await site.client.post(
        "/api/v1/alerts/HN-1/receipts", json={"news": "opened"}, headers=bearer(token)
    )
    await problem(away, 404)


async def signed_in(site: Site) -> dict[str, str]:
    async with site.pool.acquire() as conn:
        opened = await sessions.open_session(conn, site.keyring, site.author, NOW)
    return {"Cookie": f"{SESSION_COOKIE}={opened.token}", "X-CSRF-Token": opened.csrf}


async def test_officials_ask_for_an_audience_with_their_session_and_its_token(site: Site) -> None:
    question = {"area": BA_DINH_AREA}
    headers = await signed_in(site)
    answer = await site.client.post("/api/v1/audience", json=question, headers=headers)
    assert (await answer.json())["people"] == 1
    without = {"Cookie": headers["Cookie"]}
    refused = await site.client.post("/api/v1/audience", json=question, headers=without)
    assert (await problem(refused, 403))["code"] == "csrf"
    await problem(await site.client.post("/api/v1/audience", json=question), 401)


async def test_units_are_public_and_duty_is_for_officials(site: Site) -> None:
    units = (await (await site.client.get("/api/v1/units")).json())["units"]
    assert len(units) == 127
    ba_dinh = next(one for one in units if one["code"] == "00004")
    assert (ba_dinh["kind"], ba_dinh["parent"]) == ("ward", "01")
    assert (await site.client.get("/api/v1/duty")).status == 401
    duties = await site.client.get("/api/v1/duty", headers=await signed_in(site))
    assert len((await duties.json())["units"]) == 126


async def test_openapi_describes_every_route_of_the_api(site: Site) -> None:
    document = await (await site.client.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    routes = [
        route
        for route in site.client.app.router.routes()  # type: ignore[union-attr]
        if openapi.path_of(route).startswith("/api/") and route.method != "HEAD"
    ]
    assert described == {(route.method, openapi.path_of(route)) for route in routes}
    assert ("POST", "/api/v1/people") in described
    known = document["components"]["schemas"]
    for reference in _references(document["paths"]) | _references(known):
        assert reference.removeprefix("#/components/schemas/") in known
    for route in routes:
        declared = operation_of(route.handler)
        assert declared is not None
        reads = declared.body is not None or declared.file_bytes > 0
        told = (route.method, openapi.path_of(route))
        assert reads == (route.method in ("POST", "PUT") and told not in ACTS)


ACTS = {
    ("POST", "/api/v1/alerts/{code}/update"),
    ("POST", "/api/v1/alerts/{code}/all-clear"),
}
"""What is asked for by the address alone: they make a draft of what is there already."""


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values()))
    return set().union(*map(_references, node)) if isinstance(node, list) else set()
