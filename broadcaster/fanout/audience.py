"""The audience of an alert, chosen once and frozen: a compressed, hashed set of person ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from broadcaster.db import Conn

Ids = NDArray[np.uint32]


class AudienceBrokenError(RuntimeError):
    """A stored audience does not match its hash, or hangs on another content."""


@dataclass(frozen=True, slots=True)
class Audience:
    """A frozen audience and how far it has been expanded into deliveries."""

    alert_id: int
    ids: Ids
    ids_hash: bytes
    chain_hash: bytes
    expanded_through: int
    unreachable: int


def hash_ids(ids: Ids) -> bytes:
    """SHA-256 over the plain sorted ids, 4 bytes little-endian each: no codec's business."""
    return hashlib.sha256(ids.astype("<u4").tobytes()).digest()


def chain(content_hash: bytes, ids_hash: bytes) -> bytes:
    """Tie an audience to the content it was chosen for."""
    return hashlib.sha256(content_hash + ids_hash).digest()


async def freeze(conn: Conn, now: datetime, alert_id: int, content_hash: bytes, ids: Ids) -> None:
    """Write the one row, inside the transaction that moves the alert to sending.

    `ids` are unique and sorted. Raises asyncpg.UniqueViolationError when it is frozen already.
    """
    bitmap = BitMap(ids)
    bitmap.run_optimize()
    ids_hash = hash_ids(ids)
    await conn.execute(
        "INSERT INTO audience (alert_id, people, ids, ids_hash, chain_hash, frozen_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        alert_id,
        len(ids),
        bitmap.serialize(),
        ids_hash,
        chain(content_hash, ids_hash),
        now,
    )


async def read(conn: Conn, alert_id: int, content_hash: bytes) -> Audience:
    """Read and verify a frozen audience; raises AudienceBrokenError, LookupError."""
    row = await conn.fetchrow("SELECT * FROM audience WHERE alert_id = $1", alert_id)
    if row is None:
        raise LookupError(f"alert {alert_id} has no audience yet")
    ids = np.asarray(BitMap.deserialize(row["ids"]).to_array(), dtype=np.uint32)
    ids_hash = hash_ids(ids)
    if ids_hash != row["ids_hash"] or chain(content_hash, ids_hash) != row["chain_hash"]:
        raise AudienceBrokenError(f"alert {alert_id}")
    return Audience(
        alert_id, ids, ids_hash, row["chain_hash"], row["expanded_through"], row["unreachable"]
    )
