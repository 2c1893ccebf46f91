"""The receiver bind: receipts and what people write, stored before they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from channels.sms_errors import RX_P_APPN, RX_T_APPN
from channels.sms_link import BIND_RECEIVER, DELIVER_SM, Bind, Frame, Link
from channels.sms_pdu import RawPdu

log = logging.getLogger(__name__)

_NO_ID: Final = b"\0"
"""deliver_sm_resp carries an empty message_id."""
_MOST_AT_ONCE: Final = 32
"""Reading pauses at about so many being stored (what one read brought is still taken)."""


class SmsInbox:
    """Hands every deliver_sm to `store` and acknowledges it only once that has returned.

    When `store` raises, the SMSC is told ESME_RX_T_APPN and keeps the message to deliver it
    again; the same happens by itself when this process dies in between. So `store` sees some
    twice and must keep one: the whole PDU but its sequence number is the key.
    """

    def __init__(
        self, url: str, store: Callable[[RawPdu], Awaitable[None]], *, answer_timeout: float = 10.0
    ) -> None:
        self._store = store
        self._storing: set[asyncio.Task[None]] = set()
        self._paused: set[Link] = set()
        self._closing = False
        self._bind = Bind(
            url,
            BIND_RECEIVER,
            on_request=self._arrived,
            window=1,
            answer_timeout=answer_timeout,
        )

    async def open(self) -> None:
        """Begin to bind; returns at once, the bind comes up (and back) by itself."""
        self._closing = False
        self._bind.start()

    async def bound(self, patience: float) -> None:
        """Wait until bound; NotBoundError when `patience` seconds were not enough."""
        await self._bind.ready(patience)

    async def close(self) -> None:
        """Finish what is being stored, acknowledge it, unbind; safe to call twice."""
        self._closing = True
        if self._storing:
            await asyncio.wait(self._storing, timeout=5.0)
        await self._bind.stop()

    def _arrived(self, link: Link, frame: Frame) -> None:
        if frame.command != DELIVER_SM:
            link.nack(frame)
            return
        if self._closing:
            link.answer(frame, RX_T_APPN, _NO_ID)
            return
        task = asyncio.create_task(self._keep(link, frame))
        self._storing.add(task)
        task.add_done_callback(self._stored)
        if len(self._storing) >= _MOST_AT_ONCE:
            link.pause(True)
            self._paused.add(link)

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._storing.discard(task)
        while self._paused and len(self._storing) < _MOST_AT_ONCE:
            self._paused.pop().pause(False)

    async def _keep(self, link: Link, frame: Frame) -> None:
        try:
            pdu = RawPdu.from_wire(frame.wire, datetime.now(UTC))
        except ValueError:
            log.exception("deliver_sm refused: %s", frame.wire.hex())
            link.answer(frame, RX_P_APPN, _NO_ID)
            return
        try:
            await self._store(pdu)
        except Exception:
            log.exception("deliver_sm not stored, the SMSC keeps it")
            link.answer(frame, RX_T_APPN, _NO_ID)
        else:
            link.answer(frame, body=_NO_ID)
