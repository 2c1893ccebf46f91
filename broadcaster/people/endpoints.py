"""Endpoints: one row for each address in the city, linked to everyone behind it.

Writes endpoint, person_endpoint and official_endpoint, and deletes the claims of who leaves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broadcaster.db import Conn
from broadcaster.keyring import Keyring

NEXT_ID = "nextval(pg_get_serial_sequence('endpoint', 'endpoint_id'))"
_RACES = 3
LEFT = "left"
"""Reason of an endpoint nobody stands behind any more; its address is erased."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A channel and a normalised address on it."""

    channel: str
    value: str


async def ensure(conn: Conn, keyring: Keyring, now: datetime, address: Address) -> int:
    """Return the endpoint of an address, made (unverified) when there is none.

    A known address and a new one take the same statements, so that the time an answer takes
    does not tell whether somebody is registered.
    """
    for _ in range(_RACES):
        try:
            async with conn.transaction():
                return await _ensure(conn, keyring, now, address)
        except asyncpg.UniqueViolationError:
            # Somebody else has just made it: the next look finds theirs.
            continue
    raise RuntimeError("an endpoint appears and vanishes")


async def _ensure(conn: Conn, keyring: Keyring, now: datetime, address: Address) -> int:
    hashes = keyring.address_hashes(address.channel, address.value)
    endpoint_id: int = await conn.fetchval(
        "SELECT coalesce((SELECT endpoint_id FROM endpoint WHERE channel = $1"
        f" AND address_hash = ANY($2)), {NEXT_ID})",
        address.channel, hashes,
    )  # fmt: skip
    # Written also where it was known: sealed with today's key, and readable again after an
    # address was erased and has come back.
    await conn.execute(
        "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
        " address_enc, created_at) VALUES ($1, $2, 'unverified', $3, $4, $5, $6)"
        " ON CONFLICT (endpoint_id) DO UPDATE SET hash_key_id = excluded.hash_key_id,"
        "  address_hash = excluded.address_hash, address_enc = excluded.address_enc",
        endpoint_id, address.channel, keyring.key_id,
        keyring.address_hash(address.channel, address.value),
        keyring.seal(address.value.encode(), "endpoint", "address_enc", endpoint_id), now,
    )  # fmt: skip
    return endpoint_id


async def known_or_new(conn: Conn, keyring: Keyring, now: datetime, address: Address) -> int:
    """Return the endpoint of somebody who wrote to us; made, or readable again, where needed.

    Unlike `ensure` it writes nothing where the endpoint is known: it is no secret to who writes.
    """
    known: int | None = await conn.fetchval(
        "SELECT endpoint_id FROM endpoint WHERE channel = $1 AND address_hash = ANY($2)"
        " AND address_enc <> ''",
        address.channel,
        keyring.address_hashes(address.channel, address.value),
    )
    return known or await ensure(conn, keyring, now, address)


async def find(conn: Conn, keyring: Keyring, address: Address) -> int | None:
    """Return the endpoint of a normalised address, None when there is none."""
    found: int | None = await conn.fetchval(
        "SELECT endpoint_id FROM endpoint WHERE channel = $1 AND address_hash = ANY($2)",
        address.channel,
        keyring.address_hashes(address.channel, address.value),
    )
    return found


async def ensure_active(
    conn: Conn, keyring: Keyring, now: datetime, addresses: Iterable[Address]
) -> dict[Address, int]:
    """Return the endpoints of many addresses, made active where they are new or unverified.

    For a bulk import, whose source answers for the addresses. A retired one stays retired.
    """
    wanted = sorted(set(addresses))
    known = await find_many(conn, keyring, wanted)
    new = [address for address in wanted if address not in known]
    ids = await conn.fetch(f"SELECT {NEXT_ID} AS id FROM generate_series(1, $1::int)", len(new))
    await conn.executemany(
        "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
        " address_enc, created_at) VALUES ($1, $2, 'active', $3, $4, $5, $6)"
        " ON CONFLICT (channel, address_hash) DO NOTHING",
        [
            (
                row["id"],
                address.channel,
                keyring.key_id,
                keyring.address_hash(address.channel, address.value),
                keyring.seal(address.value.encode(), "endpoint", "address_enc", row["id"]),
                now,
            )
            for row, address in zip(ids, new, strict=True)
        ],
    )
    await conn.execute(
        "UPDATE endpoint SET state = 'active' WHERE endpoint_id = ANY($1) AND state = 'unverified'",
        list(known.values()),
    )
    return known | await find_many(conn, keyring, new)


async def find_many(
    conn: Conn, keyring: Keyring, addresses: Sequence[Address]
) -> dict[Address, int]:
    """Return the endpoints of normalised addresses; those nobody has are left out."""
    by_hash = {
        (address.channel, digest): address
        for address in addresses
        for digest in keyring.address_hashes(address.channel, address.value)
    }
    rows = await conn.fetch(
        "SELECT e.endpoint_id, e.channel::text, e.address_hash FROM endpoint e"
        " JOIN unnest($1::text[], $2::bytea[]) AS k(channel, hash)"
        " ON e.channel = k.channel::channel AND e.address_hash = k.hash",
        [channel for channel, _ in by_hash],
        [digest for _, digest in by_hash],
    )
    return {by_hash[row["channel"], row["address_hash"]]: row["endpoint_id"] for row in rows}


async def link(conn: Conn, now: datetime, pairs: Collection[tuple[int, int]]) -> None:
    """Link people to endpoints, given as (person, endpoint)."""
    people, endpoints = [p for p, _ in pairs], [e for _, e in pairs]
    await conn.execute(
        "INSERT INTO person_endpoint (person_id, endpoint_id, linked_at)"
        " SELECT p, e, $3 FROM unnest($1::int[], $2::bigint[]) AS k(p, e) ON CONFLICT DO NOTHING",
        people, endpoints, now,
    )  # fmt: skip
    await refresh_lang(conn, endpoints)


async def activate(conn: Conn, endpoint_id: int) -> None:
    """Its owner has answered: the endpoint is reached from now on, retired before or not."""
    await conn.execute(
        "UPDATE endpoint SET state = 'active', retired_at = NULL, retired_reason = NULL"
        " WHERE endpoint_id = $1 AND state <> 'active'",
        endpoint_id,
    )


async def retire(conn: Conn, now: datetime, endpoint_ids: Iterable[int], reason: str) -> int:
    """Retire endpoints that reach nobody any more; return how many were not yet retired."""
    done = await conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_at = $2, retired_reason = $3"
        " WHERE endpoint_id = ANY($1) AND state <> 'retired'",
        list(endpoint_ids), now, reason,
    )  # fmt: skip
    return int(done.split()[-1])


async def bring_back(conn: Conn, endpoint_ids: Sequence[int]) -> int:
    """Use endpoints again that were retired on a carrier's word; return how many.

    Those nobody stands behind any more stay retired: their addresses are erased.
    """
    done = await conn.execute(
        "UPDATE endpoint SET state = 'active', retired_at = NULL, retired_reason = NULL"
        " WHERE endpoint_id = ANY($1) AND state = 'retired' AND retired_reason <> $2",
        list(endpoint_ids), LEFT,
    )  # fmt: skip
    return int(done.split()[-1])


async def phones_of(conn: Conn, person_id: int) -> list[int]:
    """Return the endpoints of a person's phones with the app."""
    rows = await conn.fetch(
        "SELECT endpoint_id FROM person_endpoint JOIN endpoint e USING (endpoint_id)"
        " WHERE person_id = $1 AND e.channel = 'push' ORDER BY endpoint_id",
        person_id,
    )
    return [row["endpoint_id"] for row in rows]


async def unlink_person(conn: Conn, now: datetime, person_id: int) -> None:
    """Take a person from all endpoints, claimed ones too; what nobody stands behind is erased."""
    rows = await conn.fetch(
        "DELETE FROM person_endpoint WHERE person_id = $1 RETURNING endpoint_id", person_id
    )
    claimed = await conn.fetch(
        "DELETE FROM endpoint_claim WHERE person_id = $1 RETURNING endpoint_id", person_id
    )
    await drop_orphans(conn, now, [row["endpoint_id"] for row in (*rows, *claimed)])


async def drop_orphans(conn: Conn, now: datetime, endpoint_ids: Sequence[int]) -> None:
    """Retire and erase those of these endpoints that nobody is linked to or is claiming."""
    await conn.execute(
        "UPDATE endpoint e SET state = 'retired', retired_at = $2, retired_reason = $3,"
        " address_enc = '' WHERE endpoint_id = ANY($1)"
        " AND NOT EXISTS (SELECT FROM person_endpoint p WHERE p.endpoint_id = e.endpoint_id)"
        " AND NOT EXISTS (SELECT FROM official_endpoint o WHERE o.endpoint_id = e.endpoint_id)"
        " AND NOT EXISTS (SELECT FROM endpoint_claim c WHERE c.endpoint_id = e.endpoint_id"
        "  AND c.used_at IS NULL AND c.expires_at > $2)",
        endpoint_ids, now, LEFT,
    )  # fmt: skip
    await refresh_lang(conn, endpoint_ids)


async def refresh_lang(conn: Conn, endpoint_ids: Sequence[int]) -> None:
    """Set each endpoint's language: English only when everyone behind it reads English."""
    await conn.execute(
        "UPDATE endpoint e SET lang = l.lang FROM (SELECT pe.endpoint_id,"
        "  CASE WHEN bool_and(p.lang = 'en') THEN 'en'::lang ELSE 'vi'::lang END AS lang"
        "  FROM person_endpoint pe JOIN person p USING (person_id)"
        "  WHERE pe.endpoint_id = ANY($1) GROUP BY pe.endpoint_id) l"
        " WHERE e.endpoint_id = l.endpoint_id AND e.lang <> l.lang",
        endpoint_ids,
    )


async def stop_follow_ups(conn: Conn, endpoint_id: int) -> None:
    """Send no follow-ups or ratings there any more; alerts are not touched by this."""
    await conn.execute("UPDATE endpoint SET follow_ups = false WHERE endpoint_id = $1", endpoint_id)


async def link_official(conn: Conn, now: datetime, official_id: int, endpoint_id: int) -> None:
    """Link an official to an endpoint and make it active: reminders and approval calls."""
    await conn.execute(
        "INSERT INTO official_endpoint (official_id, endpoint_id, linked_at) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        official_id, endpoint_id, now,
    )  # fmt: skip
    await activate(conn, endpoint_id)
