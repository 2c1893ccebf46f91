"""Providers by the API: how each stands, and the switch by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.fanout import provider_board
from broadcaster.fanout.provider_board import Standing
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, POOL, VISITOR
from broadcaster.web.security import official

routes = web.RouteTableDef()

Switch = Literal["on", "auto", "off"]


class ProviderEvent(BaseModel):
    """One move of the breaker or the switch, or a link test that turned."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    what: Literal["breaker", "switch", "test"]
    was: str
    now: str
    detail: dict[str, str | int | float | None]


class Provider(BaseModel):
    """One provider account."""

    provider_id: int
    channel: str
    name: str
    account: str
    weight: int
    state: str
    """off, forced, open, half_open, paused, silent, standby or well."""
    switch: Switch
    switch_reason: str | None
    switch_by: str | None
    switch_at: datetime | None
    breaker: Literal["closed", "open", "half_open"]
    breaker_detail: dict[str, str | int | float | None]
    breaker_since: datetime | None
    next_try: datetime | None
    paused_until: datetime | None
    paused_reason: str | None
    silent_until: datetime | None
    rate_share: float
    limit_shared: bool
    rules: list[tuple[int, float]]
    """Never more than the first number in any window of the second, in seconds."""
    tried: int
    """In the last minute, as are the next three."""
    faults: int
    throttled: int
    latency: float | None
    last_fault: str | None
    test_every: float | None
    tested_at: datetime | None
    test_good: bool | None
    test_reason: str | None
    test_seconds: float | None
    events: list[ProviderEvent]


class Providers(BaseModel):
    """Every provider in use."""

    providers: list[Provider]


class NewSwitch(BaseModel):
    """A position of the switch."""

    model_config = ConfigDict(extra="forbid")

    was: Switch
    """The position that was seen: refused when somebody else has changed it."""
    to: Switch
    reason: Annotated[str, Field(min_length=1, max_length=500)]


@routes.get("/api/v1/providers")
@official("admin", "monitor")
@operation(
    Operation("How each provider stands", {200: Providers}, auth="official", refuses=(401, 403))
)
async def listing(request: web.Request) -> web.StreamResponse:
    """List every provider by channel."""
    async with request.app[POOL].acquire() as conn:
        found = await provider_board.standings(conn, request.app[CLOCK]())
    return answered(Providers(providers=[_provider(one) for one in found]))


@routes.post("/api/v1/providers/{provider_id:[0-9]{1,4}}/switch")
@official("admin")
@operation(
    Operation(
        "Switch a provider by hand",
        {200: Provider},
        body=NewSwitch,
        auth="official",
        refuses=(401, 403, 404, 409, 413, 422),
    )
)
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a provider; every sender obeys within a second."""
    given = await read(request, NewSwitch)
    now, provider_id = request.app[CLOCK](), int(request.match_info["provider_id"])
    async with request.app[POOL].acquire() as conn:
        await provider_board.switch(
            conn, request[VISITOR].actor, now, provider_id,
            was=given.was, to=given.to, reason=given.reason,
        )  # fmt: skip
        found = await provider_board.standing(conn, now, provider_id)
    return answered(_provider(found))


def _provider(one: Standing) -> Provider:
    return Provider.model_validate(one, from_attributes=True)
