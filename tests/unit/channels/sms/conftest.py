"""The SMSCs of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from channels.lab.smsc import DEFAULTS, open_store
from channels.lab.store import configure, settings
from channels.sms import SmsChannel
from tests.unit.channels.sms.lab import Lab

QUIET = {"receipt_rate": 0.0, "receipt_delay_ms": 0.0, "redeliver_ms": 50.0}


@pytest.fixture(scope="session")
def one_smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("smsc")
    lab = Lab(directory, open_store(directory))
    lab.start()
    yield lab
    assert lab.stop() == 0
    lab.conn.close()


@pytest.fixture
async def lab(one_smsc: Lab) -> Lab:
    """The shared SMSC with its default settings, quick to redeliver."""
    if settings(one_smsc.conn, DEFAULTS) != DEFAULTS | QUIET:
        one_smsc.conn.execute("DELETE FROM setting")
        await one_smsc.set(**QUIET)
    return one_smsc


@pytest.fixture
async def channel(lab: Lab) -> AsyncIterator[SmsChannel]:
    channel = SmsChannel(lab.url, "HANOI", answer_timeout=30.0)
    await channel.open()
    yield channel
    await channel.close()


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """An SMSC a test may stop and start."""
    lab = Lab(tmp_path, open_store(tmp_path))
    configure(lab.conn, receipt_delay_ms=0, redeliver_ms=50)
    lab.start()
    yield lab
    if lab.process and lab.process.poll() is None:
        lab.stop()
    lab.conn.close()
