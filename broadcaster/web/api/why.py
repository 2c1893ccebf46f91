"""Why an alert reached somebody, or did not; and whom an update of it would add or drop."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts import draft
from broadcaster.fanout import change, why
from broadcaster.fanout.why_places import PlaceFound
from broadcaster.web import area_tools
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR, VISITOR
from broadcaster.web.security import official
from targeting.errors import AreaError

routes = web.RouteTableDef()


class WhyQuestion(BaseModel):
    """Whom to explain an alert for: one of the two."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=200)] = ""
    """A telephone number or mail address, as typed."""
    report: Annotated[str, Field(max_length=40)] = ""
    """The code of a report they sent."""

    def asked(self) -> dict[str, str]:
        """Return both as the domain takes them."""
        return {"address": self.address.strip(), "report": self.report.strip()}


class Said(BaseModel):
    """The same in both languages."""

    vi: str
    en: str


class WhyPlace(BaseModel):
    """A place of a person; of one outside the area, only that is told."""

    name: Said
    inside: bool
    label: str
    unit: Said | None
    """Where it is known by its unit only."""
    parts: list[Said]
    """The parts of the area it lies in."""


class WhySent(BaseModel):
    """What became of the alert at one address."""

    channel: str
    address: str
    """Masked."""
    state: str | None
    reason: str | None
    at: datetime | None
    why_not: Said | None


class WhyPerson(BaseModel):
    """One person behind the address."""

    in_audience: bool | None
    """Null while nobody is frozen."""
    because: str
    message: Said
    registered_at: datetime
    places: list[WhyPlace]
    sent: list[WhySent]


class Why(BaseModel):
    """Why an alert reached the people behind an address, or did not."""

    frozen_at: datetime | None
    nobody: Said | None
    people: list[WhyPerson]


class NewArea(BaseModel):
    """The area an update would have."""

    model_config = ConfigDict(extra="forbid")

    area: dict[str, Any]


class Changed(BaseModel):
    """People an update would add, keep and drop."""

    added: int
    kept: int
    dropped: int


@routes.post("/api/v1/alerts/{code}/why")
@official(*why.ROLES)
@operation(
    Operation(
        "Why somebody got an alert, or did not",
        {200: Why},
        body=WhyQuestion,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def explain(request: web.Request) -> web.StreamResponse:
    """Explain an alert for everybody behind an address; every question is audited."""
    given = await read(request, WhyQuestion)
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn, conn.transaction():
        found = await why.ask(
            conn, app[KEYRING], app[SELECTOR], actor, app[CLOCK](), request.match_info["code"],
            **given.asked(),
        )  # fmt: skip
    return answered(
        Why(
            frozen_at=found.frozen_at,
            nobody=words_said(found.nobody),
            people=[_person(person) for person in found.people],
        )
    )


def words_said(words: tuple[str, str] | None) -> Said | None:
    """Say it in both languages."""
    return None if words is None else Said(vi=words[0], en=words[1])


def place_said(place: PlaceFound) -> WhyPlace:
    """Tell of one place what may be told."""
    return WhyPlace(
        name=Said(vi=place.name[0], en=place.name[1]),
        inside=place.inside,
        label=place.label,
        unit=words_said(place.unit),
        parts=[Said(vi=part[0], en=part[1]) for part in place.parts],
    )


def reason_said(person: why.Person) -> dict[str, Any]:
    """Tell why somebody is among the people of an alert, or not, and by which of their places."""
    return {
        "in_audience": person.in_audience,
        "because": person.because,
        "message": words_said(person.sentence),
        "places": [place_said(place) for place in person.places],
    }


def _person(person: why.Person) -> WhyPerson:
    return WhyPerson(
        **reason_said(person),
        registered_at=person.registered_at,
        sent=[
            WhySent(
                channel=one.channel,
                address=one.address,
                state=one.state,
                reason=one.reason,
                at=one.at,
                why_not=words_said(one.why_not),
            )
            for one in person.sent
        ],
    )


@routes.post("/api/v1/alerts/{code}/change")
@official()
@operation(
    Operation(
        "Whom an update would add and drop",
        {200: Changed},
        body=NewArea,
        most_bytes=2_000_000,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def what_changes(request: web.Request) -> web.StreamResponse:
    """Count who is added, kept and dropped against the people this alert froze."""
    given, app = await read(request, NewArea), request.app
    async with app[POOL].acquire() as conn:
        before = await draft.load(conn, request[VISITOR].actor, request.match_info["code"])
        try:
            found = await change.changed(
                conn, app[CLOCK](), app[SELECTOR], before.alert.alert_id, given.area
            )
        except AreaError as error:
            raise area_tools.AreaRefused(error.problems) from error
    return answered(
        Changed(added=len(found.added), kept=len(found.kept), dropped=len(found.dropped))
    )
