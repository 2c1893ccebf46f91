"""The demo's carriers, held up, so that an alert is still being sent when something is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from channels.lab import fcm_store, smsc_store, smtp, store

CARRIERS = (fcm_store.connect, smsc_store.open_store, smtp.connect)
SLOW_MS = 4_000.0


@contextmanager
def slow_carriers(folder: Path) -> Iterator[None]:
    """Hold every carrier up while the block lasts, and never longer."""
    try:
        _delay(folder, SLOW_MS)
        yield
    finally:
        _delay(folder, 0.0)


def _delay(folder: Path, delay_ms: float) -> None:
    for connect in CARRIERS:
        with closing(connect(folder / "lab")) as conn:
            store.configure(conn, delay_ms=delay_ms)
