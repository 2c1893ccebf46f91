"""The lab carriers' files, asked off the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from channels.lab import fcm_store, smsc_store, smtp

T = TypeVar("T")
Question = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class Lab:
    """A folder of the lab's carriers."""

    directory: Path

    async def push(self, question: Question[T]) -> T:
        """Ask the lab FCM's file."""
        return await asyncio.to_thread(self._ask, fcm_store.connect, question)

    async def sms(self, question: Question[T]) -> T:
        """Ask the lab SMSC's file."""
        return await asyncio.to_thread(self._ask, smsc_store.open_store, question)

    async def mail(self, question: Question[T]) -> T:
        """Ask the lab mail server's file."""
        return await asyncio.to_thread(self._ask, smtp.connect, question)

    async def answer_mail(self, mail_id: int, text: str, host: str, port: int) -> None:
        """Answer a mail as its reader; LookupError when there is none, OSError when not taken."""
        with closing(smtp.connect(self.directory)) as conn:
            await smtp.answer(conn, mail_id, text, host, port)

    def _ask(self, connect: Callable[[Path], sqlite3.Connection], question: Question[T]) -> T:
        with closing(connect(self.directory)) as conn:
            return question(conn)


LAB = web.AppKey("lab_store", Lab)
