"""A sending alert with deliveries and batches, for the tests of the fan-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from broadcaster.db import Conn
from broadcaster.fanout import audience, batches, steps
from broadcaster.fanout.policy import CHANNELS
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from tests.unit.broadcaster.city import alert, official

CONTENT = b"\1" * 32
"""Stands for the hash of what was approved."""
TABLE = {"push": "fid:{:0>22}", "sms": "+8490{:07}", "email": "nguoi{}@dan.example"}


@dataclass(frozen=True)
class Sending:
    """One alert in state `sending`, and its endpoints."""

    alert_id: int
    endpoint_ids: list[int]


async def author(conn: Conn) -> Actor:
    return await official(conn, "author")


async def endpoints(conn: Conn, keyring: Keyring, channel: str, count: int) -> list[int]:
    made = []
    for _ in range(count):
        endpoint_id = await conn.fetchval("SELECT nextval('endpoint_endpoint_id_seq')")
        address = TABLE[channel].format(endpoint_id)
        await conn.execute(
            "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
            " address_enc, created_at) VALUES ($1, $2, 'active', $3, $4, $5, now())",
            endpoint_id, channel, keyring.key_id, keyring.address_hash(channel, address),
            keyring.seal(address.encode(), "endpoint", "address_enc", endpoint_id),
        )  # fmt: skip
        made.append(endpoint_id)
    return made


async def sending(
    conn: Conn,
    keyring: Keyring,
    written_by: Actor,
    *,
    code: str,
    unit: int = 1,
    lane: int = 1,
    channel: str = "push",
    count: int = 3,
    batch: int = 1000,
    expires: timedelta = timedelta(hours=6),
    content_hash: bytes = CONTENT,
) -> Sending:
    now = datetime.now(UTC)
    approver = await official(conn, f"approver-{code.lower()}")
    alert_id = await alert(
        conn, written_by, unit, code=code, lane=lane, state="sending",
        expires=now + expires, approved_by=approver.official_id, approved_at=now,
        approved_version=1, created_at=now, updated_at=now,
        **{"class": ("emergency", "warning", "information")[lane]},
    )  # fmt: skip
    ids = await endpoints(conn, keyring, channel, count)
    await conn.executemany(
        "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, updated_at)"
        " VALUES ($1, $2, $3, 'vi', now())",
        [(alert_id, endpoint_id, channel) for endpoint_id in ids],
    )
    if count:
        await frozen(conn, alert_id, content_hash=content_hash)
    for start in range(0, count, batch):
        await batches.add(conn, alert_id, channel, [(ids[start : start + batch], 0)])
    await conn.execute(
        "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, $2, $3)",
        alert_id, channel, count,
    )  # fmt: skip
    return Sending(alert_id, ids)


async def frozen(
    conn: Conn,
    alert_id: int,
    people: Sequence[int] = (),
    *,
    content_hash: bytes = CONTENT,
    channels: Sequence[str] = CHANNELS,
) -> None:
    """Freeze people as the audience of an alert, to be reached in one step."""
    now = datetime.now(UTC)
    packed = audience.pack(content_hash, np.array(people, dtype=np.uint32))
    await audience.freeze(conn, now, alert_id, packed)
    await steps.plan(conn, alert_id, [steps.Step(now, tuple(channels))])
