"""Units' own templates: which one holds, four eyes, versions that never change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import asyncpg
import pytest

from broadcaster.alerts import shelf, template_store
from broadcaster.alerts.content import parse
from broadcaster.alerts.shelf import Item, Version
from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.people.officials import Actor, Role
from broadcaster.people.units import seed_units
from broadcaster.states import VersionState
from templates import document
from templates.render import render
from tests.unit.broadcaster.city import BA_DINH, official, unit_id

NOW = datetime(2026, 9, 9, 20, 17, tzinfo=UTC)
TITLE = "Ở trong nhà từ {{ start }}, gió rất to"


@dataclass
class Shelf:
    conn: Conn
    city: int
    ward: int
    writer: Actor
    reviewer: Actor
    ward_writer: Actor
    ward_reviewer: Actor

    async def copied(self, actor: Actor | None = None, unit: int | None = None) -> Item:
        return await template_store.copy(
            self.conn, actor or self.ward_writer, NOW, unit or self.ward, "storm"
        )

    async def retitled(self, item: Item, actor: Actor, title: str = TITLE) -> Version:
        _, now_there = await template_store.read(self.conn, actor, item.item_id)
        words = now_there.document["words"]
        words = {**words, "vi": {**words["vi"], "push.title": title}}
        return await template_store.save(
            self.conn, actor, NOW, item.item_id, now_there.version, now_there.revision, words
        )

    async def reviewed(self, item: Item, version: Version, writer: Actor, by: Actor) -> Version:
        await template_store.submit(
            self.conn, writer, NOW, item.item_id, version.version, version.revision
        )
        return await template_store.put_in_force(
            self.conn, by, NOW, item.item_id, version.version, version.revision
        )

    async def own(self) -> Item:
        """The ward's copy, in force."""
        item = await self.copied()
        version = await self.retitled(item, self.ward_writer)
        await self.reviewed(item, version, self.ward_writer, self.ward_reviewer)
        return await shelf.find(self.conn, "template", item.item_id)


@pytest.fixture
async def shelves(pool: Pool) -> AsyncIterator[Shelf]:
    async with pool.acquire() as conn:
        await seed_units(conn, NOW)
        city, ward = await unit_id(conn, "01"), await unit_id(conn, BA_DINH)
        yield Shelf(
            conn, city, ward,
            await official(conn, "ha", Role("author", city)),
            await official(conn, "tuan", Role("approver", city)),
            await official(conn, "long", Role("author", ward)),
            await official(conn, "lan", Role("approver", ward), Role("author", ward)),
        )  # fmt: skip


def title(chosen: template_store.Chosen) -> str:
    event = chosen.event
    return render(event.code, "vi", event.examples(), catalogue=chosen.catalogue).push.title


async def test_what_ships_holds_until_a_unit_has_its_own(shelves: Shelf) -> None:
    before = await template_store.in_force(shelves.conn, shelves.ward, "storm")
    assert before.used.id is None
    item = await shelves.own()
    own = await template_store.in_force(shelves.conn, shelves.ward, "storm")
    assert (own.used.id, own.used.version) == (item.item_id, 1)
    assert title(own) == "Ở trong nhà từ 18:00 09/09, gió rất to"
    city = await template_store.in_force(shelves.conn, shelves.city, "storm")
    assert city.used == before.used


async def test_the_nearest_unit_upward_decides(shelves: Shelf) -> None:
    item = await shelves.copied(shelves.writer, shelves.city)
    version = await shelves.retitled(item, shelves.writer, "Ở trong nhà từ {{ start }}")
    await shelves.reviewed(item, version, shelves.writer, shelves.reviewer)
    above = await template_store.in_force(shelves.conn, shelves.ward, "storm")
    assert above.used.id == item.item_id
    own = await shelves.own()
    assert (await template_store.in_force(shelves.conn, shelves.ward, "storm")).used.id == (
        own.item_id
    )
    await shelf.withdraw(shelves.conn, shelves.ward_reviewer, NOW, "template", own.item_id)
    assert (await template_store.in_force(shelves.conn, shelves.ward, "storm")).used.id == (
        item.item_id
    )


async def test_nobody_reviews_their_own_words(shelves: Shelf) -> None:
    """Nor does whoever wrote a word of it before somebody else sent it."""
    item = await shelves.copied()
    await shelves.retitled(item, shelves.ward_reviewer)
    version = await shelves.retitled(item, shelves.ward_writer, "Ở trong nhà từ {{ start }}")
    with pytest.raises(NotAllowed) as refused:
        await shelves.reviewed(item, version, shelves.ward_writer, shelves.ward_reviewer)
    assert refused.value.code == "four_eyes"
    await template_store.put_in_force(
        shelves.conn, shelves.reviewer, NOW, item.item_id, version.version, version.revision
    )


async def test_the_database_itself_refuses_two_eyes_and_a_change_afterwards(
    shelves: Shelf,
) -> None:
    item = await shelves.copied()
    with pytest.raises(asyncpg.CheckViolationError):
        await shelves.conn.execute(
            "UPDATE template_version SET state = 'in_force', submitted_by = $2, reviewed_by = $2,"
            " reviewed_at = now() WHERE template_id = $1",
            item.item_id, shelves.ward_writer.official_id,
        )  # fmt: skip
    own = await shelves.retitled(item, shelves.ward_writer)
    await shelves.reviewed(item, own, shelves.ward_writer, shelves.ward_reviewer)
    for change in ("UPDATE template_version SET document = '{}'", "DELETE FROM template_version"):
        with pytest.raises(asyncpg.RaiseError, match="was reviewed"):
            await shelves.conn.execute(f"{change} WHERE template_id = $1", item.item_id)


async def test_a_draft_the_linter_blocks_is_saved_and_not_sent(shelves: Shelf) -> None:
    item = await shelves.copied()
    version = await shelves.retitled(item, shelves.ward_writer, "Ở TRONG nhà!")
    with pytest.raises(Refused) as refused:
        await template_store.submit(
            shelves.conn, shelves.ward_writer, NOW, item.item_id, 1, version.revision
        )
    assert refused.value.code == "template_not_clean"
    assert "TRONG" in refused.value.message_vi or "2" in refused.value.message_vi


async def test_an_edit_takes_back_what_waits_for_review(shelves: Shelf) -> None:
    item = await shelves.copied()
    version = await shelves.retitled(item, shelves.ward_writer)
    await template_store.submit(
        shelves.conn, shelves.ward_writer, NOW, item.item_id, 1, version.revision
    )
    edited = await shelves.retitled(item, shelves.ward_writer, "Ở trong nhà từ {{ start }}")
    assert edited.state is VersionState.DRAFT
    with pytest.raises(Conflict):
        await template_store.put_in_force(
            shelves.conn, shelves.ward_reviewer, NOW, item.item_id, 1, version.revision
        )


async def test_who_saves_over_another_is_told(shelves: Shelf) -> None:
    item = await shelves.copied()
    version = await shelves.retitled(item, shelves.ward_writer)
    with pytest.raises(Conflict) as refused:
        await template_store.save(
            shelves.conn, shelves.writer, NOW, item.item_id, 1, version.revision - 1,
            version.document["words"],
        )  # fmt: skip
    assert refused.value.code == "newer_version"
    assert "long" in refused.value.message_en.lower()


async def test_a_version_returned_goes_back_with_its_reason(shelves: Shelf) -> None:
    item = await shelves.copied()
    version = await shelves.retitled(item, shelves.ward_writer)
    await template_store.submit(
        shelves.conn, shelves.ward_writer, NOW, item.item_id, 1, version.revision
    )
    mine, returned = await shelf.waiting(shelves.conn, shelves.ward_reviewer, "template")
    assert ([one.item_id for one in mine], returned) == ([item.item_id], [])
    assert await shelf.waiting(shelves.conn, shelves.ward_writer, "template") == ([], [])
    with pytest.raises(Refused, match="Say what has to change"):
        await shelf.send_back(
            shelves.conn, shelves.ward_reviewer, NOW, "template", item.item_id, 1, " "
        )
    back = await shelf.send_back(
        shelves.conn, shelves.ward_reviewer, NOW, "template", item.item_id, 1, "Ghi rõ giờ."
    )
    assert (back.state, back.reason) == (VersionState.DRAFT, "Ghi rõ giờ.")
    mine, returned = await shelf.waiting(shelves.conn, shelves.ward_writer, "template")
    assert (mine, [one.item_id for one in returned]) == ([], [item.item_id])


async def test_an_earlier_version_comes_back_as_a_new_one(shelves: Shelf) -> None:
    item = await shelves.own()
    await template_store.edit(shelves.conn, shelves.ward_writer, NOW, item.item_id)
    second = await shelves.retitled(item, shelves.ward_writer, "Ở trong nhà từ {{ start }}")
    await shelves.reviewed(item, second, shelves.ward_writer, shelves.ward_reviewer)
    third = await template_store.restore(shelves.conn, shelves.ward_writer, NOW, item.item_id, 1)
    assert (third.version, third.restored_from) == (3, 1)
    await shelves.reviewed(item, third, shelves.ward_writer, shelves.ward_reviewer)
    found = await template_store.in_force(shelves.conn, shelves.ward, "storm")
    assert found.used.version == 3
    assert "gió rất to" in title(found)
    states = [v.state for v in await shelf.history(shelves.conn, "template", item.item_id)]
    assert states == [VersionState.IN_FORCE, VersionState.SUPERSEDED, VersionState.SUPERSEDED]


async def test_a_ward_does_not_write_on_the_citys_shelf(shelves: Shelf) -> None:
    with pytest.raises(NotAllowed):
        await shelves.copied(shelves.ward_writer, shelves.city)
    other = await official(shelves.conn, "xa", Role("author", await unit_id(shelves.conn, "00091")))
    item = await shelves.copied()
    with pytest.raises(NotFound):
        await template_store.read(shelves.conn, other, item.item_id)
    with pytest.raises(Conflict):
        await shelves.copied()


async def test_a_content_names_its_template_and_is_told_of_a_newer_one(shelves: Shelf) -> None:
    used = (await template_store.in_force(shelves.conn, shelves.ward, "storm")).used
    content = parse({"event": "storm", "class": "warning", "template": used.model_dump()})
    assert content.to_json()["template"]["version"] == used.version
    assert await template_store.newer(shelves.conn, content, shelves.ward) is None
    await shelves.own()
    newer = await template_store.newer(shelves.conn, content, shelves.ward)
    assert newer is not None
    assert newer.used.id is not None
    kept = await template_store.of_content(shelves.conn, content, shelves.ward)
    assert kept.used == used


async def test_the_list_is_searched_without_accents(shelves: Shelf) -> None:
    await shelves.own()
    found = await template_store.listing(shelves.conn, shelves.ward_writer, search="bao")
    assert "storm" in [entry.event.code for entry in found]
    storm = next(entry for entry in found if entry.event.code == "storm")
    assert [item.unit_id for item in storm.copies] == [shelves.ward]
    water = await template_store.listing(shelves.conn, shelves.ward_writer, group="water")
    assert {"flood", "dam_release", "dyke_incident"} <= {entry.event.code for entry in water}
    assert await template_store.listing(shelves.conn, shelves.ward_writer, search="zzz") == []


async def test_a_file_comes_in_as_a_draft(shelves: Shelf) -> None:
    written = document.shipped("fog")
    item = await template_store.bring_in(
        shelves.conn, shelves.ward_writer, NOW, shelves.ward, written
    )
    assert (item.in_force, item.open_version) == (None, 1)
    broken = replace(written, event={**written.event, "severity": "Bad"})
    with pytest.raises(Refused, match="severity"):
        await template_store.bring_in(shelves.conn, shelves.ward_writer, NOW, shelves.ward, broken)
