"""CAP files, GeoJSON and the feed: public, and kept for a moment by whatever stands in front."""

from __future__ import annotations

import hashlib
from typing import Any

import geojson  # type: ignore[import-untyped]
import orjson
import shapely
from aiohttp import web

from broadcaster.alerts import cap
from broadcaster.web import areas, i18n, published
from broadcaster.web.feeds import atom
from broadcaster.web.feeds.message import message
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SETTINGS
from broadcaster.web.published import Published
from broadcaster.web.security import program

routes = web.RouteTableDef()
_MOST = 50
_SECONDS = 15
"""A cache in front may answer for this long: a storm's readers come by the hundred thousand."""
_DECIMALS = 5


def add_to(app: web.Application) -> None:
    """Add the files and the feed."""
    app.add_routes(routes)


def _answer(request: web.Request, body: bytes, media: str) -> web.Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={_SECONDS}",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if tag in (part.strip() for part in request.headers.get("If-None-Match", "").split(",")):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=media, charset="utf-8", headers=headers)


async def _found(request: web.Request) -> tuple[Published, list[Published], Atlas]:
    async with request.app[POOL].acquire() as conn:
        alert = await published.published(conn, request.match_info["code"].upper())
        family = await published.family(conn, alert.root_id)
    earlier = [one for one in family if one.sequence < alert.sequence]
    return alert, earlier, await areas.atlas_of(request.app[GEOGRAPHY], alert)


@routes.get("/alerts/{code:[A-Za-z0-9-]+}.cap.xml")
@program
async def cap_file(request: web.Request) -> web.StreamResponse:
    """Return an alert as CAP 1.2."""
    alert, earlier, atlas = await _found(request)
    area = await areas.drawn(atlas, alert)
    made = message(request.app[SETTINGS], alert, earlier, area, atlas)
    return _answer(request, cap.write(made), atom.CAP_TYPE)


@routes.get("/alerts/{code:[A-Za-z0-9-]+}.geojson")
@program
async def geojson_file(request: web.Request) -> web.StreamResponse:
    """Return an alert's area as GeoJSON; no geometry when its units were never known here."""
    alert, _, atlas = await _found(request)
    area = await areas.drawn(atlas, alert)
    body = orjson.dumps(_feature(request, alert, area, atlas))
    return _answer(request, body, "application/geo+json")


def _feature(
    request: web.Request, alert: Published, area: areas.Drawn, atlas: Atlas
) -> dict[str, Any]:
    shape = area.shape
    geometry = (
        None
        if shape is None
        else shapely.transform(shape, lambda xy: xy.round(_DECIMALS)).__geo_interface__
    )
    content = alert.content
    made = geojson.Feature(
        id=alert.cap_identifier,
        geometry=geometry,
        properties={
            "code": alert.code,
            "kind": alert.kind,
            "status": alert.document["status"],
            "class": content.alert_class,
            "event": content.event,
            "standing": alert.standing(request.app[CLOCK]()),
            "headline": {lang: words.page.headline for lang, words in content.wording.items()},
            "sent": cap.moment(alert.sent),
            "expires": cap.moment(alert.expires),
            "approximate": atlas.map.approximate,
        },
    )
    return dict(made)


@routes.get("/feeds/cap.atom")
@program
async def feed(request: web.Request) -> web.StreamResponse:
    """Return the newest alerts as an Atom feed; `?lang=en` for English."""
    asked = request.query.get("lang", "")
    lang = asked if asked in i18n.LANGUAGES else i18n.DEFAULT
    async with request.app[POOL].acquire() as conn:
        found = await published.recent(conn, _MOST)
    body = atom.feed(request.app[SETTINGS].public_url, found, lang, request.app[CLOCK]())
    return _answer(request, body, "application/atom+xml")
