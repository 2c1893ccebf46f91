"""Batches of mail, and the channel that sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from channels.base import Batch, Outcome, Pace, Recipient, Unlimited
from channels.email import EmailChannel, EmailContent
from tests.unit.channels.email_server import Server

SENDER = "Cảnh báo Hà Nội <canhbao@canhbao.example>"
DOMAIN = "tin.canhbao.example"
EXPIRES = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
CONTENTS = {
    "vi": EmailContent(
        "Cảnh báo mưa rất to",
        "Hiệu lực đến 23:00 ngày 21/11/2026.\n\nTránh xa vùng ngập.\n",
        "<p>Tránh xa vùng ngập.</p>",
    ),
    "en": EmailContent("Very heavy rain", "In force until 23:00.\n.dot at the start\n"),
}


def batch(count: int, language: str = "vi") -> Batch[EmailContent]:
    people = [Recipient(n, f"p{n}@cu.example", language, f"tok-{n}") for n in range(count)]
    return Batch(CONTENTS, people, EXPIRES, urgent=True)


@asynccontextmanager
async def channel_to(
    server: Server, connections: int = 8, timeout: float = 30.0
) -> AsyncIterator[EmailChannel]:
    channel = EmailChannel(
        server.url, SENDER, DOMAIN, "https://canhbao.example/", connections, timeout=timeout
    )
    try:
        yield channel
    finally:
        await channel.close()


async def collect(
    channel: EmailChannel,
    what: Batch[EmailContent],
    permit: Callable[[], bool] = lambda: True,
    pace: Pace | None = None,
) -> list[Outcome]:
    groups = channel.send(what, permit, pace or Unlimited())
    return [outcome async for group in groups for outcome in group]


async def send_one(server: Server, **options: float) -> Outcome:
    async with channel_to(server, **options) as channel:  # type: ignore[arg-type]
        (outcome,) = await collect(channel, batch(1))
        return outcome
