"""What an app says of messages on its own phone: that they arrived, or were opened.

Forward only and safe to repeat: an app that does not know whether it was heard says it again.
What comes too late, of an alert that is over or of a message nobody has, changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from broadcaster.db import Conn
from broadcaster.fanout import direct, receipts
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.states import DeliveryState
from broadcaster.web import published
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL
from broadcaster.web.security import program

routes = web.RouteTableDef()
MOST = 200
"""Messages one request tells of: more than a phone holds back in days without a network."""
NEWS = {"received": DeliveryState.CONFIRMED, "opened": DeliveryState.SEEN}

PushAddress = Annotated[str, Field(max_length=500)]


class News(BaseModel):
    """What the app says of an alert on its phone."""

    model_config = ConfigDict(extra="forbid")

    news: Literal["received", "opened"]
    address: PushAddress | None = None
    """This phone's push address; without it, every phone of the person is meant."""


class ReceiptOf(BaseModel):
    """What the app says of one message: an alert by its code, any other by its token."""

    model_config = ConfigDict(extra="forbid")

    alert: Annotated[str, Field(max_length=40)] = ""
    """`code` in the data of the push."""
    message: Annotated[str, Field(max_length=100)] = ""
    """`message` in the data of the push."""
    news: Literal["received", "opened"]

    @model_validator(mode="after")
    def _one_of_them(self) -> ReceiptOf:
        if bool(self.alert) == bool(self.message):
            raise ValueError("give either alert or message")
        return self


class Receipts(BaseModel):
    """What the app says of several messages at once, in any order."""

    model_config = ConfigDict(extra="forbid")

    receipts: Annotated[list[ReceiptOf], Field(min_length=1, max_length=MOST)]
    address: PushAddress | None = None
    """This phone's push address; without it, every phone of the person is meant."""


class Booked(BaseModel):
    """How many deliveries moved on: 0 for what was known already."""

    booked: int


@routes.post("/api/v1/receipts")
@program
@operation(
    Operation(
        "Say which messages arrived or were opened, several at once",
        {202: Booked},
        body=Receipts,
        most_bytes=65_536,
        auth="citizen",
        refuses=(401, 413, 422),
    )
)
async def several(request: web.Request) -> web.StreamResponse:
    """Book them for the caller's own phones."""
    person_id = await citizen.required(request)
    given, app = await read(request, Receipts), request.app
    async with app[POOL].acquire() as conn:
        phones = await _phones(request, conn, person_id, given.address)
        booked = await _book_alerts(request, conn, phones, given.receipts)
        told: dict[int, DeliveryState] = {}
        for one in given.receipts:
            message_id = direct.read_token(app[KEYRING], one.message) if one.message else None
            if message_id is not None and told.get(message_id) is not DeliveryState.SEEN:
                told[message_id] = NEWS[one.news]
        async with conn.transaction():
            booked += await direct.acknowledge(conn, phones, told)
    return answered(Booked(booked=booked), 202)


async def _book_alerts(
    request: web.Request, conn: Conn, phones: list[int], given: list[ReceiptOf]
) -> int:
    by_news: dict[DeliveryState, set[str]] = defaultdict(set)
    for one in given:
        if one.alert:
            by_news[NEWS[one.news]].add(one.alert)
    # A code by itself proves nothing and opens nothing: only the caller's own deliveries move.
    rows = await conn.fetch(
        "SELECT alert_id, code FROM alert WHERE code = ANY($1) ORDER BY alert_id",
        list(set().union(*by_news.values())),
    )
    booked, now = 0, request.app[CLOCK]()
    for row in rows:
        news = next(news for news in (DeliveryState.SEEN, DeliveryState.CONFIRMED)
                    if row["code"] in by_news[news])  # fmt: skip
        async with conn.transaction():
            booked += await receipts.acknowledge(conn, now, row["alert_id"], phones, news)
    return booked


@routes.post("/api/v1/alerts/{code}/receipts")
@program
@operation(
    Operation(
        "Say that an alert arrived, or was opened",
        {202: Booked},
        body=News,
        auth="citizen",
        refuses=(401, 404, 413, 422),
    )
)
async def receipt(request: web.Request) -> web.StreamResponse:
    """Book it for the caller's own phones."""
    person_id = await citizen.required(request)
    given = await read(request, News)
    app = request.app
    async with app[POOL].acquire() as conn:
        alert = await published.published(conn, request.match_info["code"])
        phones = await _phones(request, conn, person_id, given.address)
        async with conn.transaction():
            booked = await receipts.acknowledge(
                conn, app[CLOCK](), alert.alert_id, phones, NEWS[given.news]
            )
    return answered(Booked(booked=booked), 202)


async def _phones(
    request: web.Request, conn: Conn, person_id: int, address: str | None
) -> list[int]:
    """Return the caller's phones, or the one that is named where it is theirs."""
    phones = await endpoints.phones_of(conn, person_id)
    if address is None:
        return phones
    this = await endpoints.find(conn, request.app[KEYRING], Address("push", address))
    return [phone for phone in phones if phone == this]
