"""What bench.sms stands beside: smpplib on the same SMSC, with the same window.

Once it stores nothing, as its examples do. Once it does our job: every answer and every receipt is
committed to the same PostgreSQL, a receipt before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import asyncpg
import smpplib.client  # type: ignore[import-untyped]
import smpplib.consts  # type: ignore[import-untyped]

Keep = Callable[[str, bytes], None]
"""Takes what kind of PDU came, and its message id."""


class Storing:
    """Rows in a database, each committed before the call returns."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._conn: asyncpg.Connection[asyncpg.Record]

    def __enter__(self) -> Self:
        """Connect, and make a table."""
        self._conn = self._loop.run_until_complete(asyncpg.connect(self._url))
        self._loop.run_until_complete(
            self._conn.execute(
                "CREATE TABLE peer (kind text, message_id bytea, PRIMARY KEY (message_id, kind))"
            )
        )
        return self

    def keep(self, kind: str, message_id: bytes) -> None:
        """Commit one row."""
        self._loop.run_until_complete(
            self._conn.execute("INSERT INTO peer VALUES ($1, $2)", kind, message_id)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""
        self._loop.run_until_complete(self._conn.execute("DROP TABLE peer"))
        self._loop.run_until_complete(self._conn.close())
        self._loop.close()


def _forgets(_: str, __: bytes) -> None:
    """Store nothing."""


def submit(port: int, window: int, text: str, numbers: list[str], keep: Keep = _forgets) -> float:
    """Submit one text to all numbers until every receipt is there; messages a second."""
    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    answered, reported = 0, 0

    def on_answer(pdu: Any, **_: object) -> None:
        nonlocal answered
        keep("answer", pdu.message_id)
        answered += 1

    def on_receipt(pdu: Any, **_: object) -> int:
        nonlocal reported
        keep("receipt", pdu.receipted_message_id)
        reported += 1
        return int(smpplib.consts.SMPP_ESME_ROK)

    client.set_message_sent_handler(on_answer)
    client.set_message_received_handler(on_receipt)
    client.connect()
    client.bind_transceiver(system_id="peer", password="volume")
    count, start, sent = len(numbers), time.perf_counter(), 0
    while answered < count or reported < count:
        if sent < count and sent - answered < window:
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr="HANOI",
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                destination_addr=numbers[sent].removeprefix("+"),
                short_message=text.encode("ascii"),
                registered_delivery=True,
            )
            sent += 1
        else:
            client.read_once()
    seconds = time.perf_counter() - start
    client.unbind()
    client.disconnect()
    return count / seconds
