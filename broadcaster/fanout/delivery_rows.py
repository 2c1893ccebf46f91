"""Deliveries as PostgreSQL's binary COPY, made by numpy: tens of millions of rows a second."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from broadcaster.fanout.chunks import Chunk
from broadcaster.fanout.policy import CHANNELS

COLUMNS = ["alert_id", "endpoint_id", "updated_at", "lang", "channel"]
"""State and attempts have their defaults."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LABELS = np.array([name.encode() for name in CHANNELS])
_LENGTHS = np.array([len(name) for name in CHANNELS])
# Each value stands behind its size. An enum goes as its label, so the channel stands last: what
# is too long for a label can be cut off the end of the row.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("alert_size", ">i4"), ("alert", ">i8"),
        ("endpoint_size", ">i4"), ("endpoint", ">i8"),
        ("at_size", ">i4"), ("at", ">i8"),
        ("lang_size", ">i4"), ("lang", "S2"),
        ("channel_size", ">i4"), ("channel", _LABELS.dtype),
    ]
)  # fmt: skip


def encode(alert_id: int, now: datetime, chunk: Chunk) -> bytes:
    """Return a chunk's rows as one binary COPY of COLUMNS."""
    since = now - _EPOCH
    lengths = _LENGTHS[chunk.channels]
    rows = np.zeros(len(chunk), dtype=_ROW)
    rows["fields"] = len(COLUMNS)
    rows["alert_size"] = rows["endpoint_size"] = rows["at_size"] = 8
    rows["alert"] = alert_id
    rows["endpoint"] = chunk.endpoint_ids
    rows["at"] = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    rows["lang_size"] = 2
    rows["lang"] = np.where(chunk.english, b"en", b"vi")
    rows["channel_size"] = lengths
    rows["channel"] = _LABELS[chunk.channels]
    return _HEADER + _cut(rows, lengths) + _TRAILER


def _cut(rows: NDArray[np.void], lengths: NDArray[np.int64]) -> bytes:
    """Return the rows without what is behind each one's label."""
    size, longest = _ROW.itemsize, int(_LENGTHS.max())
    plain = rows.view(np.uint8).reshape(len(rows), size)
    used = np.arange(size) < (size - longest + lengths)[:, np.newaxis]
    return plain[used].tobytes()
