"""A chunk as PostgreSQL's binary COPY, made by numpy: its deliveries, and its batches."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.fanout import proof
from broadcaster.fanout.chunks import Chunk
from broadcaster.fanout.policy import CHANNELS, POLICIES

DELIVERY = ["alert_id", "endpoint_id", "updated_at", "wording", "lang", "channel"]
"""State and attempts have their defaults."""
BATCH = ["alert_id", "channel", "not_before", "digest", "endpoint_ids"]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BIGINT = 20
"""Type id of what an array of bigint holds."""
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
        ("wording_size", ">i4"), ("wording", ">i2"),
        ("lang_size", ">i4"), ("lang", "S2"),
        ("channel_size", ">i4"), ("channel", _LABELS.dtype),
    ]
)  # fmt: skip
_ELEMENT = np.dtype([("size", ">i4"), ("id", ">i8")])


def deliveries(alert_id: int, now: datetime, chunk: Chunk) -> bytes:
    """Return a chunk's deliveries as one binary COPY of the columns DELIVERY."""
    lengths = _LENGTHS[chunk.channels]
    rows = np.zeros(len(chunk), dtype=_ROW)
    rows["fields"] = len(DELIVERY)
    rows["alert_size"] = rows["endpoint_size"] = rows["at_size"] = 8
    rows["alert"] = alert_id
    rows["endpoint"] = chunk.endpoint_ids
    rows["at"] = _microseconds(now)
    rows["wording_size"] = rows["lang_size"] = 2
    rows["wording"] = chunk.wording
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


def batches(alert_id: int, chain_hash: bytes, not_before: datetime, chunk: Chunk) -> bytes:
    """Return the batches that send a chunk as one binary COPY of the columns BATCH."""
    rows = _batches(alert_id, chain_hash, _microseconds(not_before), chunk)
    return _HEADER + b"".join(rows) + _TRAILER


def _batches(alert_id: int, chain_hash: bytes, not_before: int, chunk: Chunk) -> Iterator[bytes]:
    for number, channel in enumerate(CHANNELS):
        label = channel.encode()
        start = struct.pack(
            f"!hiqi{len(label)}siqi", len(BATCH), 8, alert_id, len(label), label, 8, not_before,
            proof.SIZE,
        )  # fmt: skip
        ids = chunk.endpoint_ids[chunk.channels == number]
        elements = _elements(ids)
        for part in _parts(len(elements), POLICIES[channel].batch):
            some = elements[part]
            digest = proof.digest(chain_hash, channel, ids[part])
            # One dimension, no nulls, counted from 1.
            array = struct.pack("!5i", 1, 0, _BIGINT, len(some), 1) + some.tobytes()
            yield start + digest + struct.pack("!i", len(array)) + array


def _parts(count: int, size: int) -> Iterator[slice]:
    """Cut a channel's deliveries into batches, the first a tenth of the others.

    Senders take turns by batches: with a small one first, a hundred who alert at once have all
    begun within seconds.
    """
    end = 0
    while end < count:
        start, end = end, min(count, end + (size if end else max(1, size // 10)))
        yield slice(start, end)


def _elements(ids: NDArray[np.int64]) -> NDArray[Any]:
    elements = np.zeros(len(ids), dtype=_ELEMENT)
    elements["size"] = 8
    elements["id"] = ids
    return elements


def _microseconds(moment: datetime) -> int:
    """Return a moment as PostgreSQL counts it."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
