"""The queue only wakes: without it everything still runs, and when it is back it wakes again."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime
from pathlib import Path

import pytest

from broadcaster import jobs
from broadcaster.embedded import start_valkey


async def _until(condition: asyncio.Event, seconds: float = 30) -> None:
    await asyncio.wait_for(condition.wait(), seconds)


async def test_a_wake_up_reaches_the_listener(redis_url: str) -> None:
    woken = asyncio.Event()
    stages: list[str] = []

    def take(stage: str) -> None:
        stages.append(stage)
        woken.set()

    listening = asyncio.create_task(jobs.listen(redis_url, jobs.CLOCK_QUEUE, take))
    waker = jobs.Waker(redis_url)
    assert await waker.wake("start")
    await _until(woken)
    assert stages == ["start"]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await waker.close()


async def test_without_a_queue_a_wake_up_is_refused_quickly_and_raises_nothing(
    data_dir: Path,
) -> None:
    waker = jobs.Waker(f"unix://{data_dir}/nobody.sock")
    async with asyncio.timeout(10):
        assert await waker.wake("start") is False
        assert await jobs.Waker(None).wake("start") is False


async def test_a_queue_that_freezes_under_a_wake_up_holds_nobody_up(data_dir: Path) -> None:
    """After its WATCH was answered, the driver's cleaning up waits for another answer."""
    answers, frozen = {b"PING": b"+PONG\r\n"}, False

    async def freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal frozen
        while read := await reader.read(4096):
            for command in read.split(b"*")[1:]:
                name = command.split(b"\r\n")[2].upper()
                frozen = frozen or name == b"EXISTS"
                writer.write(b"" if frozen else answers.get(name, b"+OK\r\n"))
        writer.close()

    server = await asyncio.start_unix_server(freeze, data_dir / "valkey.sock")
    waker = jobs.Waker(f"unix://{data_dir}/valkey.sock")
    for _ in range(2):
        async with asyncio.timeout(10):
            assert await waker.wake("start") is False
    assert frozen
    await waker.close()
    server.close()


async def test_the_listener_survives_a_valkey_that_is_killed_and_comes_back_empty(
    data_dir: Path,
) -> None:
    valkey = start_valkey(data_dir)
    woken = asyncio.Event()
    listening = asyncio.create_task(
        jobs.listen(valkey.url, jobs.SEND_QUEUE, lambda _stage: woken.set())
    )
    waker = jobs.Waker(valkey.url)
    try:
        assert await waker.wake("send", jobs.SEND_QUEUE)
        await _until(woken)
        valkey.kill()
        assert await waker.wake("send", jobs.SEND_QUEUE) is False
        await asyncio.sleep(0.5)
        valkey.start()
        woken.clear()
        async with asyncio.timeout(30):
            while not woken.is_set():
                await waker.wake("send", jobs.SEND_QUEUE)
                await asyncio.sleep(0.1)
        assert not listening.done()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await waker.close()
        valkey.stop()


async def test_a_queue_that_dies_while_a_wake_up_is_under_way_is_listened_to_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq waits for its jobs while it closes, and what cancels them must not end the listener."""
    monkeypatch.setattr(jobs, "_RESTART", 0.05)
    valkey = start_valkey(data_dir)
    woken = asyncio.Event()
    dying = True

    def take(_stage: str) -> None:
        woken.set()
        if dying:
            os.kill(valkey.pid, signal.SIGSTOP)

    listening = asyncio.create_task(jobs.listen(valkey.url, jobs.SEND_QUEUE, take))
    waker = jobs.Waker(valkey.url)
    try:
        for dying in (True, True, True, False):
            woken.clear()
            async with asyncio.timeout(30):
                while not woken.is_set():
                    await waker.wake("send", jobs.SEND_QUEUE)
                    await asyncio.sleep(0.05)
            if dying:
                await asyncio.sleep(0.2)
                valkey.kill()
                await asyncio.sleep(0.1)
                valkey.start()
        assert not listening.done()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await waker.close()
        valkey.stop()


async def test_the_clock_runs_a_stage_by_itself_and_at_once_when_woken() -> None:
    runs: list[datetime] = []

    async def stage(now: datetime) -> int:
        runs.append(now)
        return 0

    clockwork = jobs.Clockwork({"stage": (stage, 60.0)})
    task = asyncio.create_task(clockwork.run())
    await asyncio.sleep(0.05)
    assert len(runs) == 1
    clockwork.wake("stage")
    clockwork.wake("a stage of another version")
    await asyncio.sleep(0.05)
    assert len(runs) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_failing_stage_stops_neither_the_others_nor_itself() -> None:
    runs = {"good": 0, "bad": 0}

    async def good(_: datetime) -> None:
        runs["good"] += 1

    async def bad(_: datetime) -> None:
        runs["bad"] += 1
        raise ValueError("one alert that cannot be handled")

    clockwork = jobs.Clockwork({"good": (good, 0.01), "bad": (bad, 0.01)})
    task = asyncio.create_task(clockwork.run())
    async with asyncio.timeout(30):
        while runs["bad"] < 4 or runs["good"] < 12:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert runs["bad"] < runs["good"], "a stage that fails waits longer and longer"
