"""Processes that come up late, die at once, or live and never come up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from broadcaster.demo.supervise import Supervisor
from broadcaster.errors import Refused


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor({})
    yield made
    await made.close()


async def test_a_process_that_takes_its_time_is_waited_for(
    supervisor: Supervisor, free_port: Callable[[], int]
) -> None:
    port = free_port()
    code = f"import socket, time; time.sleep(0.3); s = socket.create_server(('127.0.0.1', {port}))"
    supervisor.start("late", ["-c", f"{code}; time.sleep(60)"])
    await supervisor.listening("late", port)


async def test_a_process_that_died_is_named_at_once_with_its_last_words(
    supervisor: Supervisor, free_port: Callable[[], int], capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; [print('line', n) for n in range(50)]; sys.exit('no such folder')"
    supervisor.start("lab smsc", ["-c", code])
    async with asyncio.timeout(30):
        with pytest.raises(Refused) as caught:
            await supervisor.listening("lab smsc", free_port())
    told = str(caught.value)
    assert "`lab smsc` did not come up" in told
    assert "ended with status 1" in told
    assert "no such folder" in told
    assert "line 49" in told
    assert "line 20\n" not in told
    # What it said is where a log of the demo is looked for, whole.
    assert "line 20\n" in capfd.readouterr().err


async def test_a_process_that_lives_and_never_comes_up_is_named(supervisor: Supervisor) -> None:
    supervisor.start("web", ["-c", "import time; print('waiting', flush=True); time.sleep(60)"])

    async def never() -> bool:
        return False

    with pytest.raises(Refused, match=r"`web` did not come up \(to answer\): it still runs after"):
        await supervisor.came_up("web", never, "answer", within=0.5)
