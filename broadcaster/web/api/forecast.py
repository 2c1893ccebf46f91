"""What an alert would set going: messages, parts of SMS, money and time, before it is approved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.alerts import forecast
from broadcaster.alerts.content import AlertClass, ChannelName, Content, Lang, SmsWording, Wording
from broadcaster.people.exercise_selection import asked
from broadcaster.web import area_tools, counting
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR
from broadcaster.web.security import official

routes = web.RouteTableDef()
_EVERY: tuple[ChannelName, ...] = ("push", "sms", "email")


class ForecastQuestion(BaseModel):
    """What would be sent: to whom, in which class, by which channels, with which SMS."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    alert_class: Annotated[AlertClass, Field(alias="class")]
    area: dict[str, Any]
    channels: Annotated[tuple[ChannelName, ...], Field(min_length=1)] = _EVERY
    sms: Annotated[dict[Lang, Annotated[str, Field(max_length=2000)]], Field(max_length=2)] = {}
    """The text by language; without it every SMS counts as one part."""
    scheduled_for: AwareDatetime | None = None
    exercise: bool = False
    """Count who takes part in exercises, and nobody else."""


class Send(BaseModel):
    """One channel in one step."""

    channel: ChannelName
    to: Literal["all", "no_push", "not_acknowledged", "listed"]
    after_seconds: int
    messages: int
    parts: int
    at_most: bool


class ChannelFigures(BaseModel):
    """One channel in all steps together."""

    channel: ChannelName
    messages: int
    parts: int
    cost: int
    """Đồng."""
    ahead: int
    """What leaves before its first message."""
    per_second: float
    seconds: float | None
    """To the last hand-off; null while no provider can be used."""
    within: list[float]
    """Seconds to 50, 90, 99 and 100 % of the hand-offs; empty while no provider can be used."""


class ForecastAnswer(BaseModel):
    """What approval would set going, by the limits and queues of this moment."""

    people: int
    starts: datetime
    held_back: bool
    """By quiet hours."""
    sends: list[Send]
    channels: list[ChannelFigures]
    cost: int
    ceiling: int | None
    over_ceiling: Literal["none", "advisory", "blocking"]
    policy_version: int


@routes.post("/api/v1/forecast")
@official("author", "approver")
@operation(
    Operation(
        "What an alert would take: messages, parts, money and time",
        {200: ForecastAnswer},
        body=ForecastQuestion,
        auth="official",
        refuses=(401, 403, 413, 422, 429, 503),
    )
)
async def foretell(request: web.Request) -> web.StreamResponse:
    """Tell what would be sent if this were approved now."""
    counting.take(request)
    given, app, now = await read(request, ForecastQuestion), request.app, request.app[CLOCK]()
    await area_tools.draw(app[POOL], app[SELECTOR], given.area)
    async with app[POOL].acquire() as conn:
        async with area_tools.refusing():
            people = asked(app[SELECTOR], exercise=given.exercise)
            counts = await people.count(conn, now, given.area)
        told = await forecast.forecast(conn, now, _content(given), counts, keyring=app[KEYRING])
    over = "blocking" if told.blocking else "advisory"
    return answered(
        ForecastAnswer(
            people=counts.people,
            starts=told.starts,
            held_back=told.held_back,
            sends=[_send(one) for one in told.sends],
            channels=[ChannelFigures(**_named(one)) for one in told.channels],
            cost=told.cost,
            ceiling=told.ceiling,
            over_ceiling=over if told.dear else "none",
            policy_version=told.policy_version,
        )
    )


def _content(given: ForecastQuestion) -> Content:
    return Content(
        event="",
        alert_class=given.alert_class,
        area=given.area,
        wording={lang: Wording(sms=SmsWording(text=text)) for lang, text in given.sms.items()},
        channels=given.channels,
        scheduled_for=given.scheduled_for,
    )


def _send(send: forecast.Send) -> Send:
    return Send(
        channel=send.channel,
        to=send.to.value,
        after_seconds=round(send.after.total_seconds()),
        messages=send.messages,
        parts=send.parts,
        at_most=send.at_most,
    )


def _named(one: forecast.ChannelForecast) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ChannelFigures.model_fields}
