"""Whom the messages of a root reached, and which words each of them gets next."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.db import Conn
from broadcaster.fanout import audience, leaving, reached, steps
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.reached import LEFT, SHORT, WHOLE, FollowUp
from broadcaster.fanout.steps import Filter, Listed, Step
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NOW, alert, official, unit_id
from tests.unit.broadcaster.sending import endpoints

HASH = b"h" * 32
REACHED = ("handed_off", "confirmed", "seen", "unknown")
NOT_REACHED = ("pending", "failed", "expired", "stopped")


class Root:
    """An alert and what follows it, as rows; people 1 to 8, each with an address of their own."""

    def __init__(self, conn: Conn, unit: int, author: Actor, approver: Actor) -> None:
        self.conn, self.unit, self.author, self.approver = conn, unit, author, approver
        self.ids: list[int] = []
        self.made = 0

    async def follow(
        self, kind: str = "alert", before: int | None = None, **changes: object
    ) -> int:
        self.made += 1
        values: dict[str, object] = {
            "code": f"R{self.made}", "kind": kind, "state": "sending", "started_at": NOW,
            "approved_by": self.approver.official_id, "approved_at": NOW, "approved_version": 1,
        }  # fmt: skip
        if before is not None:
            root = await self.conn.fetchval(
                "SELECT coalesce(root_id, alert_id) FROM alert WHERE alert_id = $1", before
            )
            values |= {"predecessor_id": before, "root_id": root, "sequence": self.made}
        return await alert(self.conn, self.author, self.unit, **(values | changes))

    async def told(self, alert_id: int, *people: int, wording: int = 0, **how: str) -> None:
        for person in people:
            await self.conn.execute(
                "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, state, updated_at,"
                " wording) VALUES ($1, $2, 'push', 'vi', $3, $4, $5)",
                alert_id, self.ids[person - 1], how.get("state", "handed_off"), NOW, wording,
            )  # fmt: skip

    async def frozen(self, alert_id: int, *people: int, left: tuple[int, ...] = ()) -> None:
        await self.conn.execute(
            "INSERT INTO alert_snapshot VALUES ($1, 1, '', $2, $3)", alert_id, HASH, NOW
        )
        packed = audience.pack(HASH, _people(*people, *left))
        await audience.freeze(self.conn, NOW, alert_id, packed)
        if left:
            ids = np.array(sorted(self.ids[one - 1] for one in left))
            listed = Listed(ids, _people(*left), LEFT)
            await steps.plan(self.conn, alert_id, [Step(NOW, ("push",), Filter.LISTED, listed)])

    def people_of(self, endpoint_ids: reached.Endpoints) -> set[int]:
        return {self.ids.index(one) + 1 for one in endpoint_ids.tolist()}

    async def reached(self, alert_id: int) -> set[int]:
        return self.people_of(await reached.reached(self.conn, alert_id))

    async def beyond(self, alert_id: int, *covered: int) -> tuple[set[int], int]:
        follow = await reached.follow_up(self.conn, alert_id)
        assert follow is not None
        found = await reached.beyond(self.conn, NOW, follow, _people(*covered))
        assert set(found.people.tolist()) >= self.people_of(found.endpoint_ids)
        return self.people_of(found.endpoint_ids), found.wording


def _people(*people: int) -> Ids:
    return np.array(sorted(people), dtype=np.uint32)


@pytest.fixture
async def root(conn: Conn, units: UnitMap, keyring: Keyring) -> Root:
    made = Root(
        conn, await unit_id(conn, BA_DINH), await official(conn, "lan"), await official(conn, "an")
    )
    made.ids = await endpoints(conn, keyring, "push", 8)
    await conn.execute("INSERT INTO person (created_at) SELECT $1 FROM generate_series(1, 8)", NOW)
    await conn.execute(
        "INSERT INTO person_endpoint SELECT p, e, $2 FROM"
        " unnest($1::bigint[]) WITH ORDINALITY AS t(e, p)",
        made.ids, NOW,
    )  # fmt: skip
    return made


async def test_reached_is_what_may_have_arrived(root: Root) -> None:
    first = await root.follow()
    for person, state in enumerate(REACHED + NOT_REACHED, 1):
        await root.told(first, person, state=state)
    assert await root.reached(await root.follow("cancel", first)) == {1, 2, 3, 4}
    assert await root.reached(first) == set()


async def test_the_whole_line_counts_and_the_newest_word_wins(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2, 3)
    second = await root.follow("update", first)
    await root.told(second, 3, wording=LEFT)
    await root.told(second, 4)
    third = await root.follow("update", second)
    assert await root.reached(third) == {1, 2, 4}
    # Whoever comes back is told the whole of it again, and may then be reached again.
    await root.told(third, 3)
    assert await root.reached(await root.follow("update", third)) == {1, 2, 3, 4}


async def test_a_correction_goes_to_those_as_well_whom_the_error_left_out(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2)
    second = await root.follow("update", first)
    await root.told(second, 1, wording=SHORT)
    await root.told(second, 2, wording=LEFT)
    cancel = await root.follow("cancel", second, started_at=None, state="stopped", ended_reason="x")
    assert await root.reached(cancel) == {1}
    third = await root.follow("correction", second)
    assert await root.reached(third) == {1, 2}
    assert await root.beyond(third) == ({1, 2}, WHOLE)


async def test_who_is_dropped_is_told_unless_another_live_alert_covers_them(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2, 3, 4)
    update = await root.follow("update", first)
    assert await root.beyond(update, 1) == ({2, 3, 4}, LEFT)
    root.made = 0
    live = await root.follow(code="L1")
    await root.frozen(live, 2)
    over = await root.follow(code="L2", expires=NOW - timedelta(minutes=1))
    await root.frozen(over, 3)
    moved = await root.follow(code="L3", superseded_by=live)
    await root.frozen(moved, 4)
    assert await root.beyond(update, 1) == ({3, 4}, LEFT)
    # An update covers those it was sent to for its area, not those it told that they are out.
    later = await root.follow("update", live, code="L4", sequence=2)
    await root.frozen(later, 3, left=(4,))
    assert await root.beyond(update, 1) == ({4}, LEFT)


async def test_a_shared_address_is_covered_while_anybody_behind_it_is(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2)
    await root.conn.execute("INSERT INTO person_endpoint VALUES (8, $1, $2)", root.ids[1], NOW)
    update = await root.follow("update", first)
    assert await root.beyond(update, 8) == ({1}, LEFT)


async def test_the_forecast_counts_who_would_be_told_that_they_are_left_out(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2, 3, 4, 5)
    await root.told(first, 6, state="failed")
    update = await root.follow("update", first)
    await root.told(update, 5, wording=LEFT)
    later = await root.follow("update", update)
    root.made = 0
    live = await root.follow(code="L1")
    await root.frozen(live, 2)
    await root.conn.execute("INSERT INTO person_endpoint VALUES (8, $1, $2)", root.ids[2], NOW)
    # Another live alert covers 2, somebody who stays shares the address of 3, 5 was told before.
    told = await leaving.leaving(root.conn, NOW, later, _people(1, 2, 3, 4, 5, 6, 7))
    assert (told.people, told.by_channel) == (2, {"push": 2})
    assert await root.beyond(later, 8) == ({1, 4}, LEFT)
    none = await leaving.leaving(root.conn, NOW, later, _people())
    assert (none.people, none.by_channel) == (0, {})


async def test_of_many_who_are_left_out_a_part_is_asked_about(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await root.follow()
    await root.told(first, *range(1, 9))
    update = await root.follow("update", first)
    monkeypatch.setattr(leaving, "ASKED", 3)
    told = await leaving.leaving(root.conn, NOW, update, _people(*range(1, 9)))
    assert (told.people, told.by_channel) == (8, {"push": 8})


async def test_an_all_clear_goes_to_everybody_reached_and_everybody_covered(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2)
    clear = await root.follow("all_clear", first)
    assert await root.beyond(clear, 2, 3) == ({1}, WHOLE)


async def test_an_all_clear_goes_to_those_told_that_they_are_covered_no_longer(root: Root) -> None:
    first = await root.follow()
    await root.told(first, 1, 2)
    second = await root.follow("update", first)
    await root.told(second, 1, wording=SHORT)
    await root.told(second, 2, wording=LEFT)
    assert await root.reached(await root.follow("update", second)) == {1}
    clear = await root.follow("all_clear", second)
    assert await root.reached(clear) == {1, 2}
    assert await root.beyond(clear, 1) == ({2}, WHOLE)


async def test_no_follow_up_starts_while_a_worker_holds_a_batch_of_its_predecessors(
    root: Root,
) -> None:
    first = await root.follow()
    update = await root.follow("update", first)
    await root.frozen(first, 1)
    for state, free in (("claimed", False), ("ready", True), ("done", True)):
        await root.conn.execute("DELETE FROM batch")
        await root.conn.execute(
            "INSERT INTO batch (alert_id, channel, endpoint_ids, digest, state, not_before,"
            " lease_until) VALUES ($1, 'push', '{1}', $2, $3, now(), now())",
            first, b"d" * 16, state,
        )  # fmt: skip
        assert await reached.accounted_for(root.conn, update) is free


@given(
    covered=st.lists(st.integers(1, 200), unique=True),
    before=st.lists(st.integers(1, 200), unique=True),
)
def test_every_covered_endpoint_gets_one_wording_by_whether_it_was_reached(
    covered: list[int], before: list[int]
) -> None:
    ids = np.array(sorted(before), dtype=np.int64)
    found = FollowUp(1, "update", ids).wordings(np.array(covered, dtype=np.int64))
    assert found.tolist() == [SHORT if one in set(before) else WHOLE for one in covered]
    whole = FollowUp(1, "all_clear", ids).wordings(np.array(covered, dtype=np.int64))
    assert set(whole.tolist()) <= {WHOLE}
