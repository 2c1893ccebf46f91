"""The receiver bind: receipts and what people write, stored before they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from channels.sms_errors import ROK, RX_P_APPN, RX_T_APPN
from channels.sms_link import BIND_RECEIVER, DELIVER_SM, Bind, Frame, Link
from channels.sms_pdu import RawPdu

log = logging.getLogger(__name__)

_NO_ID: Final = b"\0"
"""deliver_sm_resp carries an empty message_id."""
_MOST_AT_ONCE: Final = 500
"""Reading pauses at about so many waiting to be stored (what one read brought is still taken)."""

Store = Callable[[Sequence[RawPdu]], Awaitable[None]]


class SmsInbox:
    """Hands every deliver_sm to `store` and acknowledges it only once that has returned.

    What arrives while a group is being stored makes the next group: one commit serves them all.
    When `store` raises, the SMSC is told ESME_RX_T_APPN for the whole group and keeps it to
    deliver it again; the same happens by itself when this process dies in between. So `store`
    sees some twice and must keep one: the whole PDU but its sequence number is the key. After a
    failure one PDU is stored at a time until that works, so that one which cannot be stored does
    not hold up the others for ever.
    """

    def __init__(self, url: str, store: Store, *, answer_timeout: float = 10.0) -> None:
        self._store = store
        self._waiting: deque[tuple[Link, Frame]] = deque()
        self._storing: asyncio.Task[None] | None = None
        self._one_by_one = False
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
        if self._storing is not None:
            await asyncio.wait({self._storing}, timeout=5.0)
        await self._bind.stop()

    def _arrived(self, link: Link, frame: Frame) -> None:
        if frame.command != DELIVER_SM:
            link.nack(frame)
            return
        if self._closing:
            link.answer(frame, RX_T_APPN, _NO_ID)
            return
        self._waiting.append((link, frame))
        if self._storing is None:
            self._storing = asyncio.create_task(self._keep_all())
        if len(self._waiting) >= _MOST_AT_ONCE:
            link.pause(True)
            self._paused.add(link)

    async def _keep_all(self) -> None:
        try:
            while self._waiting:
                some = 1 if self._one_by_one else len(self._waiting)
                await self._keep([self._waiting.popleft() for _ in range(some)])
                while self._paused and len(self._waiting) < _MOST_AT_ONCE:
                    self._paused.pop().pause(False)
        finally:
            self._storing = None

    async def _keep(self, some: list[tuple[Link, Frame]]) -> None:
        now = datetime.now(UTC)
        readable, pdus = defaultdict[Link, list[Frame]](list), []
        for link, frame in some:
            try:
                pdus.append(RawPdu.from_wire(frame.wire, now))
                readable[link].append(frame)
            except ValueError:
                log.exception("deliver_sm refused: %s", frame.wire.hex())
                link.answer(frame, RX_P_APPN, _NO_ID)
        if not pdus:
            return
        try:
            await self._store(pdus)
        except Exception:
            log.exception("%d deliver_sm not stored, the SMSC keeps them", len(pdus))
            self._one_by_one = True
            status = RX_T_APPN
        else:
            self._one_by_one = False
            status = ROK
        for link, frames in readable.items():
            link.answer_all(frames, status, _NO_ID)
