"""Dead letters for programs: groups, letters, and sending them again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.errors import Refused
from broadcaster.fanout import dead_letters, replay
from broadcaster.fanout.dead_letters import Filters
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reasons import Family, Meaning
from broadcaster.jobs import SEND_QUEUE
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.api.why import Said
from broadcaster.web.keys import CLOCK, KEYRING, POOL, VISITOR, WAKER
from broadcaster.web.security import official

routes = web.RouteTableDef()
_MOST = 500
_TEXT = {"type": "string"}
_QUERY = (
    Query("alert", "Code of an alert, or `direct` for messages that are no alert.", _TEXT),
    Query("channel", "Only this channel.", {"type": "string", "enum": list(CHANNELS)}),
    Query("provider", "Only this provider's id.", {"type": "integer"}),
    Query("family", "Only this kind of reason.", {"type": "string", "enum": list(Family)}),
    Query("reason", "Only this code of the carrier.", _TEXT),
    Query("state", "Only what ended so.", {"type": "string", "enum": list(dead_letters.STATES)}),
    Query("show", "`all`: also what cannot be sent again.", {"type": "string", "enum": ["all"]}),
    Query("after", "The `after` of the page before.", _TEXT),
)


class LetterGroup(BaseModel):
    """Letters of one alert with one code, of one provider and channel, that ended alike."""

    alert: str | None
    """Null: direct messages."""
    channel: str
    provider: int | None
    provider_name: str
    family: str
    reason: str
    """The carrier's own code."""
    message: Said
    state: Literal["failed", "unknown"]
    count: int
    usable: int
    """Those a replay takes."""
    retired: int
    """Those a replay takes only with `retired`."""
    newest: datetime


class DeadLetter(BaseModel):
    """One message that did not arrive."""

    letter: int
    alert: str | None
    purpose: str | None
    channel: str
    provider_name: str
    address: str
    """Masked."""
    state: Literal["failed", "unknown"]
    family: str
    reason: str
    message: Said
    at: datetime
    replays: int
    usable: bool


class DeadLetters(BaseModel):
    """What lies there: in groups, and a page of it one by one."""

    asked_at: datetime
    """Give this as `until` when you send again: what came to lie there later is not taken."""
    groups: list[LetterGroup]
    letters: list[DeadLetter]
    after: str | None


class Replay(BaseModel):
    """Which letters are sent again: those listed, or all that the filters leave."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime
    letters: Annotated[list[Annotated[int, Field(gt=0, lt=2**63)]], Field(max_length=_MOST)] = []
    alert: Annotated[str, Field(max_length=40)] = ""
    channel: Annotated[str, Field(max_length=10)] = ""
    provider: Annotated[int, Field(gt=0, lt=10_000)] | None = None
    family: Annotated[str, Field(max_length=20)] = ""
    reason: Annotated[str, Field(max_length=200)] | None = None
    state: Annotated[str, Field(max_length=10)] = ""
    retired: bool = False
    """Also those whose endpoints were retired on a carrier's word: these are used again."""


class Replayed(BaseModel):
    """What a replay did."""

    again: int
    left: int


def _said(meaning: Meaning) -> Said:
    return Said(vi=meaning.vi, en=meaning.en)


@routes.get("/api/v1/dead-letters")
@official()
@operation(
    Operation(
        "Messages that did not arrive, and why",
        {200: DeadLetters},
        query=_QUERY,
        auth="official",
        refuses=(401, 403, 404, 422),
    )
)
async def listing(request: web.Request) -> web.StreamResponse:
    """List groups and a page of letters, as far as the official's roles reach."""
    app, actor, now = request.app, request[VISITOR].actor, request.app[CLOCK]()
    async with app[POOL].acquire() as conn:
        filters = await dead_letters.filters_of(conn, actor, dict(request.query), now)
        scope = await dead_letters.scope_of(conn, actor)
        groups = await dead_letters.groups(conn, now, scope, filters)
        page = await dead_letters.letters(
            conn, app[KEYRING], now, scope, filters, after=_after(request)
        )
    return answered(
        DeadLetters(
            asked_at=now,
            groups=[_group(one) for one in groups],
            letters=[_letter(one) for one in page.letters],
            after=None if page.after is None else str(page.after),
        )
    )


def _after(request: web.Request) -> int | None:
    given = request.query.get("after", "")
    if given and not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Refused("bad_after", "Tham số after không đúng.", "The parameter after does not fit.")
    return int(given) if given else None


def _group(one: dead_letters.Group) -> LetterGroup:
    return LetterGroup(
        alert=one.alert_code, channel=one.channel, provider=one.provider_id,
        provider_name=one.provider, family=one.family, reason=one.reason,
        message=_said(one.meaning), state=one.state, count=one.count, usable=one.usable,
        retired=one.retired, newest=one.newest,
    )  # fmt: skip


def _letter(one: dead_letters.Letter) -> DeadLetter:
    return DeadLetter(
        letter=one.letter_id, alert=one.alert_code, purpose=one.purpose, channel=one.channel,
        provider_name=one.provider, address=one.address, state=one.state, family=one.family,
        reason=one.reason, message=_said(one.meaning), at=one.at, replays=one.replays,
        usable=one.usable,
    )  # fmt: skip


@routes.post("/api/v1/dead-letters/replay")
@official(*replay.ROLES)
@operation(
    Operation(
        "Send messages that did not arrive again",
        {202: Replayed},
        body=Replay,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def send_again(request: web.Request) -> web.StreamResponse:
    """Send them again while their alerts are in force; the same request twice sends once."""
    given, app, actor = await read(request, Replay), request.app, request[VISITOR].actor
    named = given.model_dump(include={"alert", "channel", "family", "reason", "state"})
    wanted = {name: value for name, value in named.items() if value not in (None, "")}
    if given.reason is not None:
        wanted["reason"] = given.reason
    if given.provider is not None:
        wanted["provider"] = str(given.provider)
    async with app[POOL].acquire() as conn:
        filters = await dead_letters.filters_of(conn, actor, wanted, given.until)
    if given.letters:
        filters = Filters(letter_ids=tuple(given.letters), until=given.until)
    done = await replay.replay(app[POOL], actor, app[CLOCK](), filters, retired=given.retired)
    await app[WAKER].wake("send", SEND_QUEUE)
    return answered(Replayed(again=done.again, left=done.left), 202)
