"""Taking an alert along: its record as PDF, its communes and its messages as CSV.

Lists are streamed page by page, so that one of a million lines begins at once and costs no memory.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster import audit, spreadsheet
from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.fanout import deliveries, tally, whom
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from broadcaster.web import i18n
from broadcaster.web.console import frame, record_pages
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = 5_000
_BOM = "\ufeff"
"""Spreadsheets read a file as UTF-8 when it begins with this, and as gibberish without."""
_DELIVERY = (
    "channel", "state", "language", "wording", "tries", "written", "changed", "reason", "status"
)  # fmt: skip


@routes.get("/console/alerts/{code}/record.pdf")
@official()
async def pdf(request: web.Request) -> web.StreamResponse:
    """Make the record of an alert, in the reader's language."""
    actor, app = frame.actor_of(request), request.app
    async with app[POOL].acquire() as conn:
        loaded = await approved(conn, actor, request.match_info["code"])
        made = await record_pages.make(conn, app[GEOGRAPHY], loaded.alert)
        await note(conn, actor, app[CLOCK](), loaded.alert, "pdf")
    name = f"{loaded.alert.code}.{i18n.language()}.pdf"
    return web.Response(body=made, content_type="application/pdf", headers=_saved_as(name))


@routes.get("/console/alerts/{code}/communes.csv")
@official()
async def communes(request: web.Request) -> web.StreamResponse:
    """Answer with deliveries by commune, channel and state."""
    actor, app = frame.actor_of(request), request.app
    async with app[POOL].acquire() as conn:
        loaded = await approved(conn, actor, request.match_info["code"])
        rows = await commune_rows(conn, loaded.alert, await app[GEOGRAPHY].atlas())
        await note(conn, actor, app[CLOCK](), loaded.alert, "communes.csv")
    name = f"{loaded.alert.code}-communes.csv"
    return web.Response(
        text=_BOM + lines(rows), content_type="text/csv", charset="utf-8", headers=_saved_as(name)
    )


@routes.get("/console/alerts/{code}/deliveries.csv")
@official()
async def every_delivery(request: web.Request) -> web.StreamResponse:
    """Answer with every message, as it is read: the first lines leave at once."""
    actor, app = frame.actor_of(request), request.app
    async with app[POOL].acquire() as conn:
        loaded = await approved(conn, actor, request.match_info["code"])
        shown = await may_see_addresses(conn, actor, loaded.alert.code)
        await note(conn, actor, app[CLOCK](), loaded.alert, "deliveries.csv")
    name = f"{loaded.alert.code}-deliveries.csv"
    response = web.StreamResponse(
        headers={"Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store"}
        | _saved_as(name)
    )
    await response.prepare(request)
    await response.write(_BOM.encode())
    async for text in delivery_lines(app[POOL], app[KEYRING], loaded.alert, addresses=shown):
        await response.write(text.encode())
    await response.write_eof()
    return response


async def approved(conn: Conn, actor: Actor, code: str) -> draft.Draft:
    """Return an alert that has a record; raises Refused of one that has none, NotFound."""
    loaded = await draft.load(conn, actor, code)
    if loaded.alert.approved_at is None:
        raise Refused(
            "nothing_to_export",
            "Tin chưa được duyệt nên chưa có hồ sơ. Xuất sau khi duyệt.",
            "The alert is not approved and has no record yet. Export it once it is.",
        )
    return loaded


async def note(conn: Conn, actor: Actor, now: datetime, alert: Alert, form: str) -> None:
    """Keep in the trail who took what along."""
    await audit.record(
        conn, actor.official_id, now, "alert.exported", "alert", alert.alert_id, format=form
    )


async def may_see_addresses(conn: Conn, actor: Actor, code: str) -> bool:
    """Tell whether an official may see addresses, shortened as everywhere."""
    try:
        await whom.alert_of(conn, actor, code)
    except NotAllowed:
        return False
    return True


async def commune_rows(conn: Conn, alert: Alert, atlas: Atlas) -> list[Sequence[Any]]:
    """Return a heading and a row for each commune, channel and state that has messages."""
    counted = await tally.of_alert(conn, alert.alert_id)
    rows: list[Sequence[Any]] = [
        ("code", "commune", "channel", "state", "messages", "counted_at", "status")
    ]
    for one in counted.communes if counted else ():
        unit = atlas.units.get(one.unit_id)
        for state, count in one.counts.items():
            if count:
                rows.append((
                    unit.code if unit else "", atlas.name(one.unit_id), one.channel, state, count,
                    spreadsheet.moment(counted.counted_at) if counted else "", alert.status,
                ))  # fmt: skip
    return rows


async def delivery_lines(
    pool: Any, keyring: Keyring, alert: Alert, *, addresses: bool
) -> AsyncIterator[str]:
    """Give every delivery as lines of CSV, some thousand at a time, none while nobody reads."""
    heads = ("number", *(("address",) if addresses else ()), *_DELIVERY)
    yield lines([heads])
    after: int | None = -1
    number = 0
    while after is not None:
        async with pool.acquire() as conn:
            page = await deliveries.of_alert(conn, alert.alert_id, after=after, limit=PAGE)
            ids = [one.endpoint_id for one in page.deliveries]
            ways = await whom.ways_by_id(conn, keyring, ids) if addresses else {}
        rows: list[Sequence[Any]] = []
        for one in page.deliveries:
            number += 1
            way = ways.get(one.endpoint_id)
            shown = ((way.address if way else "…"),) if addresses else ()
            rows.append((
                number, *shown, one.channel, one.state, one.lang, one.wording, one.tries,
                spreadsheet.moment(one.created_at), spreadsheet.moment(one.updated_at),
                one.reason or "", alert.status,
            ))  # fmt: skip
        if rows:
            yield lines(rows)
        after = page.after


def lines(rows: Sequence[Sequence[Any]]) -> str:
    """Write rows as CSV; no cell is taken for a formula by a spreadsheet."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([_plain(cell) for cell in row] for row in rows)
    return out.getvalue()


def _plain(cell: Any) -> Any:
    # A masked number begins with a plus, which Excel would reckon with.
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@" and cell else cell


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
