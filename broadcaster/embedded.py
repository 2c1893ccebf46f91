"""The embedded default: PostgreSQL and Valkey from their wheels where no address is configured.

The first program on a data folder holds a lock for its life, starts the servers, brings one back
that dies, and stops them at its end. A second program on the same folder (a command typed while
the demo runs) finds their addresses in a file and uses them. The kernel gives the lock up with
its process, however that ended, so it is never stale.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from broadcaster.embedded_places import EmbeddedError, fresh_data_dir
from broadcaster.embedded_servers import (
    START_SECONDS,
    STOP_SECONDS,
    Postgres,
    Server,
    Valkey,
    start_postgres,
    start_valkey,
)
from broadcaster.settings import Settings, make_data_dir

__all__ = [
    "EmbeddedError",
    "Postgres",
    "Servers",
    "Valkey",
    "fresh_data_dir",
    "servers",
    "serving",
    "start_postgres",
    "start_valkey",
]

LOCK = "servers.lock"
STATE = "servers.json"
WATCH_SECONDS = 0.5
LONGEST_PAUSE = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the database and the queue are, configured or embedded."""

    database_url: str
    redis_url: str
    owned: bool
    """This program started them and stops them."""


@asynccontextmanager
async def servers(settings: Settings) -> AsyncIterator[Servers]:
    """Do what serving() does without holding up the loop."""
    with ExitStack() as stack:
        entering = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, serving(settings)))
        try:
            found = await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait({entering})
            raise
        try:
            yield found
        finally:
            await asyncio.shield(asyncio.to_thread(stack.close))


@contextmanager
def serving(settings: Settings) -> Iterator[Servers]:
    """Give the configured servers, those already running on the data folder, or new ones."""
    if settings.database_url and settings.redis_url:
        yield Servers(settings.database_url, settings.redis_url, owned=False)
        return
    data_dir = make_data_dir(settings.data_dir)
    deadline = time.monotonic() + START_SECONDS + STOP_SECONDS
    while (lock := _take_lock(data_dir)) is None:
        if found := _running(data_dir, settings):
            log.info("using the servers another program runs in %s", data_dir)
            yield found
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"Another program, process {_holder(data_dir)}, keeps the servers in {data_dir} "
                "and neither finishes starting nor stopping them. Stop it, or set "
                "BROADCASTER_DATA_DIR to another folder."
            )
        time.sleep(0.1)
    try:
        with _own(data_dir, settings) as found:
            yield found
    finally:
        os.close(lock)


@contextmanager
def _own(data_dir: Path, settings: Settings) -> Iterator[Servers]:
    state = data_dir / STATE
    state.unlink(missing_ok=True)
    with ExitStack() as stack:
        started: list[Server] = []
        database_url, redis_url = settings.database_url, settings.redis_url
        if database_url is None:
            postgres = start_postgres(data_dir)
            stack.callback(postgres.stop)
            started.append(postgres)
            database_url = postgres.url
        if redis_url is None:
            valkey = start_valkey(data_dir)
            stack.callback(valkey.stop)
            started.append(valkey)
            redis_url = valkey.url
        stack.enter_context(_watched(started))
        embedded = {server.title: server.url for server in started}
        _publish(state, {"pid": os.getpid(), **embedded})
        stack.callback(state.unlink, missing_ok=True)
        yield Servers(database_url, redis_url, owned=True)


@contextmanager
def _watched(started: list[Server]) -> Iterator[None]:
    """Bring a server back that died, until the block ends."""
    ending = threading.Event()

    def watch() -> None:
        pause = WATCH_SECONDS
        while not ending.wait(pause):
            try:
                for server in started:
                    if not server.running:
                        log.error("%s died and is started again", server.title)
                        server.start()
                pause = WATCH_SECONDS
            except (EmbeddedError, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                log.error("%s; next try in %.0f s", error, pause)

    thread = threading.Thread(target=watch, name="embedded-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _take_lock(data_dir: Path) -> int | None:
    path = data_dir / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        raise EmbeddedError(
            f"{data_dir} belongs to another user. Run as that user, or set BROADCASTER_DATA_DIR "
            "to a folder of your own."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _holder(data_dir: Path) -> str:
    return (data_dir / LOCK).read_text(encoding="ascii")


def _running(data_dir: Path, settings: Settings) -> Servers | None:
    """Return what the lock's holder has published, once it has."""
    try:
        state = json.loads((data_dir / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if str(state["pid"]) != _holder(data_dir):
        return None
    database_url = settings.database_url or state.get(Postgres.title)
    redis_url = settings.redis_url or state.get(Valkey.title)
    if not database_url or not redis_url:
        raise EmbeddedError(
            f"Process {state['pid']} uses {data_dir} with a server configured elsewhere. Set the "
            "same BROADCASTER_DATABASE_URL and BROADCASTER_REDIS_URL here."
        )
    return Servers(database_url, redis_url, owned=False)


def _publish(path: Path, state: dict[str, object]) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file)
    fresh.replace(path)
