"""The lab FCM in a process of its own, and batches to send to it."""

import contextlib
import itertools
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from channels.base import Batch, Outcome, Recipient, Unlimited
from channels.lab import certs, fcm_store, store
from channels.push import PushChannel, PushContent

CONTENTS = {
    "vi": PushContent("Bão số 3", "Ở trong nhà từ 18 giờ.", {"url": "/alerts/b3"}),
    "en": PushContent("Typhoon 3", "Stay indoors from 6 pm.", {"url": "/alerts/b3"}),
}
numbers = itertools.count(1)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@dataclass
class Lab:
    directory: Path
    port: int
    files: certs.Files
    conn: sqlite3.Connection
    process: subprocess.Popen[bytes]
    changed: bool = False

    def start(self) -> None:
        self.process = spawn(self.directory, self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    async def set(self, **values: float) -> None:
        store.configure(self.conn, **values)
        self.changed = True
        store.settle(self.conn)

    async def fail(self, address: str, code: str) -> None:
        fcm_store.fail(self.conn, address, code)
        self.changed = True
        store.settle(self.conn)

    async def received(self, address: str) -> list[sqlite3.Row]:
        store.settle(self.conn)
        return self.kept(address)

    def kept(self, address: str) -> list[sqlite3.Row]:
        return self.conn.execute(
            "SELECT * FROM message m JOIN content c ON c.id = m.content WHERE address = ?",
            (address,),
        ).fetchall()

    def channel(self, **options: object) -> PushChannel:
        url = f"https://127.0.0.1:{self.port}"
        return PushChannel(url, self.files.credentials, self.files.ca, **options)


def spawn(directory: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "channels.lab.fcm", "--dir", str(directory)]
    process = subprocess.Popen([*command, "--port", str(port)])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the lab FCM did not start")


def people(count: int, language: str = "vi") -> list[Recipient]:
    return [Recipient(n, f"fid:f{n:021d}", language) for n in itertools.islice(numbers, count)]


def batch(
    recipients: list[Recipient],
    *,
    left: timedelta = timedelta(hours=1),
    tag: str = "alert-1",
    sequence: int = 1,
    contents: dict[str, PushContent] = CONTENTS,
) -> Batch[PushContent]:
    return Batch(contents, recipients, datetime.now(UTC) + left, True, tag, sequence)


async def send(
    channel: PushChannel, sent: Batch[PushContent], permit: Callable[[], bool] = lambda: True
) -> list[Outcome]:
    """Send a batch and check what must hold of every batch."""
    outcomes = [one async for group in channel.send(sent, permit, Unlimited()) for one in group]
    assert sorted(one.ref for one in outcomes) == sorted(one.ref for one in sent.recipients)
    return outcomes
