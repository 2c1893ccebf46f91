"""One lab FCM for all tests of push, and a channel to it."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from channels.lab import certs, fcm_store
from channels.lab.fcm import DEFAULTS
from channels.push import PushChannel
from tests.unit.channels.push.lab import Lab, free_port, spawn


@pytest.fixture(scope="package")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory, port = tmp_path_factory.mktemp("fcm"), free_port()
    files = certs.prepare(directory, port)
    lab = Lab(directory, port, files, fcm_store.connect(directory), spawn(directory, port))
    yield lab
    lab.stop()
    lab.conn.close()


@pytest.fixture
async def lab(shared_lab: Lab) -> AsyncIterator[Lab]:
    yield shared_lab
    if shared_lab.changed:
        shared_lab.conn.execute("DELETE FROM fault")
        await shared_lab.set(**DEFAULTS)
        shared_lab.changed = False


@pytest.fixture
async def push(lab: Lab) -> AsyncIterator[PushChannel]:
    channel = lab.channel(timeout=timedelta(seconds=30))
    await channel.open()
    yield channel
    await channel.close()
    await channel.close()
