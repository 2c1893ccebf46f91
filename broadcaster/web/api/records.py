"""Who received an alert, what somebody received, and the record that proves it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.errors import Refused
from broadcaster.fanout import addressees, record, whom
from broadcaster.fanout.addressees import Search
from broadcaster.fanout.deliveries import Delivery
from broadcaster.fanout.received import Cursor
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.api.why import Said, WhyPlace, WhyQuestion, reason_said, words_said
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR, VISITOR
from broadcaster.web.security import official

routes = web.RouteTableDef()


class Attempt(BaseModel):
    """One try."""

    number: int
    at: datetime
    provider: str
    result: str
    reason: str | None


class RecordSent(BaseModel):
    """What went to one endpoint."""

    channel: str
    address: str
    """Masked."""
    lang: str
    wording: int
    """0 the alert's own words, 1 the short update, 2 that the place is no longer covered."""
    text: list[str]
    """As it was sent: title and body, subject and text, or the text alone."""
    text_sha256: str
    state: str
    reason: str | None
    written_at: datetime
    changed_at: datetime
    attempts: list[Attempt]
    proof: str
    """`holds`, `broken` or `missing`: the batch or block of the archive that lists it."""


class RecordPerson(BaseModel):
    """One person; `because` is null where nobody is behind the address any more."""

    in_audience: bool | None = None
    because: str | None = None
    message: Said | None = None
    places: list[WhyPlace] = []
    sent: list[RecordSent]


class RecordChain(BaseModel):
    """What every delivery hangs on."""

    content_sha256: str
    content: str
    people: int
    people_sha256: str
    chain_sha256: str
    audience: str
    packed_at: datetime | None
    batches: int | None
    batches_unproven: int | None


class PersonRecord(BaseModel):
    """The record of an alert for everybody behind an address."""

    code: str
    title: str
    made_at: datetime
    approved_at: datetime | None
    proven: bool
    chain: RecordChain
    nobody: Said | None
    people: list[RecordPerson]


class ReceivedQuestion(WhyQuestion):
    """Whose alerts to list, and from where on."""

    before: AwareDatetime | None = None
    before_alert: Annotated[int, Field(ge=0)] = 0


class Recipient(BaseModel):
    """One delivery."""

    endpoint: int
    channel: str
    address: str
    """Masked."""
    lang: str
    wording: int
    state: str
    reason: str | None
    changed_at: datetime
    tries: int


class RecipientsPage(BaseModel):
    """A page may be short, even empty, and have a next one."""

    deliveries: list[Recipient]
    after: int | None
    """For the next page; null: this is the last."""


class ReceivedDelivery(BaseModel):
    """What became of an alert at one endpoint."""

    channel: str
    state: str
    wording: int
    changed_at: datetime


class ReceivedAlert(BaseModel):
    """One alert that went to them."""

    code: str
    title: str
    alert_class: Annotated[str, Field(serialization_alias="class")]
    at: datetime
    deliveries: list[ReceivedDelivery]


class Received(BaseModel):
    """Alerts of the units one works for, newest first."""

    model_config = ConfigDict(populate_by_name=True)

    nobody: Said | None
    alerts: list[ReceivedAlert]
    before: datetime | None
    before_alert: int | None
    """Both for the next page; null: this is the last."""


@routes.post("/api/v1/alerts/{code}/record")
@official(*whom.ROLES)
@operation(
    Operation(
        "The record that proves what went to the people behind an address",
        {200: PersonRecord},
        body=WhyQuestion,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def person_record(request: web.Request) -> web.StreamResponse:
    """Make a record; every one is audited."""
    given = await read(request, WhyQuestion)
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn, conn.transaction():
        made = await record.show(
            conn, app[KEYRING], app[SELECTOR], actor, app[CLOCK](), request.match_info["code"],
            **given.asked(),
        )  # fmt: skip
    return answered(record_said(made))


def record_said(made: record.Record) -> PersonRecord:
    """Put a record into the form the API and the command line print."""
    chain = made.chain
    return PersonRecord(
        code=made.alert.code,
        title=made.alert.title,
        made_at=made.made_at,
        approved_at=made.alert.approved_at,
        proven=made.proven,
        chain=RecordChain(
            content_sha256=chain.content_hash,
            content=chain.content,
            people=chain.people,
            people_sha256=chain.people_hash,
            chain_sha256=chain.chain_hash,
            audience=chain.audience,
            packed_at=chain.packed_at,
            batches=chain.batches,
            batches_unproven=chain.batches_unproven,
        ),
        nobody=words_said(made.nobody),
        people=[_person(one) for one in made.people],
    )


def _person(one: record.PersonRecord) -> RecordPerson:
    reason = {} if one.why is None else reason_said(one.why)
    return RecordPerson(**reason, sent=[_sent(sent) for sent in one.sent])


def _sent(one: record.Sent) -> RecordSent:
    return RecordSent(
        channel=one.channel,
        address=one.address,
        lang=one.lang,
        wording=one.wording,
        text=list(one.said),
        text_sha256=one.said_hash,
        state=one.state,
        reason=one.reason,
        written_at=one.written_at,
        changed_at=one.changed_at,
        attempts=[
            Attempt(number=t.number, at=t.at, provider=t.provider, result=t.result, reason=t.reason)
            for t in one.tries
        ],
        proof=one.proof,
    )


def _number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refused(
            f"{name}_wrong",
            f"{name}: “{text}” không phải số nguyên không âm.",
            f"{name}: “{text}” is no whole number from 0.",
        )
    return int(text) if text else otherwise


@routes.get("/api/v1/alerts/{code}/deliveries")
@official(*whom.ROLES)
@operation(
    Operation(
        "Who received an alert, page by page",
        {200: RecipientsPage},
        query=(
            Query("channel", "only this channel", {"type": "string"}),
            Query("state", "only this state", {"type": "string"}),
            Query("after", "where the page before said to go on", {"type": "integer"}),
            Query("limit", "deliveries of a page, 500 at most", {"type": "integer"}),
        ),
        auth="official",
        refuses=(401, 403, 404, 422),
    )
)
async def recipients_of(request: web.Request) -> web.StreamResponse:
    """List deliveries with masked addresses; every page is audited."""
    app, actor = request.app, request[VISITOR].actor
    search = Search(
        request.query.get("channel") or None,
        request.query.get("state") or None,
        _number(request, "after", -1),
        _number(request, "limit", addressees.PAGE),
    )
    async with app[POOL].acquire() as conn, conn.transaction():
        page = await addressees.of_alert(
            conn, app[KEYRING], actor, app[CLOCK](), request.match_info["code"], search
        )
    return answered(
        RecipientsPage(
            deliveries=[_recipient(one.delivery, one.address) for one in page.found],
            after=page.after,
        )
    )


def _recipient(one: Delivery, address: str) -> Recipient:
    return Recipient(
        endpoint=one.endpoint_id,
        channel=one.channel,
        address=address,
        lang=one.lang,
        wording=one.wording,
        state=one.state,
        reason=one.reason,
        changed_at=one.updated_at,
        tries=one.tries,
    )


@routes.post("/api/v1/received")
@official(*whom.ROLES)
@operation(
    Operation(
        "What the people behind an address received, newest first",
        {200: Received},
        body=ReceivedQuestion,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def received(request: web.Request) -> web.StreamResponse:
    """List alerts of the units one works for; every question is audited."""
    given = await read(request, ReceivedQuestion)
    app, actor = request.app, request[VISITOR].actor
    before = None if given.before is None else Cursor(given.before, given.before_alert)
    async with app[POOL].acquire() as conn, conn.transaction():
        asked, page = await record.what_received(
            conn, app[KEYRING], actor, app[CLOCK](),
            **given.asked(), before=before,
        )  # fmt: skip
    return answered(
        Received(
            nobody=words_said(asked.nobody),
            alerts=[
                ReceivedAlert(
                    code=one.code,
                    title=one.title,
                    alert_class=one.alert_class,
                    at=one.at,
                    deliveries=[
                        ReceivedDelivery(
                            channel=d.channel,
                            state=d.state,
                            wording=d.wording,
                            changed_at=d.updated_at,
                        )
                        for d in one.deliveries
                    ],
                )
                for one in page.alerts
            ],
            before=page.before.at if page.before else None,
            before_alert=page.before.alert_id if page.before else None,
        )
    )
