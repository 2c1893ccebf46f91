"""How far alerts got: over time, by commune, and against what was foretold."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import foretold
from broadcaster.alerts.foretold import Foretold, Kept
from broadcaster.db import Conn, Pool
from broadcaster.fanout import moves, progress, reach_series, tally
from broadcaster.fanout.moves import Move
from broadcaster.fanout.reach_series import Point, Series, together
from tests.unit.broadcaster import city as people
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import unit_id

COUNTS = st.lists(
    st.tuples(st.floats(0.1, 100), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20
)


def _series(steps: list[tuple[float, int, int]]) -> Series:
    """Points from (seconds since the last, messages more, of them left more)."""
    at, messages, left = 0.0, 0, 0
    points = []
    for seconds, more, gone in steps:
        at, messages = at + seconds, messages + more
        left = min(messages, left + gone)
        points.append(Point(at, messages, left, left // 2, messages - left))
    return Series("push", (Point(0.0, points[0].messages, 0, 0, points[0].messages), *points))


@given(COUNTS)
def test_larger_shares_never_leave_earlier_and_never_before_they_were_counted(
    steps: list[tuple[float, int, int]],
) -> None:
    series = _series(steps)
    times = [series.within(share) for share in (0.1, 0.5, 0.9, 0.99, 1.0)]
    told = [at for at in times if at is not None]
    assert told == sorted(told)
    assert times[len(told) :] == [None] * (5 - len(told))
    last = series.points[-1]
    assert all(at <= last.seconds + 1e-9 for at in told)
    assert (times[-1] is not None) == (last.pending == 0 and last.messages > 0)


@given(st.lists(COUNTS, min_size=1, max_size=3))
def test_together_ends_with_the_sum_of_all_channels(
    channels: list[list[tuple[float, int, int]]],
) -> None:
    series = [_series(steps) for steps in channels]
    last = together(series).points[-1]
    assert last.handed_off == sum(one.points[-1].handed_off for one in series)
    assert last.messages == sum(one.points[-1].messages for one in series)


@given(st.integers(1, 10_000), st.lists(st.floats(0.1, 900), min_size=4, max_size=4))
def test_one_channel_is_foretold_as_its_curve_says(messages: int, waits: list[float]) -> None:
    at = [sum(waits[: n + 1]) for n in range(4)]
    curve = tuple(zip(at, (0.5, 0.9, 0.99, 1.0), strict=True))
    kept = Kept(site.NOW, site.NOW, (Foretold("sms", messages, messages, 0, curve),))
    for seconds, share in curve:
        assert kept.within(share) == pytest.approx(seconds)


def test_nothing_is_foretold_of_channels_without_an_account() -> None:
    kept = Kept(site.NOW, site.NOW, (Foretold("sms", 5, 5, 0, ()),))
    assert kept.within(0.5) is None


async def _alert(conn: Conn, started: datetime) -> tuple[int, dict[int, str]]:
    """An alert of three people in two communes, each with a phone and an address."""
    author = await people.official(conn, "ha")
    home = {}
    alert_id = await people.alert(
        conn, author, await unit_id(conn, "01"), state="sending", started_at=started,
        approved_by=(await people.official(conn, "tuan")).official_id, approved_at=started,
        approved_version=1,
    )  # fmt: skip
    covered = [await unit_id(conn, code) for code in (people.BA_DINH, people.NGOC_HA)]
    await conn.execute(
        "INSERT INTO alert_version (alert_id, version, content, saved_by, saved_at, covered)"
        " VALUES ($1, 1, '{}', $2, $3, $4)",
        alert_id, author.official_id, started, covered,
    )  # fmt: skip
    for number in range(3):
        person = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", started
        )
        # The third lives elsewhere and watches a place that is covered.
        for place, code in enumerate([people.PHU_THUONG, people.NGOC_HA] if number == 2
                                     else [people.BA_DINH]):  # fmt: skip
            await conn.execute(
                "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
                " VALUES ($1, $2, $3, true)", person, place, await unit_id(conn, code),
            )  # fmt: skip
        for channel in ("sms", "email"):
            endpoint = await conn.fetchval(
                "INSERT INTO endpoint (channel, state, hash_key_id, address_hash, address_enc,"
                " created_at) VALUES ($1, 'active', 1, $2, '', $3) RETURNING endpoint_id",
                channel, f"{number} {channel}".encode(), started,
            )  # fmt: skip
            await conn.execute(
                "INSERT INTO person_endpoint VALUES ($1, $2, $3)", person, endpoint, started
            )
            await conn.execute(
                "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, updated_at)"
                " VALUES ($1, $2, $3, $4, $5)",
                alert_id, endpoint, channel, "en" if number == 2 else "vi", started,
            )  # fmt: skip
            home[endpoint] = people.NGOC_HA if number == 2 else people.BA_DINH
    await conn.execute(
        "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, 'sms', 3), ($1, 'email', 3)",
        alert_id,
    )
    return alert_id, home


async def _exactly(conn: Conn, alert_id: int, home: dict[int, str]) -> None:
    """What was counted is what the rows say, one by one."""
    rows = await conn.fetch(
        "SELECT endpoint_id, channel::text, state::text FROM delivery WHERE alert_id = $1", alert_id
    )
    wanted: dict[tuple[int, str, str], int] = {}
    for endpoint_id, channel, state in rows:
        key = await unit_id(conn, home[endpoint_id]), channel, state
        wanted[key] = wanted.get(key, 0) + 1
    found = await tally.of_alert(conn, alert_id)
    assert found is not None
    assert found.exact
    counted = {
        (one.unit_id, one.channel, state): count
        for one in found.communes
        for state, count in one.counts.items()
        if count
    }
    assert counted == wanted


async def test_communes_are_counted_when_something_moved_and_each_person_in_one(
    pool: Pool, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "_PIECE", 4)
    alert_id, home = await _alert(conn, site.NOW)
    counter = tally.Counter(pool)
    assert await counter.count_due(site.NOW) == 1
    await _exactly(conn, alert_id, home)
    later = site.NOW + timedelta(seconds=10)
    assert await counter.count_due(later) == 0
    await moves.move(conn, later, alert_id, [Move(one, "handed_off") for one in list(home)[:3]])
    stale = await tally.of_alert(conn, alert_id)
    assert stale is not None
    assert not stale.exact
    # A process that took over knows no homes, and counts the same.
    assert await tally.Counter(pool).count_due(later) == 1
    await _exactly(conn, alert_id, home)
    last = later + timedelta(seconds=10)
    await moves.move(conn, last, alert_id, [Move(one, "failed") for one in list(home)[3:]])
    assert await counter.count_due(last) == 1
    await _exactly(conn, alert_id, home)
    kept = await tally.of_alert(conn, alert_id)
    assert kept is not None
    tried = await progress.progress(conn, alert_id)
    sms = next(one for one in tried if one.channel == "sms")
    assert sum(one.messages for one in kept.texts) == sms.handed_off


async def test_a_count_rests_longer_than_it_took(pool: Pool, conn: Conn) -> None:
    alert_id, home = await _alert(conn, site.NOW)
    counter = tally.Counter(pool)
    await counter.count_due(site.NOW)
    await conn.execute("UPDATE commune_tally SET took = 2")
    await moves.move(conn, site.NOW, alert_id, [Move(next(iter(home)), "handed_off")])
    assert await counter.count_due(site.NOW + timedelta(seconds=29)) == 0
    assert await counter.count_due(site.NOW + timedelta(seconds=31)) == 1


async def test_points_are_kept_when_counts_move_ever_further_apart_and_at_the_end_at_once(
    pool: Pool, conn: Conn
) -> None:
    alert_id, _ = await _alert(conn, site.NOW)
    sms = await conn.fetch("SELECT endpoint_id FROM delivery WHERE channel = 'sms'")
    ids = [row["endpoint_id"] for row in sms]

    async def after(seconds: float, *gone: int) -> int:
        moment = site.NOW + timedelta(seconds=seconds)
        await moves.move(conn, moment, alert_id, [Move(one, "handed_off") for one in gone])
        return await reach_series.keep(pool, moment)

    assert await after(1) == 2
    assert await after(2) == 0
    assert await after(3, ids[0]) == 1
    assert await after(599) == 0
    assert await after(600, ids[1]) == 1
    # A sixtieth of ten minutes has not passed, but now nothing is left to do.
    assert await after(602, ids[2]) == 1
    found = {one.channel: one for one in await reach_series.of_alert(conn, alert_id)}
    assert [(p.seconds, p.left) for p in found["sms"].points] == [
        (0, 0), (1, 0), (3, 1), (600, 2), (602, 3)
    ]  # fmt: skip
    assert found["sms"].ended == 602
    assert found["email"].ended is None
    assert found["sms"].within(0.5) == pytest.approx(3 + 0.5 * 597)


async def test_an_approval_is_foretold_once_and_without_what_it_sends_itself(
    city: site.Site,
) -> None:
    alert = await site.publish(city)
    async with city.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, 'sms', 100000)",
            alert.alert_id,
        )
        assert await foretold.of_alert(conn, alert.alert_id) is None
    assert await foretold.keep_due(city.pool, city.now, city.keyring, city.selector) == 1
    assert await foretold.keep_due(city.pool, city.now, city.keyring, city.selector) == 0
    async with city.pool.acquire() as conn:
        kept = await foretold.of_alert(conn, alert.alert_id)
        rows = await conn.fetch("SELECT * FROM alert_forecast")
    assert len(rows) == 1
    # The only resident has no address: nothing is to be sent, and nothing stands in its way.
    assert kept is not None
    assert kept.messages == 0
    assert all(seconds < 1 for one in kept.channels for seconds, _ in one.curve)
