"""Child processes of the demo: started, watched, started again, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from broadcaster import embedded_launch
from broadcaster.settings import PREFIX

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 12.0
_RESTART = 0.5


class Supervisor:
    """Keeps processes alive until it is closed; a killed one is back within a second."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Settings of the caller's shell must not reach the children: the demo has its own.
        outside = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self._environ = {**outside, **environ}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._last: set[str] = set()

    def environ(self, more: Mapping[str, str]) -> None:
        """Give processes started from now on these variables too."""
        self._environ |= more

    def start(self, name: str, arguments: Sequence[str], *, last: bool = False) -> None:
        """Keep `python ARGUMENTS` running under a name; `last` ones outlive the others."""
        if last:
            self._last.add(name)
        self._tasks[name] = asyncio.create_task(self._keep(name, arguments))

    def pid(self, name: str) -> int | None:
        """Process id of a running child, None while it is being started."""
        process = self._running.get(name)
        return process.pid if process and process.returncode is None else None

    async def _keep(self, name: str, arguments: Sequence[str]) -> None:
        while True:
            # The launcher makes the kernel end the child when the demo dies without a word.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                embedded_launch.__file__,
                str(os.getuid()),
                str(os.getgid()),
                str(int(signal.SIGTERM)),
                str(os.getpid()),
                sys.executable,
                *arguments,
                cwd=ROOT,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                # The terminal's Ctrl-C goes to the demo alone, which ends its children in order.
                start_new_session=True,
            )
            self._running[name] = process
            status = await process.wait()
            log.warning("process ended, starting it again", process=name, status=status)
            await asyncio.sleep(_RESTART)

    async def close(self) -> None:
        """End every child: SIGTERM, then SIGKILL for what does not go."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        # What sends drains while the carriers still answer.
        await self._end(set(self._running) - self._last)
        await self._end(self._last)

    async def _end(self, names: set[str]) -> None:
        children = [self._running[name] for name in names if name in self._running]
        alive = [process for process in children if process.returncode is None]
        if not alive:
            return
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await asyncio.wait([asyncio.create_task(p.wait()) for p in alive], timeout=_PATIENCE)
        for process in alive:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
