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

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 12.0
_RESTART = 0.5


class Supervisor:
    """Keeps processes alive until it is closed; a killed one is back within a second."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {**os.environ, **environ}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def environ(self, more: Mapping[str, str]) -> None:
        """Give processes started from now on these variables too."""
        self._environ |= more

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Keep `python ARGUMENTS` running under a name."""
        self._tasks[name] = asyncio.create_task(self._keep(name, arguments))

    def pid(self, name: str) -> int | None:
        """Process id of a running child, None while it is being started."""
        process = self._running.get(name)
        return process.pid if process and process.returncode is None else None

    async def _keep(self, name: str, arguments: Sequence[str]) -> None:
        while True:
            # The launcher makes the kernel end the child when the demo dies without a word.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", embedded_launch.__file__,
                str(os.getuid()), str(os.getgid()), str(int(signal.SIGTERM)), str(os.getpid()),
                sys.executable, *arguments,
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
        alive = [p for p in self._running.values() if p.returncode is None]
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        waiting = [asyncio.create_task(p.wait()) for p in alive]
        if waiting:
            await asyncio.wait(waiting, timeout=_PATIENCE)
        for process in alive:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
