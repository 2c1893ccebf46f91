"""What a sending worker holds in memory with a whole city before it, and whether that grows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.canned import Canned
from bench.outbox import SECRET, Cores, Outbox, outbox

_SAMPLES = 6
_EVERY = 8.0
"""Seconds between samples: the account climbs to its rate meanwhile."""
_PATIENCE = 120.0
_RUN = Path(__file__).resolve().parents[1] / "run.py"


async def measure(
    cores: Cores, server: Canned, people: int, address: Callable[[int], str]
) -> list[float]:
    """Return the resident megabytes of a real worker every few seconds of sending.

    Raises RuntimeError when it ends or sends nothing.
    """
    async with outbox(cores) as box:
        alert_id = await box.alert("push", people, address)
        process = _worker(box.url, server, cores)
        try:
            return await _watch(box, alert_id, process)
        finally:
            process.terminate()
            process.wait(15)


def _worker(database_url: str, server: Canned, cores: Cores) -> subprocess.Popen[bytes]:
    environ = os.environ | {
        "BROADCASTER_DATABASE_URL": database_url,
        # Nobody is there: the worker's limits are its own, and rows are all it needs.
        "BROADCASTER_REDIS_URL": "redis://127.0.0.1:1",
        "BROADCASTER_SECRET_KEY": SECRET,
        "BROADCASTER_FCM_URL": server.url,
        "BROADCASTER_FCM_CREDENTIALS": str(server.files.credentials),
        "BROADCASTER_FCM_CA": str(server.files.ca),
        "BROADCASTER_LOG_LEVEL": "error",
    }
    command = [sys.executable, str(_RUN), "worker", "--role", "send"]
    process = subprocess.Popen(command, env=environ)
    os.sched_setaffinity(process.pid, cores.ours)
    return process


async def _watch(box: Outbox, alert_id: int, process: subprocess.Popen[bytes]) -> list[float]:
    async with asyncio.timeout(_PATIENCE):
        while not await _sent(box, alert_id):
            _check(process)
            await asyncio.sleep(0.2)
    samples = []
    for _ in range(_SAMPLES):
        await asyncio.sleep(_EVERY)
        _check(process)
        samples.append(_resident(process.pid))
    return samples


async def _sent(box: Outbox, alert_id: int) -> int:
    query = "SELECT handed_off FROM progress WHERE alert_id = $1"
    return int(await box.pool.fetchval(query, alert_id))


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"the worker ended with {process.returncode}")


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"no VmRSS for {pid}")
