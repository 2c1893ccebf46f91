"""The sending process as a whole: how it ends while every carrier hangs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broadcaster.db import Conn, Pool
from broadcaster.demo.supervise import listens
from broadcaster.fanout.policy import CHANNELS
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from broadcaster.processes import accounts, sender
from broadcaster.provider_file import ProviderSettings
from broadcaster.settings import Settings
from channels.lab import certs, smsc_store, store
from tests.builders import eventually
from tests.unit.broadcaster.pushing import approved, configure, lab
from tests.unit.broadcaster.sending import author
from tests.unit.channels.email_server import SILENCE, Server

ROOT = Path(__file__).parents[3]


@contextmanager
def hanging_smsc(directory: Path, port: int) -> Iterator[str]:
    """Run an SMSC that takes binds and answers no message."""
    store.configure(smsc_store.open_store(directory), no_answer_rate=1)
    command = [sys.executable, "-m", "channels.lab.smsc", "--dir", directory, "--port", str(port)]
    process = subprocess.Popen(command)
    yield f"smpp://demo:demo@127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@pytest.fixture
async def hanging(
    settings: Settings, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[Settings]:
    """Settings under which every carrier takes messages and answers none."""
    push, text = free_port(), free_port()
    folders = [tmp_path / name for name in ("fcm", "smsc")]
    for folder in folders:
        folder.mkdir()
    mute = Server(lambda verb, _: SILENCE if verb == "BODY" else None)
    with lab(folders[0], push) as fcm, hanging_smsc(folders[1], text) as smpp:
        configure(fcm, timeout_rate=1)
        await eventually(lambda: listens("127.0.0.1", text), 60, "the SMSC listens")
        files = certs.prepare(folders[0], push)
        async with mute:
            yield settings.model_copy(
                update={
                    "fcm_url": f"https://127.0.0.1:{push}", "fcm_credentials": files.credentials,
                    "fcm_ca": files.ca, "smpp_url": smpp, "smtp_url": mute.url,
                    "mail_domain": "canhbao.example",
                }
            )  # fmt: skip


MOST = 20.0
"""Seconds until the end at most; ten are promised of a machine that has time, and it prints how
long it took."""


@pytest.mark.slow
async def test_a_worker_process_ends_in_time_while_every_carrier_hangs(
    conn: Conn, units: UnitMap, hanging: Settings
) -> None:
    await all_channels(conn, hanging)
    environ = os.environ | {
        f"BROADCASTER_{name.upper()}": str(value)
        for name, value in hanging.model_dump(exclude_defaults=True).items()
        if isinstance(value, str | int | Path)
    }
    command = [sys.executable, "run.py", "worker", "--role", "send"]
    worker = subprocess.Popen(command, env=environ, cwd=ROOT)  # noqa: ASYNC220 - ends by itself
    try:
        await under_way(conn)
        began = time.monotonic()
        worker.terminate()
        status = await asyncio.to_thread(worker.wait, 20)
    finally:
        worker.kill()
    took = time.monotonic() - began
    print(f"\nended after {took:.1f} s")
    assert status == 0
    assert took < MOST
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state = 'claimed'") == 0
    assert await conn.fetchval("SELECT count(*) FROM worker WHERE role = 'send'") == 0


async def all_channels(conn: Conn, settings: Settings) -> None:
    """An alert under way on each channel."""
    keyring, writer = Keyring(settings.secret_key or ""), await author(conn)
    for channel in CHANNELS:
        await approved(
            conn, keyring, channel.upper(), writer, channel=channel, count=400, batch=200
        )


async def under_way(conn: Conn) -> None:
    """Wait until every channel hangs."""

    async def all_at_it() -> bool:
        claimed = "SELECT count(DISTINCT channel) FROM batch WHERE state = 'claimed'"
        return bool(await conn.fetchval(claimed) == len(CHANNELS))

    await eventually(all_at_it, 30, "all channels are being sent to")
    await asyncio.sleep(1.0)


@pytest.mark.slow
async def test_it_ends_in_time_while_every_carrier_hangs(
    pool: Pool, conn: Conn, units: UnitMap, hanging: Settings
) -> None:
    await all_channels(conn, hanging)
    assert hanging.database_url
    assert hanging.redis_url
    stopping = asyncio.Event()
    running = asyncio.create_task(
        sender.run(hanging, hanging.database_url, hanging.redis_url, stopping)
    )
    await under_way(conn)
    began = time.monotonic()
    stopping.set()
    await running
    took = time.monotonic() - began
    print(f"\nended after {took:.1f} s")
    assert took < MOST
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state = 'claimed'") == 0
    assert await conn.fetchval("SELECT count(*) FROM worker WHERE role = 'send'") == 0
    listed = {
        row[0]
        for row in await conn.fetch("SELECT unnest(endpoint_ids) FROM batch WHERE state = 'ready'")
    }
    for row in await conn.fetch(
        "SELECT channel::text AS channel, array_agg(endpoint_id) FILTER (WHERE state = 'unknown')"
        " AS unknown, array_agg(endpoint_id) FILTER (WHERE state = 'pending') AS pending,"
        " count(*) FILTER (WHERE state NOT IN ('unknown', 'pending')) AS others"
        " FROM delivery GROUP BY channel"
    ):
        # What was on the wire is told as unknown; nobody is left without a batch to come.
        assert row["unknown"], row["channel"]
        assert set(row["pending"] or ()) <= listed, row["channel"]
        assert row["others"] == 0


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "HTTPS_PROXY"),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "ALL_PROXY"),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "fcm.googleapis.com"}, None),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({}, None),
    ],
)
def test_a_proxy_that_push_does_not_use_is_said_at_the_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str], told: str | None,
) -> None:  # fmt: skip
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    credentials = certs.prepare(tmp_path, 1).credentials
    with capture_logs() as logs:
        accounts._push(settings, ProviderSettings("push", "fcm", credentials=credentials))
    assert [entry["variable"] for entry in logs] == ([told] if told else [])
