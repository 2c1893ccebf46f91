"""The outlines of units for the console's maps."""

from __future__ import annotations

from datetime import date

from aiohttp import web

from broadcaster.web.keys import GEOGRAPHY
from broadcaster.web.security import official

routes = web.RouteTableDef()


@routes.get("/console/units.geojson")
@official()
async def units(request: web.Request) -> web.StreamResponse:
    """Answer with every lowest unit and the groups; the address changes when they do.

    `vintage` asks for units that have ended, for the map of an old alert.
    """
    asked = request.query.get("vintage", "")
    try:
        vintage = date.fromisoformat(asked) if asked else None
    except ValueError:
        raise web.HTTPNotFound from None
    atlas = await request.app[GEOGRAPHY].atlas(vintage)
    if vintage and not atlas.units:
        raise web.HTTPNotFound
    etag = f'"{atlas.stamp}"'
    headers = {"Cache-Control": "private, max-age=86400", "ETag": etag}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    # Every browser takes gzip; the answer is kept compressed and nothing else.
    headers["Content-Encoding"] = "gzip"
    return web.Response(body=atlas.packed, content_type="application/geo+json", headers=headers)
