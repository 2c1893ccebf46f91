"""Embedded servers: they start anywhere, survive what happens to them, and leave with us."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from broadcaster import embedded_places
from broadcaster.embedded import (
    EmbeddedError,
    Postgres,
    Valkey,
    fresh_data_dir,
    servers,
    serving,
    start_postgres,
    start_valkey,
)
from broadcaster.embedded_launch import __file__ as launcher
from broadcaster.embedded_places import account
from broadcaster.settings import Settings

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[3]
PROGRAM = """
import sys, time
from pathlib import Path
from broadcaster.embedded import serving
from broadcaster.settings import Settings
with serving(Settings(data_dir=Path(sys.argv[1]))) as found:
    print(found.database_url, found.redis_url, found.owned, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data folder whose PostgreSQL was made once for the tests that do not spoil it."""
    with fresh_data_dir() as path:
        yield path


def query(url: str, statement: str) -> object:
    async def run() -> object:
        conn = await asyncpg.connect(url)
        try:
            return await conn.fetchval(statement)
        finally:
            await conn.close()

    return asyncio.run(run())


def ping(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return bool(client.ping())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def soon(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def postmaster(data_dir: Path) -> int:
    pid_file = data_dir / "servers" / "postgres" / "postmaster.pid"
    return int(pid_file.read_text().split()[0])


def program(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


async def test_both_servers_start_serve_and_stop(cluster: Path) -> None:
    settings = Settings(data_dir=cluster)
    async with servers(settings) as found:
        assert found.owned
        conn = await asyncpg.connect(found.database_url)
        durable = await conn.fetchrow(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
            "current_setting('server_encoding'), current_setting('timezone'), "
            "current_setting('listen_addresses'), upper('đường ngập')"
        )
        await conn.execute("CREATE TABLE kept AS SELECT 1 AS one")
        await conn.close()
        assert tuple(durable or ()) == ("on", "on", "UTF8", "UTC", "", "ĐƯỜNG NGẬP")
        assert await asyncio.to_thread(ping, found.redis_url)
        pid = postmaster(cluster)
    assert gone(pid)
    async with servers(settings) as again:
        assert again.database_url == found.database_url
        conn = await asyncpg.connect(again.database_url)
        assert await conn.fetchval("SELECT one FROM kept") == 1
        await conn.execute("DROP TABLE kept")
        await conn.close()


def test_configured_servers_are_used_and_nothing_is_started(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", database_url="postgresql://h/d", redis_url="redis://h"
    )
    with serving(settings) as found:
        assert (found.database_url, found.redis_url) == ("postgresql://h/d", "redis://h")
        assert not found.owned
    assert not (tmp_path / "data").exists()


def test_only_the_server_that_is_not_configured_is_started(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, database_url="postgresql://h/d")
    with serving(settings) as found:
        assert found.database_url == "postgresql://h/d"
        assert ping(found.redis_url)
    assert not (data_dir / "servers" / "postgres").exists()


def test_killed_servers_come_back_with_their_data(cluster: Path) -> None:
    server = start_postgres(cluster)
    try:
        url = server.url
        query(url, "CREATE TABLE before_crash AS SELECT 7 AS seven")
        server.kill()
        assert not server.running
        assert server.restart().url == url
        assert query(url, "SELECT seven FROM before_crash") == 7
        server.kill()
    finally:
        server.stop()
    again = start_postgres(cluster)
    try:
        assert query(again.url, "SELECT seven FROM before_crash") == 7
        assert again.restart().running
    finally:
        again.stop()


def test_valkey_restarts_after_a_kill_on_the_same_address(data_dir: Path) -> None:
    server = start_valkey(data_dir)
    try:
        url = server.url
        server.kill()
        with pytest.raises(redis.ConnectionError):
            ping(url)
        assert server.restart().url == url
        assert ping(url)
    finally:
        server.stop()
    assert not server.running


def test_a_stale_process_id_that_was_given_to_another_is_not_believed(cluster: Path) -> None:
    server = start_postgres(cluster)
    server.kill()
    server.stop()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    pid_file.write_text(f"{os.getppid()}\n" + "".join(lines[1:]))
    (server.home / "run" / ".s.PGSQL.5432.lock").write_text(f"{os.getppid()}\n")
    again = start_postgres(cluster)
    try:
        assert query(again.url, "SELECT 1") == 1
    finally:
        again.stop()


def test_a_start_that_was_cut_off_leaves_nothing_in_the_way(data_dir: Path) -> None:
    half = data_dir / "servers" / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    (data_dir / "servers").chmod(0o711)
    server = start_postgres(data_dir)
    try:
        assert query(server.url, "SELECT current_database()") == "broadcaster"
    finally:
        server.stop()


def test_another_major_version_is_refused_with_a_way_out(cluster: Path) -> None:
    version = cluster / "servers" / "postgres" / "PG_VERSION"
    start_postgres(cluster).stop()
    original = version.read_text()
    version.write_text("17\n")
    try:
        with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17.*pg_dump"):
            start_postgres(cluster)
    finally:
        version.write_text(original)


def test_a_failing_start_tells_what_the_server_said(cluster: Path) -> None:
    with pytest.raises(EmbeddedError, match="invalid value for parameter"):
        start_postgres(cluster, options={"shared_buffers": "plenty"})


def test_a_second_program_uses_the_servers_of_the_first(cluster: Path) -> None:
    first = program(cluster)
    try:
        addresses = said(first)
        assert addresses[2] == "True"
        with serving(Settings(data_dir=cluster)) as found:
            assert [found.database_url, found.redis_url] == addresses[:2]
            assert not found.owned
            assert query(found.database_url, "SELECT 1") == 1
        assert query(found.database_url, "SELECT 1") == 1
        pid = postmaster(cluster)
        first.communicate("")
        assert first.returncode == 0
        assert gone(pid)
    finally:
        first.kill()
        first.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_servers_stop_when_the_program_is_killed_and_start_again_at_once(cluster: Path) -> None:
    first = program(cluster)
    addresses = said(first)
    query(addresses[0], "CREATE TABLE survives AS SELECT 3 AS three")
    pid = postmaster(cluster)
    first.kill()
    first.communicate()
    with serving(Settings(data_dir=cluster)) as found:
        assert found.owned
        assert query(found.database_url, "SELECT three FROM survives") == 3
        assert ping(found.redis_url)
        assert gone(pid)


def test_a_server_that_dies_under_the_program_is_started_again(cluster: Path) -> None:
    with serving(Settings(data_dir=cluster)) as found:
        pid = postmaster(cluster)
        with redis.Redis.from_url(found.redis_url) as client:
            valkey = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGKILL)
        os.kill(valkey, signal.SIGKILL)

        def both_are_back() -> bool:
            try:
                return ping(found.redis_url) and query(found.database_url, "SELECT 1") == 1
            except (OSError, asyncpg.PostgresError, redis.RedisError):
                return False

        assert soon(both_are_back)
        assert postmaster(cluster) != pid


def test_a_server_outlives_the_thread_that_asked_for_it(data_dir: Path) -> None:
    started: list[Valkey] = []
    thread = threading.Thread(target=lambda: started.append(start_valkey(data_dir)))
    thread.start()
    thread.join()
    try:
        assert not soon(lambda: not started[0].running, seconds=0.3)
        assert ping(started[0].url)
    finally:
        started[0].stop()


async def test_a_start_that_is_cancelled_leaves_no_server(cluster: Path) -> None:
    async def use() -> None:
        async with servers(Settings(data_dir=cluster)):
            await asyncio.sleep(60)

    task = asyncio.ensure_future(use())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (cluster / "servers" / "postgres" / "postmaster.pid").exists()
    async with servers(Settings(data_dir=cluster)) as found:
        assert found.owned


def test_no_folder_of_others_is_opened_up(tmp_path: Path) -> None:
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    before = {path: path.stat().st_mode for path in (private, *private.parents)}
    data = private / "data"
    server: Postgres | None = None
    try:
        server = start_postgres(data)
        assert query(server.url, "SELECT 1") == 1
        assert {path: path.stat().st_mode for path in before} == before
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
        if ROOT:
            assert private not in server.data.parents
            assert (data / "servers").resolve() == server.home
    finally:
        if server is not None:
            server.stop()
            shutil.rmtree(server.home)


def test_a_path_too_long_for_a_socket_moves_the_sockets_only(data_dir: Path) -> None:
    deep = data_dir / ("d" * 90) / "with space"
    deep.mkdir(parents=True)
    server = start_valkey(deep)
    try:
        assert ping(server.url)
        assert server.home.is_relative_to(deep)
        sockets = server.sockets
    finally:
        server.stop()
    assert not sockets.exists()


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_under_root_nobody_else_gets_in_not_even_the_servers_own_user(cluster: Path) -> None:
    server = start_postgres(cluster)
    try:
        assert Path(f"/proc/{server.pid}").stat().st_uid == account(cluster).uid != 0
        psql = [server.tools.postgres / "psql", server.url, "-Atc", "SELECT 1"]
        assert subprocess.run(psql, capture_output=True, check=True).stdout == b"1\n"
        own = as_user(account(cluster).uid, *psql)
        assert b"Peer authentication failed" in own.stderr
        stranger = as_user(account(cluster).uid + 1, *psql)
        assert b"Permission denied" in stranger.stderr
    finally:
        server.stop()


def as_user(uid: int, *command: object) -> subprocess.CompletedProcess[bytes]:
    become = [sys.executable, "-I", "-S", launcher, uid, uid, int(signal.SIGKILL), os.getpid()]
    return subprocess.run(
        [str(part) for part in (*become, *command)], capture_output=True, check=False, cwd="/"
    )


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_under_root_the_files_keep_their_user_when_a_better_one_appears(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_places, "ACCOUNTS", ("nobody",))
    start_valkey(data_dir).stop()
    monkeypatch.setattr(embedded_places, "ACCOUNTS", ("daemon",))
    server = start_valkey(data_dir)
    try:
        assert Path(f"/proc/{server.pid}").owner() == "nobody"
    finally:
        server.stop()


@pytest.mark.skipif(ROOT, reason="root may open everything")
def test_a_folder_of_another_user_is_refused_with_a_way_out(tmp_path: Path) -> None:
    lock = tmp_path / "servers.lock"
    lock.touch(mode=0o000)
    with (
        pytest.raises(EmbeddedError, match=r"belongs to another user.*BROADCASTER_DATA_DIR"),
        serving(Settings(data_dir=tmp_path)),
    ):
        pass
