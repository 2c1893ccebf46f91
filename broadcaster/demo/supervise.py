"""Child processes of the demo: started, watched, started again, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from broadcaster import embedded_launch
from broadcaster.errors import Refused
from broadcaster.settings import PREFIX

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 12.0
_RESTART = 0.5
_UP_WITHIN = 120.0
"""Seconds for a process to come up while it lives: a loaded machine takes long."""
_LOOK = 0.05
_TAIL = 4096
_LAST_LINES = 12


class _Log:
    """What a child says: passed on to standard error, its end kept to be told when it dies."""

    def __init__(self) -> None:
        self._tail = b""
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def last_lines(self) -> str:
        """Return the last lines so far."""
        self._read()
        lines = self._tail.decode("utf-8", "replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])

    def close(self) -> None:
        """Pass on what is there, and read no more."""
        self._read()
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1

    def _read(self) -> None:
        while self._reading >= 0:
            try:
                said = os.read(self._reading, 1 << 16)
            except BlockingIOError:
                return
            if not said:
                asyncio.get_running_loop().remove_reader(self._reading)
                os.close(self._reading)
                self._reading = -1
                return
            self._tail = (self._tail + said)[-_TAIL:]
            # A terminal that is gone ends no child.
            with contextlib.suppress(OSError):
                sys.stderr.flush()
                os.write(sys.stderr.fileno(), said)


class Supervisor:
    """Keeps processes alive until it is closed; a killed one is back within a second."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Settings of the caller's shell must not reach the children: the demo has its own.
        outside = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self._environ = {**outside, **environ}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._last: set[str] = set()
        self._logs: dict[str, _Log] = {}
        self._died: dict[str, tuple[int, str]] = {}
        """Exit status and last lines of the first end of those that ended."""

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

    async def listening(self, name: str, port: int, host: str = "127.0.0.1") -> None:
        """Wait until a child listens there; raises Refused as `came_up` does."""
        await self.came_up(name, lambda: listens(host, port), f"listen on {host}:{port}")

    async def came_up(
        self, name: str, holds: Callable[[], Awaitable[bool]], what: str,
        within: float = _UP_WITHIN,
    ) -> None:  # fmt: skip
        """Wait until something holds that a child is to bring about.

        Raises Refused at once when the child has ended, and when it lives and does not come up.
        """
        deadline = time.monotonic() + within
        while not await holds():
            if name in self._died:
                status, said = self._died[name]
                raise _not_up(name, what, f"ended with status {status}", said)
            if time.monotonic() > deadline:
                said = self._logs[name].last_lines() if name in self._logs else ""
                raise _not_up(name, what, f"still runs after {within:.0f} s", said)
            await asyncio.sleep(_LOOK)

    async def _keep(self, name: str, arguments: Sequence[str]) -> None:
        while True:
            child_log = self._logs[name] = _Log()
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
                stdout=child_log.writing,
                stderr=child_log.writing,
                # The terminal's Ctrl-C goes to the demo alone, which ends its children in order.
                start_new_session=True,
            )
            os.close(child_log.writing)
            self._running[name] = process
            status = await process.wait()
            self._died.setdefault(name, (status, child_log.last_lines()))
            child_log.close()
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
        for child_log in self._logs.values():
            child_log.close()

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


async def listens(host: str, port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _not_up(name: str, what: str, how: str, said: str) -> Refused:
    """Tell which process it is; what it said went to standard error when it said it."""
    last = f" Its last lines:\n{said}" if said else " It said nothing."
    return Refused(
        "process_not_up",
        f"Tiến trình “{name}” không khởi động được ({what}): {how}. Nhật ký của nó ở trên, trong"
        f" đầu ra lỗi chuẩn.{last}",
        f"The process `{name}` did not come up (to {what}): it {how}. Its log is what it wrote to"
        f" standard error, above.{last}",
    )
