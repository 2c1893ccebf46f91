"""An official's browser at the console, and the way of a draft through it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from tests.unit.broadcaster.city import BA_DINH, PASSWORD, unit_id
from tests.unit.broadcaster.site import Site

SQUARE = [[105.83, 21.03], [105.85, 21.03], [105.85, 21.05], [105.83, 21.05], [105.83, 21.03]]
VINTAGE = "2025-07-01"


def ids_twice(page: str) -> list[str]:
    """The ids that stand on a page more than once."""
    told = Counter(re.findall(r'<[^<>]*?\sid="([^"]+)"', page))
    return sorted(name for name, times in told.items() if times > 1)


@dataclass
class Desk:
    """One official at the console."""

    client: TestClient[Any, Any]
    csrf: str = ""

    async def get(self, path: str, **options: Any) -> ClientResponse:
        return await self.client.get(path, allow_redirects=False, **options)

    async def text(self, path: str) -> str:
        answer = await self.get(path)
        assert answer.status == 200, (path, answer.status)
        page = await answer.text()
        # A script that looks for the second of two would find the first, on any page.
        assert ids_twice(page) == [], path
        return page

    async def post(self, path: str, **fields: str) -> ClientResponse:
        form = {"csrf": self.csrf, **fields}
        return await self.client.post(path, data=form, allow_redirects=False)

    async def send(self, method: str, path: str, document: Any) -> ClientResponse:
        headers = {"X-CSRF-Token": self.csrf, "Accept": "application/json"}
        return await self.client.request(method, path, json=document, headers=headers)

    async def sign_in(self, login: str, password: str = PASSWORD) -> ClientResponse:
        answer = await self.client.post(
            "/console/sign-in",
            data={"login": login, "password": password, "next": "/console"},
            allow_redirects=False,
        )
        if answer.status == 303:
            found = re.search(r'name="csrf" value="([^"]+)"', await self.text("/console"))
            assert found
            self.csrf = found[1]
        return answer


class Seat:
    """A browser of its own for one official."""

    def __init__(self, city: Site, login: str) -> None:
        self._client = TestClient(city.client.server)
        self._login = login

    async def __aenter__(self) -> Any:
        await self._client.start_server()
        return self._signed_in()

    async def _signed_in(self) -> Desk:
        desk = Desk(self._client)
        assert (await desk.sign_in(self._login)).status == 303
        return desk

    async def __aexit__(self, *_: object) -> None:
        await self._client.session.close()


def posted(version: int, city: Site, **changes: Any) -> dict[str, Any]:
    """What the compose screen sends for a complete storm warning."""
    local = (city.now + timedelta(hours=7)).replace(tzinfo=None)
    return {
        "version": version,
        "class": "warning",
        "values": {
            "storm": {"vi": "bão số 3", "en": "storm 3"},
            "start": (local + timedelta(hours=2)).isoformat(timespec="minutes"),
            "wind": "9",
            "source": {"vi": "Đài KTTV 03:00", "en": "Hydro-Met 03:00"},
        },
        "area": {
            "units": [{"code": BA_DINH, "vintage": VINTAGE}],
            "groups": [],
            "polygons": [{"type": "Polygon", "coordinates": [SQUARE]}],
            "circles": [],
        },
        "languages": ["vi", "en"],
        "own": {"vi": {}, "en": {}},
        "own_places": False,
        "expires": (local + timedelta(hours=12)).isoformat(timespec="minutes"),
        "scheduled_for": "",
        "risk_level": 3,
        "river_alarm": None,
        "source": {"issuer": "Đài KTTV", "number": "15", "time": ""},
        "channels": ["push", "sms", "email"],
    } | changes


async def started(desk: Desk, city: Site, unit: str = "01") -> str:
    """Begin a storm draft; return its address."""
    async with city.pool.acquire() as conn:
        unit_number = str(await unit_id(conn, unit))
    answer = await desk.post("/console/alerts/new", event="storm", unit=unit_number)
    assert answer.status == 303, await answer.text()
    return answer.headers["Location"].removesuffix("/edit")


async def submitted(desk: Desk, city: Site) -> str:
    address = await started(desk, city)
    saved = await (await desk.send("PUT", f"{address}/draft", posted(1, city))).json()
    answer = await desk.post(f"{address}/submit", version=str(saved["version"]))
    assert answer.status == 303, await answer.text()
    return address


async def state_of(city: Site, address: str) -> str:
    code = address.rsplit("/", 1)[1]
    return str(await city.pool.fetchval("SELECT state::text FROM alert WHERE code = $1", code))
