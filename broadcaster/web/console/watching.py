"""Alerts that somebody follows: one look at the database each second, shared by all who watch.

A watch begins with the first reader of an alert and ends with the last. It keeps the newest look
and nothing else, so memory hangs on the alerts followed and not on readers or time; a slow reader
misses looks and gets the newest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import AWAY
from broadcaster.errors import Refused
from broadcaster.people.officials import Actor
from broadcaster.states import AlertState
from broadcaster.web import i18n
from broadcaster.web.console import live_facts, live_parts
from broadcaster.web.console.live_parts import Piece
from broadcaster.web.drawing import Busy
from broadcaster.web.keys import CLOCK, POOL

log = structlog.get_logger(__name__)

MOST = 400
"""Streams of one process; whoever comes after them asks again and again instead."""
MOST_EACH = 12
"""Streams of one official in one process."""
_EVERY, _SELDOM = 1.0, 3.0
"""Seconds between two looks: while it is being sent, and while it is not."""
_AT_ONCE = 3
"""Looks that one process takes at a time: they must leave connections to the pages."""
_ANSWERS_KEEP = 3.0


class StreamsFull(Busy):
    """As many follow alerts as this process bears."""

    def __init__(self) -> None:
        Refused.__init__(
            self,
            "streams_full",
            "Đang có quá nhiều người theo dõi trực tiếp. Trang này tự hỏi lại từng lúc.",
            "Too many follow alerts just now. The page asks again by itself.",
        )


@dataclass(slots=True)
class Look:
    """What one look found, and the pieces made of it so far."""

    facts: dict[str, Any]
    at: datetime
    _pieces: dict[str, dict[str, Piece]] = field(default_factory=dict)

    @property
    def alert(self) -> Alert:
        """The alert as it stood then."""
        found: Alert = self.facts["alert"]
        return found

    def pieces(self, request: web.Request) -> dict[str, Piece]:
        """Return the pieces every reader shares, made once in each language."""
        lang = i18n.language()
        if lang not in self._pieces:
            names = live_parts.names(self.facts, "figures")
            self._pieces[lang] = live_parts.pieces(request, live_facts.spoken(self.facts), names)
        return self._pieces[lang]

    def again(self, at: datetime) -> Look:
        """Return the same at a later moment: nothing has changed."""
        return Look(self.facts, at, self._pieces)


@dataclass(slots=True)
class _Answers:
    """What readers of one reach see of the answers, and the pieces made of it."""

    newest: object
    kept_at: float
    facts: dict[str, Any]
    pieces: dict[str, Piece] = field(default_factory=dict)


class Watch:
    """One alert that somebody follows."""

    def __init__(self, app: web.Application, alert_id: int, turns: asyncio.Semaphore) -> None:
        self._app, self._alert_id, self._turns = app, alert_id, turns
        self._look: Look | None = None
        self._stamp: asyncpg.Record | None = None
        self._loaded: Draft | None = None
        self._approved: Snapshot | None = None
        self._answers: dict[object, _Answers] = {}
        self._news = asyncio.Event()
        self._ended = False
        self.readers = 0
        self.task: asyncio.Task[None] | None = None

    async def newer(self, than: Look | None, seconds: float) -> Look | None:
        """Wait for a look that is newer; None when none came in time, or none will."""
        until = time.monotonic() + seconds
        while (self._look is None or self._look is than) and not self._ended:
            news = self._news
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await news.wait()
            except TimeoutError:
                return None
        return self._look if self._look is not than else None

    def end(self) -> None:
        """Tell those who wait that no look will come."""
        self._ended = True
        self._news.set()

    async def answers(self, request: web.Request, actor: Actor, reach: object, look: Look) -> Piece:
        """Return the answers as far as a reader's roles reach, asked once for all of that reach."""
        kept, newest = self._answers.get(reach), look.facts["newest_answer"]
        if kept is None or (kept.newest != newest and _is_old(kept.kept_at)):
            async with self._app[POOL].acquire() as conn:
                facts = await live_facts.answers(conn, actor, look.alert)
            kept = self._answers[reach] = _Answers(newest, time.monotonic(), facts)
        lang = i18n.language()
        if lang not in kept.pieces:
            facts = look.facts | kept.facts
            made = live_parts.pieces(request, facts, [live_parts.OWN])
            kept.pieces[lang] = made[live_parts.OWN]
        return kept.pieces[lang]

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                async with self._turns:
                    look = await self._next()
            except AWAY as error:
                log.warning("a watch waits for the database", why=str(error))
            except Exception:
                # Readers see that nothing new comes and ask for themselves.
                log.exception("a watch failed", alert=self._alert_id)
            else:
                self._look = look
                news, self._news = self._news, asyncio.Event()
                news.set()
            moving = self._look is not None and self._look.facts["moving"]
            await asyncio.sleep(_EVERY if moving else _SELDOM)

    async def _next(self) -> Look:
        now, before = self._app[CLOCK](), self._look
        async with self._app[POOL].acquire() as conn:
            stamp = await live_facts.stamp(conn, self._alert_id)
            # While it is sent carriers come and go, and the time it has taken runs on.
            still = before is not None and before.alert.state is not AlertState.SENDING
            if before is not None and still and stamp == self._stamp:
                return before.again(now)
            alert = await draft.find(conn, self._alert_id)
            if self._loaded is None or self._loaded.alert.version != alert.version:
                self._loaded = await draft.with_content(conn, alert)
            if self._approved is None or self._approved.version != alert.version:
                self._approved = await live_facts.approved_of(conn, alert)
            loaded = replace(self._loaded, alert=alert)
            facts = await live_facts.gather(conn, self._app, loaded, self._approved)
        self._stamp = stamp
        return Look(facts | {"newest_answer": stamp["newest_answer"]}, now)


def _is_old(at: float) -> bool:
    return time.monotonic() - at > _ANSWERS_KEEP


class Streams:
    """Every stream of one process."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._watches: dict[int, Watch] = {}
        self._each: Counter[int] = Counter()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.closing = asyncio.Event()

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._each.total()

    @property
    def followed(self) -> int:
        """How many alerts are followed."""
        return len(self._watches)

    @contextmanager
    def watch(self, alert_id: int, official_id: int) -> Iterator[Watch]:
        """Follow an alert for the length of the block; raises StreamsFull."""
        if self.open >= MOST or self._each[official_id] >= MOST_EACH or self.closing.is_set():
            raise StreamsFull
        self._each[official_id] += 1
        watch = self._watches.get(alert_id)
        if watch is None:
            watch = self._watches[alert_id] = Watch(self._app, alert_id, self._turns)
            # Not in the first reader's context: their language and reach are not everybody's.
            watch.task = asyncio.create_task(watch.run(), context=Context())
        watch.readers += 1
        try:
            yield watch
        finally:
            self._each -= Counter({official_id: 1})
            watch.readers -= 1
            if not watch.readers and watch.task is not None:
                watch.task.cancel()
                del self._watches[alert_id]

    async def close(self) -> None:
        """End every stream: a process that stops does not wait for readers who stay."""
        self.closing.set()
        for watch in self._watches.values():
            watch.end()
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


STREAMS = web.AppKey("streams", Streams)


async def close(app: web.Application) -> None:
    """End every stream when the application begins to stop."""
    await app[STREAMS].close()
