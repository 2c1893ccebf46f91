"""One index file for the processes of a machine: who builds it, when, and what is not trusted."""

from __future__ import annotations

import asyncio
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broadcaster import db
from broadcaster.db import Conn, Pool
from broadcaster.people import index_base, live_view, place_index, selection
from broadcaster.people.index_base import BUILDER, FILE, USERS, Base, Sight, build
from broadcaster.people.selection import Selector
from tests.builders import eventually
from tests.unit.broadcaster.city import NOW
from tests.unit.broadcaster.test_people_selection import BA_DINH_AREA, CITY, NGOC_HA_AREA, add

ASK = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from broadcaster import db
from broadcaster.people.selection import Selector

async def main():
    pool = await db.connect(sys.argv[1], most=2)
    selector = Selector(Path(sys.argv[2]), pool)
    async with pool.acquire() as conn:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await selector.people(conn, datetime.fromisoformat(sys.argv[3]),
                {"units": [{"code": "01", "vintage": "2025-07-01"}]}), flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[Base]:
    """A count looks at the database each time; every base built in this process is listed."""
    made: list[Base] = []

    async def noted(sight: Sight) -> Base:
        made.append(await build(sight))
        return made[-1]

    monkeypatch.setattr(selection, "LOOK", 0.0)
    monkeypatch.setattr(index_base, "build", noted)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "index"


@pytest.fixture
async def start(pool: Pool, folder: Path) -> AsyncIterator[Callable[[], Selector]]:
    """Start what stands for a process."""
    started: list[Selector] = []

    def one() -> Selector:
        started.append(Selector(folder, pool))
        return started[-1]

    yield one
    for selector in started:
        await selector.close()


async def test_the_first_builds_and_the_others_map_the_same_file(
    conn: Conn, pool: Pool, start: Callable[[], Selector], folder: Path, built: list[Base]
) -> None:
    await add(conn)
    selectors = [start() for _ in range(3)]

    async def ask(selector: Selector) -> int:
        async with pool.acquire() as own:
            return await selector.people(own, NOW, CITY)

    assert await asyncio.gather(*map(ask, selectors)) == [1, 1, 1]
    assert len(built) == 1
    await add(conn)
    assert await asyncio.gather(*map(ask, selectors)) == [2, 2, 2]
    assert len(built) == 1
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / FILE)}
    assert modes == {"index": 0o700, FILE: 0o600}


async def test_a_file_nobody_uses_is_built_from_the_database_at_start(
    conn: Conn, start: Callable[[], Selector], built: list[Base]
) -> None:
    await add(conn)
    first = start()
    assert await first.people(conn, NOW, CITY) == 1
    await first.close()
    assert await start().people(conn, NOW, CITY) == 1
    assert len(built) == 2


async def test_two_processes_share_one_file(
    database: str, conn: Conn, start: Callable[[], Selector], folder: Path, built: list[Base]
) -> None:
    await add(conn)
    here = start()
    assert await here.people(conn, NOW, CITY) == 1
    file = (folder / FILE).stat()
    there = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, database, str(folder), NOW.isoformat(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def answer() -> int:
        assert there.stdin is not None
        assert there.stdout is not None
        there.stdin.write(b"\n")
        return int(await there.stdout.readline())

    try:
        assert await answer() == 1
        for people in (2, 3):
            await add(conn)
            deadline = time.monotonic() + 20
            while (told := await answer()) != people and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            assert told == people, "a change is seen"
            assert await here.people(conn, NOW, CITY) == people
        assert (folder / FILE).stat() == file
        # It is in use as long as that process lives, and no longer.
        await here.close()
        assert await start().people(conn, NOW, CITY) == 3
        assert len(built) == 1
    finally:
        there.kill()
        await there.wait()


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"something else")


@pytest.mark.parametrize("damage", [_cut, _overwrite, Path.unlink])
async def test_a_damaged_file_is_built_anew(
    conn: Conn, start: Callable[[], Selector], folder: Path, built: list[Base],
    damage: Callable[[Path], Any],
) -> None:  # fmt: skip
    await add(conn)
    assert await start().people(conn, NOW, CITY) == 1
    # What is mapped must stay as it is, so the damage is done to a file in its place.
    copy = folder / "copy"
    copy.write_bytes((folder / FILE).read_bytes())
    copy.replace(folder / FILE)
    damage(folder / FILE)
    assert await start().people(conn, NOW, CITY) == 1
    assert len(built) == 2


async def test_a_file_of_another_database_is_not_trusted(
    conn: Conn, start: Callable[[], Selector], built: list[Base], folder: Path,
    empty_database: str,
) -> None:  # fmt: skip
    await add(conn)
    assert await start().people(conn, NOW, CITY) == 1
    await db.migrate(empty_database)
    others = await db.connect(empty_database, most=2)
    try:
        async with others.acquire() as other:
            theirs = Selector(folder, others)
            assert not (await theirs.density(other, NOW, (105, 20, 107, 22), 1, 1)).any()
            await theirs.close()
    finally:
        await others.close()
    assert [base.index.people for base in built] == [1, 0]
    assert await start().people(conn, NOW, CITY) == 1


async def test_a_log_that_reaches_back_too_little_is_not_enough(
    conn: Conn, pool: Pool, start: Callable[[], Selector], built: list[Base]
) -> None:
    selector = start()
    assert await selector.people(conn, NOW, CITY) == 0
    await add(conn)
    assert await place_index.prune(conn, NOW) == 0, "what is not folded is kept"
    added = 1

    async def pruned() -> int:
        nonlocal added
        later = await conn.fetchval("SELECT now()") + place_index.KEPT + timedelta(minutes=1)
        await place_index.fold(pool)
        if number := await place_index.prune(conn, later):
            return number
        # A transaction under way anywhere in the cluster keeps the log; a fold moves the mark on.
        await add(conn)
        added += 1
        return 0

    await eventually(pruned, 30, "the log is pruned")
    assert await selector.people(conn, NOW, CITY) == added
    assert len(built) == 2


async def test_new_outlines_are_a_new_index(
    conn: Conn, start: Callable[[], Selector], built: list[Base]
) -> None:
    await add(conn)
    selector = start()
    assert await selector.people(conn, NOW, NGOC_HA_AREA) == 0
    await conn.execute("UPDATE unit SET population = population + 1 WHERE code = '00008'")
    assert await selector.people(conn, NOW, BA_DINH_AREA) == 1
    assert len(built) == 2


@pytest.mark.parametrize("why", ["changes", "age"])
async def test_a_base_far_behind_is_built_anew_while_the_old_one_answers(
    conn: Conn, start: Callable[[], Selector], built: list[Base], folder: Path, why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await add(conn)
    selector, other = start(), start()
    for one in (selector, other):
        assert await one.people(conn, NOW, CITY) == 1
    inode = (folder / FILE).stat().st_ino
    now = NOW
    if why == "age":
        now += live_view.OLDEST + timedelta(seconds=1)
    else:
        monkeypatch.setattr(live_view, "FEW", 1)
        await add(conn)
        assert await selector.people(conn, now, CITY) == 2
        await add(conn)
    people = await selector.people(conn, now, CITY)
    deadline = time.monotonic() + 20
    while (folder / FILE).stat().st_ino == inode and time.monotonic() < deadline:
        assert await selector.people(conn, now, CITY) == people
        await asyncio.sleep(0.01)
    assert (folder / FILE).stat().st_ino != inode
    for one in (selector, other):
        assert await one.people(conn, now, CITY) == people
    await add(conn)
    for one in (selector, other):
        assert await one.people(conn, now, CITY) == people + 1
    assert len(built) == 2
    assert {path.name for path in folder.iterdir()} == {FILE, USERS, BUILDER}  # noqa: ASYNC240


async def test_many_changed_at_once_are_loaded_instead_of_carried(
    conn: Conn, start: Callable[[], Selector], built: list[Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = start()
    assert await selector.people(conn, NOW, CITY) == 0
    monkeypatch.setattr(live_view, "FEW", 1)
    for _ in range(2):
        await add(conn)
    assert await selector.people(conn, NOW, CITY) == 2
    assert len(built) == 2


async def test_where_no_file_can_be_written_the_index_is_kept_in_memory(
    conn: Conn, pool: Pool, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    selector = Selector(tmp_path / "data" / "index", pool)
    for people in (1, 2):
        await add(conn)
        assert await selector.people(conn, NOW, CITY) == people
    await selector.close()


async def test_folding_again_or_at_once_changes_nothing(conn: Conn, pool: Pool) -> None:
    for _ in range(5):
        await add(conn)
    folded = await asyncio.gather(*(place_index.fold(pool) for _ in range(4)))
    assert sum(1 for people in folded if people) >= 1
    rows = await conn.fetch("SELECT block, places FROM place_index")
    assert [row["block"] for row in rows] == [0]
    assert len(rows[0]["places"]) == 5 * 26
    assert await place_index.fold(pool) == 0
    await conn.execute("INSERT INTO person_change (person_ids) VALUES ('{1,2,3}')")
    assert await place_index.fold(pool) == 3
    assert await conn.fetch("SELECT block, places FROM place_index") == rows


async def test_a_dump_from_elsewhere_is_folded_anew(
    conn: Conn, pool: Pool, start: Callable[[], Selector]
) -> None:
    await add(conn)
    await place_index.fold(pool)
    # As a restored dump is: a mark and a log with the numbers of another server.
    await conn.execute("UPDATE place_index_mark SET cluster = 1, snapshot = '999999:999999:'")
    await conn.execute("INSERT INTO person_change (xid, person_ids) VALUES ('999999', '{7}')")
    await add(conn)
    assert len((await place_index.load(conn, NOW)).columns.lons) == 2
    selector = start()
    assert await selector.people(conn, NOW, CITY) == 2
    assert await place_index.fold(pool) == 2
    assert await conn.fetchval("SELECT count(*) FROM person_change") == 0
    await add(conn)
    assert await selector.people(conn, NOW, CITY) == 3
    assert len((await place_index.load(conn, NOW)).columns.lons) == 3


async def test_whoever_sends_knows_nothing_of_the_index() -> None:
    """A sending worker holds no index: it needs none, and there are many of them."""
    script = (
        "import sys, broadcaster.processes.sender;"
        "print([name for name in sys.modules if name.startswith('targeting')"
        " or name in ('broadcaster.people.selection', 'broadcaster.people.index_base')])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert told.strip() == b"[]"
