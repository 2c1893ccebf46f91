"""Reports from the app: stored before they are answered, and how they stand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from broadcaster.db import transaction
from broadcaster.errors import NotFound
from broadcaster.incidents import inbox
from broadcaster.incidents.inbox import AppMessage
from broadcaster.keyring import Keyring
from broadcaster.web import i18n
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, WAKER
from broadcaster.web.security import program

routes = web.RouteTableDef()
_RECEIPT = "report-receipt"


class AppReport(BaseModel):
    """What somebody tells us: an answer to an alert, or something they see."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    text: Annotated[str, Field(min_length=1, max_length=4_000)]
    alert: Annotated[str, Field(max_length=40)] | None = None
    """Code of the alert that is answered."""
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    id: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    """The app's own id: sent again after a broken connection, it is the same report."""

    @model_validator(mode="after")
    def _whole_point(self) -> AppReport:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("lon and lat go together")
        return self


class Receipt(BaseModel):
    """The report is stored; it gets its tracking code within seconds."""

    receipt: str | None
    """Ask `/api/v1/reports/{receipt}` for the code; null when the report was here already."""
    repeated: bool


class Standing(BaseModel):
    """How a report stands."""

    code: str | None
    """The tracking code; null while the report is being read."""
    state: Literal[
        "waiting", "received", "triaged", "assigned", "under_way", "resolved", "closed",
        "reopened", "duplicate", "out_of_remit", "not_taken",
    ]  # fmt: skip
    received_at: datetime
    updated_at: datetime
    alert: str | None


async def take_report(app: web.Application, report: AppReport, person_id: int | None) -> Receipt:
    """Store a report, raw, and wake whoever reads it."""
    message = AppMessage(
        text=report.text,
        message_id=report.id or str(uuid4()),
        person_id=person_id,
        lon=report.lon,
        lat=report.lat,
        alert_code=report.alert or "",
        lang=i18n.language(),
    )
    async with transaction(app[POOL]) as conn:
        stored = await inbox.store_app(conn, app[KEYRING], app[CLOCK](), message)
    if stored is None:
        return Receipt(receipt=None, repeated=True)
    await app[WAKER].wake("intake")
    return Receipt(receipt=app[KEYRING].sign_link(_RECEIPT, f"r{stored}"), repeated=False)


@routes.post("/api/v1/reports")
@program
@operation(
    Operation(
        "Report something, or answer an alert",
        {202: Receipt},
        body=AppReport,
        auth="citizen?",
        refuses=(401, 413, 422, 429),
    )
)
async def post(request: web.Request) -> web.StreamResponse:
    """Take a report: from somebody we know by a token, or from anybody, within a limit."""
    person_id = await citizen.citizen_of(request)
    if person_id is None:
        citizen.spare(request)
    report = await read(request, AppReport)
    return answered(await take_report(request.app, report, person_id), 202)


_BY = """
SELECT r.code, r.received_at, i.state::text AS state, i.updated_at, a.code AS alert
FROM report r LEFT JOIN alert a USING (alert_id)
LEFT JOIN LATERAL (SELECT to_incident FROM incident_report l WHERE l.report_id = r.report_id
    ORDER BY link_id DESC LIMIT 1) l ON true
LEFT JOIN incident i ON i.incident_id = l.to_incident WHERE
"""


@routes.get("/api/v1/reports/{code}")
@program
@operation(
    Operation(
        "How a report stands, by its tracking code or its receipt",
        {200: Standing},
        refuses=(404, 429),
    )
)
async def get(request: web.Request) -> web.StreamResponse:
    """Tell how a report stands; of what was written, nothing."""
    citizen.spare(request)
    code = request.match_info["code"]
    inbound_id = _read_receipt(request.app[KEYRING], code)
    pool = request.app[POOL]
    if inbound_id is None:
        row = await pool.fetchrow(f"{_BY} r.code = $1", code.upper())
    else:
        row = await pool.fetchrow(f"{_BY} r.inbound_id = $1", inbound_id)
        row = row or await pool.fetchrow(
            "SELECT NULL AS code, received_at, received_at AS updated_at, NULL AS alert,"
            " CASE WHEN handled_at IS NULL THEN 'waiting' ELSE 'not_taken' END AS state"
            " FROM inbound_raw WHERE inbound_id = $1",
            inbound_id,
        )
    if row is None:
        raise NotFound("no_report", "Không có phản ánh mã này.", "There is no report of this code.")
    return answered(
        Standing(
            code=row["code"],
            state=row["state"] or "received",
            received_at=row["received_at"],
            updated_at=row["updated_at"] or row["received_at"],
            alert=row["alert"],
        )
    )


def _read_receipt(keyring: Keyring, given: str) -> int | None:
    number = (keyring.read_link(_RECEIPT, given) or "").removeprefix("r")
    return int(number) if number.isdecimal() else None
