"""An SMSC in a process of its own, and what a test needs to talk about it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from channels.base import Batch, Outcome, Pace, Recipient, Unlimited
from channels.lab.store import configure, settle
from channels.sms import SmsChannel, SmsContent

LONG = "Bão số 3 đổ bộ lúc 19 giờ, gió giật cấp 14. Ở yên trong nhà kiên cố, tránh xa cửa kính. 🌀"
"""Two parts."""
_numbers = itertools.count(84_910_000_000)


@dataclass
class Lab:
    directory: Path
    conn: sqlite3.Connection
    port: int = 0
    process: subprocess.Popen[str] | None = None
    extra: Sequence[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smpp://city:s%40cret@127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "channels.lab.smsc"),
                *("--dir", str(self.directory), "--port", str(self.port)),
                *("--system-id", "city", "--password", "s@cret"),
                *self.extra,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self, *, kill: bool = False) -> int:
        assert self.process
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        return self.process.wait(10)

    async def set(self, **values: float) -> None:
        """Change settings and wait until the SMSC obeys them."""
        configure(self.conn, **values)
        settle(self.conn)

    def rows(self, table: str, numbers: Sequence[str]) -> list[sqlite3.Row]:
        marks = ",".join("?" * len(numbers))
        return self.conn.execute(
            f"SELECT * FROM {table} WHERE number IN ({marks}) ORDER BY id", numbers
        ).fetchall()


async def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something to become true; the assertion that follows says what was missing."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert true()


def fresh(count: int) -> list[str]:
    return [f"+{next(_numbers)}" for _ in range(count)]


def batch(numbers: Sequence[str], text: str, *, minutes: float = 60, urgent: bool = True) -> Batch:
    return Batch(
        contents={"vi": SmsContent(text)},
        recipients=[Recipient(ref, number, "vi") for ref, number in enumerate(numbers)],
        expires=datetime.now(UTC) + timedelta(minutes=minutes),
        urgent=urgent,
    )


async def sent(
    channel: SmsChannel,
    what: Batch,
    permit: Callable[[], bool] = lambda: True,
    pace: Pace | None = None,
) -> list[Outcome]:
    """Send a batch; check what holds for every batch, return the outcomes by ref."""
    outcomes: list[Outcome] = []
    async for group in channel.send(what, permit, pace or Unlimited()):
        assert 1 <= len(group) <= channel.limits.in_doubt
        outcomes += group
    outcomes.sort(key=lambda one: one.ref)
    assert [one.ref for one in outcomes] == [one.ref for one in what.recipients]
    return outcomes


async def shown(lab: Lab, numbers: list[str], count: int | None = None) -> list[str]:
    """Wait until phones show that many messages; give their texts."""
    wanted = len(numbers) if count is None else count
    await until(lambda: len(lab.rows("message", numbers)) >= wanted)
    return [row["text"] for row in lab.rows("message", numbers)]
