"""One alert to 20,000 people by three channels, checked message by message at the carriers."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import shapely
from shapely.geometry import Polygon, mapping

from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from tests.builders import (
    CHANNELS,
    Service,
    database_of,
    eventually,
    now,
    service,
    warning,
)

if TYPE_CHECKING:
    from tests.conftest import Servers
    from tests.wire import Received

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SEEDED = 23_500
REACHED = 20_000
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
# Drawn by hand, inside the city and across its communes; the rim and the south are left out.
DRAWN = Polygon(
    [(105.314, 21.171), (105.368, 21.204), (105.388, 21.281), (105.413, 21.275),
     (105.451, 21.159), (105.531, 21.131), (105.626, 21.154), (105.733, 21.226),
     (105.752, 21.292), (105.844, 21.352), (105.865, 21.286), (105.919, 21.253),
     (105.891, 21.207), (105.894, 21.112), (105.992, 21.03), (105.878, 20.93),
     (105.955, 20.72), (105.673, 20.72), (105.662, 20.812), (105.58, 20.865),
     (105.567, 20.923), (105.519, 20.96), (105.452, 20.96), (105.418, 21.032),
     (105.313, 21.058), (105.342, 21.114), (105.314, 21.171)]
)  # fmt: skip
UNIT_SHARE = 0.02
"""People known by their unit only are told once the area takes more than this share of it."""


@dataclass
class Broadcast:
    """The alert, what it said, and what the carriers hold of it."""

    service: Service
    alert: Alert
    content: Content
    received: dict[str, list[Received]]
    people: set[int]
    """Who is in the area, worked out here."""
    muted: list[int]
    """Endpoints of people in the area that must not be written to."""
    expected: dict[str, dict[str, str]]
    """By channel: address → language of everything that should have been written to."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def done(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Broadcast]:
    """The broadcast, over and done with."""
    directory: Path = tmp_path_factory.mktemp("broadcast")
    async with (
        database_of(servers.postgres, "flow_broadcast") as url,
        service(url, servers.valkey, directory, people=SEEDED) as running,
    ):
        begun = now()
        people = await _people_inside(running, begun)
        muted = await _mute(running, people)
        content = warning({"polygons": [mapping(DRAWN)]}, "các xã trong vùng vẽ")
        alert = await running.broadcast(content)
        await running.settled(alert.alert_id)
        await eventually(lambda: _no_receipt_waits(running, alert), 60, "receipts joined", 0.5)
        received = running.received(alert, content)
        await _say_how_long(running, alert)
        expected = await _expected(running, people)
        yield Broadcast(running, alert, content, received, people, muted, expected)


async def _no_receipt_waits(running: Service, alert: Alert) -> bool:
    sms = (await running.states(alert.alert_id))["sms"]
    return set(sms) == {"confirmed"}


async def _say_how_long(running: Service, alert: Alert) -> None:
    rows = await running.rows(
        "SELECT d.channel::text, count(*) AS n,"
        " extract(epoch FROM min(t.at) - a.approved_at)::float AS first,"
        " extract(epoch FROM max(t.at) - a.approved_at)::float AS last"
        " FROM attempt t JOIN delivery d USING (alert_id, endpoint_id)"
        " JOIN alert a USING (alert_id)"
        " WHERE alert_id = $1 AND t.result = 'accepted' GROUP BY d.channel, a.approved_at",
        alert.alert_id,
    )
    for row in rows:
        print("{channel}: {n} from {first:.2f} s to {last:.2f} s".format(**row))


async def _people_inside(running: Service, at: datetime) -> set[int]:
    """Every place against the polygon, one by one: no index, no grid, no SQL geometry."""
    units = {
        row["unit_id"]: shapely.from_wkb(row["outline"])
        for row in await running.rows(
            "SELECT unit_id, outline FROM unit WHERE kind IN ('ward', 'commune')"
        )
    }
    shares = {
        unit_id: shapely.intersection(DRAWN, outline).area / outline.area
        for unit_id, outline in units.items()
    }
    # The drawing must cut communes, leave some out, and be clear about every one of them.
    assert sum(0.05 < share < 0.95 for share in shares.values()) >= 10
    assert sum(share == 0 for share in shares.values()) >= 3
    assert not any(0.9 * UNIT_SHARE < share < 1.1 * UNIT_SHARE for share in shares.values())
    places = await running.rows(
        "SELECT p.person_id, p.unit_id, t.x, t.y FROM person_place p"
        " LEFT JOIN person_point t USING (person_id, place_no)"
        " WHERE p.expires_at IS NULL OR p.expires_at > $1",
        at,
    )
    inside = set()
    for person_id, unit_id, x, y in places:
        if x is None:
            taken = shares[unit_id] > UNIT_SHARE
        else:
            taken = DRAWN.intersects(shapely.Point(x / 1e5, y / 1e5))
        if taken:
            inside.add(person_id)
    return inside


async def _mute(running: Service, people: set[int]) -> list[int]:
    """Retire some endpoints of people inside, and make others unverified."""
    muted = []
    async with running.pool.acquire() as conn:
        for channel in CHANNELS:
            rows = await conn.fetch(
                "SELECT DISTINCT endpoint_id FROM endpoint JOIN person_endpoint"
                " USING (endpoint_id) WHERE channel = $1::channel AND person_id = ANY($2)"
                " ORDER BY endpoint_id LIMIT 10",
                channel,
                sorted(people),
            )
            ids = [row["endpoint_id"] for row in rows]
            await conn.execute(
                "UPDATE endpoint SET state = 'retired', retired_at = now(),"
                " retired_reason = 'test' WHERE endpoint_id = ANY($1)",
                ids[:5],
            )
            await conn.execute(
                "UPDATE endpoint SET state = 'unverified' WHERE endpoint_id = ANY($1)", ids[5:]
            )
            muted += ids
    return muted


async def _expected(running: Service, people: set[int]) -> dict[str, dict[str, str]]:
    rows = await running.rows(
        "SELECT DISTINCT endpoint_id FROM person_endpoint JOIN endpoint USING (endpoint_id)"
        " WHERE person_id = ANY($1) AND state = 'active'",
        sorted(people),
    )
    found: dict[str, dict[str, str]] = {channel: {} for channel in CHANNELS}
    known = await running.addresses([row["endpoint_id"] for row in rows])
    for channel, address, lang in known.values():
        found[channel][address] = lang
    return found


async def test_the_audience_is_who_a_plain_look_at_every_place_finds(done: Broadcast) -> None:
    frozen = (
        await done.service.rows(
            "SELECT people, unreachable FROM audience WHERE alert_id = $1", done.alert.alert_id
        )
    )[0]
    everybody = await done.service.value("SELECT count(*) FROM person")
    assert frozen["people"] == len(done.people)
    assert REACHED <= len(done.people) < everybody - 500, (len(done.people), everybody)
    reached = await done.service.value(
        "SELECT count(DISTINCT person_id) FROM person_endpoint JOIN endpoint USING (endpoint_id)"
        " WHERE person_id = ANY($1) AND state = 'active'",
        sorted(done.people),
    )
    assert frozen["unreachable"] == len(done.people) - reached > 0


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_endpoint_of_the_audience_once_and_nobody_else(
    done: Broadcast, channel: str
) -> None:
    expected = done.expected[channel]
    wire = Counter(message.address for message in done.received[channel])
    assert set(expected) - set(wire) == set(), "somebody was not told"
    assert set(wire) - set(expected) == set(), "somebody outside was told"
    assert {address: n for address, n in wire.items() if n > 1} == {}
    assert len(expected) > 4_000


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_reads_the_wording_in_the_language_of_the_endpoint(
    done: Broadcast, channel: str
) -> None:
    expected = done.expected[channel]
    assert set(expected.values()) == {"vi", "en"}
    words = {
        lang: {
            "push": (wording.push.title, wording.push.body),
            "sms": ("HANOI", wording.sms.text),
            "email": (wording.email.subject, _with_its_end(done.content, lang)),
        }[channel]
        for lang, wording in done.content.wording.items()
    }
    for message in done.received[channel]:
        title, text = words[expected[message.address]]
        assert message.title == title
        assert message.text.replace("\r\n", "\n").strip() == text.strip()


def _with_its_end(content: Content, lang: str) -> str:
    assert content.expires is not None
    end = content.expires.astimezone(HANOI)
    first = {
        "vi": f"Có hiệu lực đến {end:%H:%M ngày %d/%m/%Y}.",
        "en": f"In force until {end:%H:%M, %d %b %Y}.",
    }[lang]
    return f"{first}\n\n{content.wording[lang].email.text}"  # type: ignore[index]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_every_message_carries_the_end_of_the_alert(done: Broadcast, channel: str) -> None:
    assert done.content.expires is not None
    end = done.content.expires.timestamp()
    # To whole seconds, and never past the end; a push says how long, counted from its arrival,
    # so the time between us and the carrier is added.
    on_the_way = 1.0 if channel == "push" else 0
    ends = [message.expires for message in done.received[channel]]
    assert end - 2 < min(ends)
    assert max(ends) <= end + on_the_way
    if channel == "push":
        headers = {
            (m.row["raw"]["apns"]["headers"]["apns-expiration"],
             m.row["raw"]["apns"]["headers"]["apns-collapse-id"])
            for m in done.received["push"]
        }  # fmt: skip
        assert headers == {(str(int(end)), str(done.alert.root_id))}


async def test_a_household_gets_one_message_and_two_phones_get_one_each(done: Broadcast) -> None:
    wire = Counter(message.address for message in done.received["sms"])
    shared = await done.service.rows(
        "SELECT endpoint_id FROM person_endpoint JOIN endpoint USING (endpoint_id)"
        " WHERE person_id = ANY($1) AND channel = 'sms' AND state = 'active'"
        " GROUP BY endpoint_id HAVING count(*) >= 2",
        sorted(done.people),
    )
    two_phones = await done.service.rows(
        "SELECT array_agg(endpoint_id) AS phones FROM person_endpoint"
        " JOIN endpoint USING (endpoint_id)"
        " WHERE person_id = ANY($1) AND channel = 'sms' AND state = 'active'"
        " GROUP BY person_id HAVING count(*) >= 2",
        sorted(done.people),
    )
    assert len(shared) > 200
    assert len(two_phones) > 200
    households = await done.service.addresses([row["endpoint_id"] for row in shared])
    assert {wire[address] for _, address, _ in households.values()} == {1}
    phones = await done.service.addresses([n for row in two_phones for n in row["phones"]])
    assert {wire[address] for _, address, _ in phones.values()} == {1}


async def test_retired_and_unverified_endpoints_are_left_alone(done: Broadcast) -> None:
    assert len(done.muted) == 30
    silent = await done.service.addresses(done.muted)
    written = {m.address for messages in done.received.values() for m in messages}
    assert not written & {address for _, address, _ in silent.values()}


async def test_running_totals_equal_the_rows_equal_the_carriers(done: Broadcast) -> None:
    by_row = await done.service.states(done.alert.alert_id)
    assert by_row == {
        "push": {"handed_off": len(done.received["push"])},
        "email": {"handed_off": len(done.received["email"])},
        "sms": {"confirmed": len(done.received["sms"])},
    }
    assert await done.service.state(done.alert.alert_id) == "sent"
