"""The public pages: one alert, and all of them. Nobody signs in; nothing but reading."""

from __future__ import annotations

import asyncio

from aiohttp import web

from broadcaster.alerts.content import wording_for
from broadcaster.alerts.standing import Standing
from broadcaster.web import areas, i18n, published, render
from broadcaster.web.citizen import area_map, left, places
from broadcaster.web.citizen.area_map import AreaMap
from broadcaster.web.citizen.language import speak
from broadcaster.web.feeds.message import describe
from broadcaster.web.geography import Atlas
from broadcaster.web.kept import Kept
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.published import Published
from broadcaster.web.security import public

routes = web.RouteTableDef()
_MOST = 40
_SECONDS = 10
_GONE = frozenset({Standing.REPLACED, Standing.ALL_CLEAR, Standing.CANCELLED, Standing.CORRECTED})
"""What such a message told people to do is not to be done any more."""
_maps: Kept[tuple[bytes, str], AreaMap | None] = Kept(128)


def add_to(app: web.Application) -> None:
    """Add the public pages."""
    app.add_routes(routes)
    app.add_routes(places.routes)


def _public(response: web.Response) -> web.Response:
    response.headers["Cache-Control"] = f"public, max-age={_SECONDS}"
    response.headers["Vary"] = "Accept-Language, Cookie, Accept-Encoding"
    return response


async def _map(atlas: Atlas, alert: Published, area: areas.Drawn) -> AreaMap | None:
    key = alert.snapshot.content_hash, atlas.stamp
    found = _maps.find(key)
    return found or _maps.keep(key, await asyncio.to_thread(area_map.draw, atlas, area))


@routes.get("/alerts")
@public
async def listing(request: web.Request) -> web.StreamResponse:
    """List alerts in force, the all-clears that still stand, what is over, exercises apart."""
    speak(request)
    now = request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await published.recent(conn, _MOST)
    every = [(alert, alert.standing(now), _words(alert)) for alert in found]
    rows = [row for row in every if not row[0].exercise]
    return _public(
        render.page(
            request,
            "citizen/alerts.html",
            exercises=[row for row in every if row[0].exercise],
            current=[row for row in rows if row[1] == Standing.IN_FORCE],
            clear=[row for row in rows if _is_clear(row[0], row[1])],
            over=[row for row in rows if row[1] != Standing.IN_FORCE and not _is_clear(*row[:2])],
        )
    )


@routes.get("/alerts/{code:[A-Za-z0-9-]+}")
@public
async def alert(request: web.Request) -> web.StreamResponse:
    """Show one alert: what to do first, where, until when, and what became of it."""
    speak(request)
    now, lang = request.app[CLOCK](), i18n.language()
    async with request.app[POOL].acquire() as conn:
        found = await published.published(conn, request.match_info["code"].upper())
        family = await published.family(conn, found.root_id)
    atlas = await areas.atlas_of(request.app[GEOGRAPHY], found)
    area = await areas.drawn(atlas, found)
    standing = found.standing(now)
    earlier = [one for one in family if one.sequence < found.sequence]
    return _public(
        render.page(
            request,
            "citizen/alert.html",
            alert=found,
            content=found.content,
            words=_words(found),
            words_lang=_words_lang(found, lang),
            standing=standing,
            is_clear=_is_clear(found, standing),
            is_gone=standing in _GONE,
            before=(earlier[0], _words(earlier[0])) if earlier else None,
            left=await left.places(request.app[GEOGRAPHY], found, area, earlier),
            family=[(one, _words(one)) for one in family],
            newest=next((one for one in family if one.code == found.newer_code), None),
            issuer=found.document["unit_name" if lang == "vi" else "unit_name_en"],
            places=atlas.of(area.covered.unit_ids),
            place_line=describe(atlas, area, lang),
            drawing=await _map(atlas, found, area),
            approximate=atlas.map.approximate,
            size=(area_map.WIDTH, area_map.HEIGHT),
        )
    )


def _is_clear(alert: Published, standing: Standing) -> bool:
    return alert.kind == "all_clear" and standing == Standing.CLOSING


def _words(alert: Published) -> object:
    return wording_for(alert.content, i18n.language()).page


def _words_lang(alert: Published, lang: str) -> str:
    return lang if lang in alert.content.wording and lang in alert.content.languages else "vi"
