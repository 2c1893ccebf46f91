"""Where people's mail goes: the share of each domain, told from a sample of the addresses."""

from __future__ import annotations

from collections import Counter

from broadcaster.db import Conn
from broadcaster.keyring import Keyring, UndecipherableError

_SAMPLE = 2_000
_SHARE = "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'endpoint'::regclass"
# Whole pages are sampled: three times as many rows are asked for as are kept, since most are of
# other channels.
_SOME = (
    "SELECT endpoint_id, address_enc FROM endpoint TABLESAMPLE SYSTEM ({percent})"
    " WHERE channel = 'email' AND state = 'active' LIMIT $1"
)


async def mail_domains(conn: Conn, keyring: Keyring) -> dict[str, float]:
    """Return the share of mail addresses by domain (they add up to 1), empty without any.

    Addresses are sealed, so some are opened, and no more than needed; none leaves this function.
    """
    rows = await conn.fetchval(_SHARE)
    percent = min(100.0, 100.0 * 3 * _SAMPLE / rows) if rows else 100.0
    found: Counter[str] = Counter()
    for row in await conn.fetch(_SOME.format(percent=percent), _SAMPLE):
        try:
            address = keyring.unseal(
                row["address_enc"], "endpoint", "address_enc", row["endpoint_id"]
            ).decode()
        except UndecipherableError:
            continue
        found[address.rpartition("@")[2].lower()] += 1
    total = sum(found.values())
    return {domain: count / total for domain, count in found.items()}
