"""Single messages that are no alert: a code, an acknowledgement, a reminder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from broadcaster.db import Conn
from broadcaster.fanout import letters
from broadcaster.keyring import Keyring
from broadcaster.states import DELIVERY_MOVES, DELIVERY_REPLAYS, DeliveryState, sources

LINK = "message"
"""Purpose under which a message's token is signed."""


async def enqueue(
    conn: Conn,
    now: datetime,
    *,
    endpoint_id: int,
    channel: str,
    purpose: str,
    content: dict[str, Any],
    expires: datetime,
    dedupe_key: str | None = None,
    training: bool = False,
) -> int | None:
    """Order one message inside the caller's transaction; None when its dedupe key was used.

    `content` by channel: push {"title", "body"}, sms {"text"}, email {"subject", "text", "html"}.
    What a training account causes (`training`) is given to no carrier.
    """
    message_id: int | None = await conn.fetchval(
        "INSERT INTO direct_message (endpoint_id, channel, purpose, content, dedupe_key,"
        " created_at, expires, not_before, training) VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $8)"
        " ON CONFLICT (dedupe_key) DO NOTHING RETURNING message_id",
        endpoint_id,
        channel,
        purpose,
        content,
        dedupe_key,
        now,
        expires,
        training,
    )
    return message_id


async def expire_due(conn: Conn) -> None:
    """Close messages that nobody needs any more: a code after its time, a stale reminder."""
    await conn.execute(
        "UPDATE direct_message SET state = 'expired' WHERE state = 'pending' AND expires <= now()"
    )


async def send_again(conn: Conn, now: datetime, message_ids: Sequence[int]) -> list[int]:
    """Put messages that ended failed or unknown back in the queue; returns those it did.

    Only those that somebody still needs; the others are left as they ended.
    """
    rows = await conn.fetch(
        "UPDATE direct_message SET state = 'pending', not_before = now(), lease_until = NULL"
        " WHERE message_id = ANY($1::bigint[]) AND expires > $2"
        " AND state = ANY($3::delivery_state[]) RETURNING message_id",
        list(message_ids),
        now,
        sources(DELIVERY_REPLAYS, DeliveryState.PENDING),
    )
    return [row["message_id"] for row in rows]


def token_of(keyring: Keyring, message_id: int) -> str:
    """Make the opaque token of one message: the same on every try, and only ours."""
    return keyring.sign_link(LINK, f"m{message_id}")


def read_token(keyring: Keyring, token: str) -> int | None:
    """Return the message of a token that came back, None when it is not ours."""
    value = keyring.read_link(LINK, token)
    return None if value is None else int(value.lower().removeprefix("m"))


async def acknowledge(
    conn: Conn, endpoint_ids: Sequence[int], told: Mapping[int, DeliveryState]
) -> int:
    """Book what an app says of messages to its own phones; returns how many moved.

    Forward only: what is known to be opened stays opened, and what is over stays over.
    """
    booked = 0
    for message_id, news in sorted(told.items()):
        moved = await conn.fetchval(
            "UPDATE direct_message SET state = $3::delivery_state WHERE message_id = $1"
            " AND endpoint_id = ANY($2::bigint[]) AND state = ANY($4::delivery_state[])"
            " RETURNING message_id",
            message_id,
            list(endpoint_ids),
            news.value,
            sources(DELIVERY_MOVES, news),
        )
        booked += moved is not None
    await letters.drop_messages(conn, list(told))
    return booked
