"""Answering as one of the lab's people, each channel on the way a real answer takes."""

from __future__ import annotations

import sqlite3
from functools import partial

from aiohttp import web

from broadcaster.errors import NotFound, Refused
from broadcaster.fanout import receipts
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.states import DeliveryState
from broadcaster.web.api.reports import AppReport, take_report
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SETTINGS
from broadcaster.web.lab.store import LAB
from broadcaster.web.published import published
from channels.lab import smsc_store, smtp


async def by_sms(app: web.Application, number: str, text: str) -> None:
    """Write a text message to the number people answer to."""
    to = app[SETTINGS].sms_reply_number
    await app[LAB].sms(partial(smsc_store.answer, number=number, to=to, text=text))


async def by_mail(app: web.Application, address: str, text: str, mail_id: int | None) -> None:
    """Answer a mail, the newest of the box where none is named; raises Refused."""
    settings = app[SETTINGS]

    def newest(conn: sqlite3.Connection) -> int | None:
        found = smtp.mails(conn, address)
        return int(found[0]["id"]) if found else None

    chosen = mail_id or await app[LAB].mail(newest)
    try:
        if chosen is None:
            raise LookupError
        await app[LAB].answer_mail(
            chosen, text, settings.mail_inbound_host, settings.mail_inbound_port
        )
    except LookupError as error:
        raise NotFound(
            "no_mail", "Hộp thư này chưa có thư nào.", "There is no such mail in this box."
        ) from error
    except OSError as error:
        raise Refused(
            "mail_not_taken",
            "Máy chủ thư của dịch vụ không nhận thư trả lời. Kiểm tra tiến trình intake.",
            "The service's mail server did not take the answer. See whether intake is running.",
        ) from error


async def by_app(app: web.Application, address: str, text: str, alert_code: str | None) -> None:
    """Answer in the app on this phone, as its owner; raises Refused."""
    async with app[POOL].acquire() as conn:
        endpoint_id = await endpoints.find(conn, app[KEYRING], Address("push", address))
        person_id = await conn.fetchval(
            "SELECT min(person_id) FROM person_endpoint WHERE endpoint_id = $1", endpoint_id
        )
    if person_id is None:
        raise _nobody()
    if not text:
        raise Refused("empty", "Chưa viết gì.", "Nothing is written.")
    await take_report(app, AppReport(text=text, alert=alert_code), person_id)


async def opened(app: web.Application, address: str, alert_code: str) -> None:
    """Book that this phone's owner opened the alert; raises NotFound."""
    async with app[POOL].acquire() as conn:
        endpoint_id = await endpoints.find(conn, app[KEYRING], Address("push", address))
        if endpoint_id is None:
            raise _nobody()
        alert = await published(conn, alert_code)
        await receipts.acknowledge(
            conn, app[CLOCK](), alert.alert_id, [endpoint_id], DeliveryState.SEEN
        )


async def told(
    app: web.Application, addresses: list[str], alert_code: str, news: DeliveryState
) -> int:
    """Book what the apps on these phones say of an alert; returns how many deliveries moved."""
    async with app[POOL].acquire() as conn:
        asked = [Address("push", address) for address in addresses]
        found = await endpoints.find_many(conn, app[KEYRING], asked)
        alert = await published(conn, alert_code)
        async with conn.transaction():
            return await receipts.acknowledge(
                conn, app[CLOCK](), alert.alert_id, sorted(found.values()), news
            )


def _nobody() -> NotFound:
    return NotFound(
        "nobody_behind",
        "Không ai đăng ký điện thoại này.",
        "Nobody is registered with this phone.",
    )
