"""What the tests of the intake read from the database."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from broadcaster.db import Conn

PHONE, MAIL = "+84912345678", "an@dan.example"


class Bounces(list[tuple[str, str]]):
    async def __call__(self, conn: Conn, now: datetime, token: str, status: str) -> None:
        self.append((token, status))


async def reports(conn: Conn) -> list[asyncpg.Record]:
    return await conn.fetch("SELECT * FROM report ORDER BY report_id")


async def messages(conn: Conn) -> list[asyncpg.Record]:
    return await conn.fetch("SELECT * FROM direct_message ORDER BY message_id")


async def problems(conn: Conn) -> list[str | None]:
    rows = await conn.fetch(
        "SELECT problem FROM inbound_raw WHERE handled_at IS NOT NULL ORDER BY inbound_id"
    )
    return [row["problem"] for row in rows]
