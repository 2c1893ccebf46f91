"""What ties a batch to the audience that was frozen, so that no other list is ever sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIZE = 16
"""Bytes of a batch's digest."""


def digest(
    chain_hash: bytes, channel: str, endpoint_ids: Sequence[int] | NDArray[np.int64]
) -> bytes:
    """Return 16 bytes of SHA-256 over an audience's chain, the channel and the ids in order.

    The ids count as 8 bytes each, big-endian, as PostgreSQL sends them.
    """
    listed = np.asarray(endpoint_ids, dtype=">i8").tobytes()
    return hashlib.sha256(chain_hash + channel.encode() + listed).digest()[:SIZE]
