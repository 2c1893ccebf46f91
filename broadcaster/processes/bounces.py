"""Mails that came back: their token says which delivery they were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from broadcaster.db import Conn
from broadcaster.fanout import receipts
from broadcaster.fanout.sending import read_delivery_token
from broadcaster.keyring import Keyring

OnBounce = Callable[[Conn, datetime, str, str], Awaitable[None]]


def booker(keyring: Keyring) -> OnBounce:
    """Make the function intake calls with a bounce's token and enhanced status."""

    async def book(conn: Conn, now: datetime, token: str, status: str) -> None:
        delivery = read_delivery_token(keyring, token)
        if delivery is not None:
            await receipts.bounce(conn, now, *delivery, status)

    return book
