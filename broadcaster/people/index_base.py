"""Where a process gets its index from: a file that the processes of a machine share, or its own.

The file holds the index as it was at one moment; what changed since, each process adds for itself
(people/live_view.py). Locks of the kernel, which go with their process, decide who builds:
whoever starts while nobody uses the file builds it from the database, everybody else maps what is
there. A new file takes the old one's place whole; who holds the old one keeps it until then.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import structlog

from broadcaster.db import Conn
from broadcaster.people import place_index
from broadcaster.people.changes import Present, Snapshot, includes, present
from broadcaster.people.units import UnitMap
from targeting.index import PeopleIndex
from targeting.index_file import IndexFileError
from targeting.outlines import Outlines

log = structlog.get_logger(__name__)

FILE, USERS, BUILDER = "people.idx", "people.lock", "build.lock"
_CONTENT = 1
"""Raised when what the columns mean changes."""
_POLL = 0.05

Mark: TypeAlias = tuple[int, int]
"""Which file: inode and time of writing."""


class Sight(NamedTuple):
    """How a request sees the city: a connection, its time, and the map of units."""

    conn: Conn
    now: datetime
    units: UnitMap
    stamp: str
    """Of the map."""

    @property
    def outlines(self) -> Outlines | None:
        """Return the outlines; None where no units have been brought in yet."""
        return self.units.outlines if self.units.ids else None


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index was built from: a database at a moment, and a map."""

    database: str
    snapshot: Snapshot
    as_of: datetime
    """Places that had ended by then are not in it."""
    stamp: str

    def fits(self, here: Present, stamp: str) -> bool:
        """Tell whether this and the log since make up the database as it is here."""
        return (
            self.database == here.database
            and self.stamp == stamp
            and self.snapshot[0] >= here.pruned
            and includes(here.snapshot, self.snapshot)
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a file keeps it."""
        xmin, xmax, under_way = self.snapshot
        return {
            "content": _CONTENT,
            "database": self.database,
            "snapshot": [xmin, xmax, list(under_way)],
            "as_of": self.as_of.isoformat(),
            "stamp": self.stamp,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Origin:
        """Read what a file keeps; raises IndexFileError when it is not ours."""
        try:
            xmin, xmax, under_way = value["snapshot"]
            as_of = datetime.fromisoformat(value["as_of"])
            if value["content"] == _CONTENT and as_of.tzinfo:
                return cls(value["database"], (xmin, xmax, under_way), as_of, value["stamp"])
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFileError(f"it does not say what it was built from: {error!r}") from error
        raise IndexFileError("its columns mean something else here")


@dataclass(frozen=True, slots=True)
class Base:
    """An index that does not change, and what it was built from."""

    index: PeopleIndex
    origin: Origin
    mark: Mark | None = None
    """Of its file, where it has one."""


class Source(Protocol):
    """Where a process gets its base from."""

    async def first(self, sight: Sight) -> Base:
        """Return a base that fits, for a process that starts."""

    def newer(self, base: Base) -> Base | None:
        """Return what another process put in the place of this base."""

    async def renewed(self, sight: Sight, base: Base) -> Base:
        """Return a base in the place of one that does not fit or is far behind."""

    def close(self) -> None:
        """Let go of what is held."""


async def build(sight: Sight) -> Base:
    """Build an index of the database as it is now, in memory."""
    here = await present(sight.conn)
    loaded = await place_index.load(sight.conn, sight.now)
    index = await asyncio.to_thread(
        PeopleIndex.build, *loaded.columns, outlines=sight.outlines, unit_keys=sight.units.ids
    )
    return Base(index, Origin(here.database, loaded.snapshot, sight.now, sight.stamp))


class OwnMemory:
    """For a process that shares with nobody: a command, a test."""

    async def first(self, sight: Sight) -> Base:
        """Build one."""
        return await build(sight)

    def newer(self, base: Base) -> Base | None:
        """Return None: nobody else builds."""
        return None

    async def renewed(self, sight: Sight, base: Base) -> Base:
        """Build another."""
        return await build(sight)

    def close(self) -> None:
        """Do nothing."""


class SharedFile:
    """One memory-mapped file for the processes of this machine."""

    def __init__(self, directory: Path) -> None:
        """Name the folder; it is made, closed to others, when the index is first needed."""
        self._directory = directory
        self._path = directory / FILE
        self._users: int | None = None

    async def first(self, sight: Sight) -> Base:
        """Map the file others use; where nobody does, or it does not fit, build it."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._users = _open_lock(self._directory / USERS)
        except OSError as error:
            self._complain(error)
            return await build(sight)
        async with self._building():
            # One process at a time asks whether it is alone, so that one of them builds.
            alone = _take(self._users, fcntl.LOCK_EX)
            _take(self._users, fcntl.LOCK_SH)
            return await self._found_or_built(sight, None if alone else self._read())

    def newer(self, base: Base) -> Base | None:
        """Return what is in the file now, if it is another one than the base's."""
        mark = _mark(self._path)
        return self._read() if mark not in (None, base.mark) else None

    async def renewed(self, sight: Sight, base: Base) -> Base:
        """Build the file anew, or map what another process has just built."""
        if self._users is None:
            return await build(sight)
        async with self._building():
            return await self._found_or_built(sight, self.newer(base))

    def close(self) -> None:
        """Use the file no more; its map goes with the last index on it."""
        if self._users is not None:
            os.close(self._users)
            self._users = None

    @asynccontextmanager
    async def _building(self) -> AsyncIterator[None]:
        lock = _open_lock(self._directory / BUILDER)
        try:
            while True:
                if _take(lock, fcntl.LOCK_EX):
                    break
                await asyncio.sleep(_POLL)
            yield
        finally:
            os.close(lock)

    async def _found_or_built(self, sight: Sight, found: Base | None) -> Base:
        if found and found.origin.fits(await present(sight.conn), sight.stamp):
            return found
        base = await build(sight)
        try:
            await asyncio.to_thread(self._save, base)
        except OSError as error:
            self._complain(error)
            return replace(base, mark=_mark(self._path))
        log.info("index built", people=base.index.people, file=str(self._path))
        return self._read() or base

    def _save(self, base: Base) -> None:
        # A builder that was killed has left its half; nobody else writes while we hold the lock.
        for half in self._directory.glob(f".{FILE}.*"):
            half.unlink()
        base.index.save(self._path, base.origin.to_json())

    def _read(self) -> Base | None:
        """Map the file; None when there is none that can be used."""
        # Asked before: a file that takes its place in between is then noticed at the next look.
        mark = _mark(self._path)
        if mark is None:
            return None
        try:
            index = PeopleIndex.open(self._path)
            return Base(index, Origin.from_json(index.meta), mark)
        except IndexFileError as error:
            log.warning("the index file cannot be used", file=str(self._path), why=str(error))
            return None

    def _complain(self, error: OSError) -> None:
        # A full disk must not keep an alert from its people.
        log.error("the index is kept in memory", file=str(self._path), why=str(error))


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mark(path: Path) -> Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
