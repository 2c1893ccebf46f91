"""One question by a link: in which of today's units do you live? Works without a script."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from broadcaster.errors import NotFound, Refused
from broadcaster.people import asking
from broadcaster.web import i18n, render
from broadcaster.web.citizen.language import speak
from broadcaster.web.keys import CLOCK, KEYRING, POOL
from broadcaster.web.security import public

routes = web.RouteTableDef()
UNKNOWN = "unknown"
"""What the form sends for "I do not know": no code of a unit looks like this."""
_LINK = "/places/{token:[A-Za-z0-9_-]{16,64}}"


@routes.get("/places/thanks")
@public
async def thanks(request: web.Request) -> web.StreamResponse:
    """Say that the answer is kept."""
    speak(request)
    return render.page(request, "citizen/places_said.html", over=False)


@routes.get(_LINK)
@public
async def question(request: web.Request) -> web.StreamResponse:
    """Ask; looking at the page uses nothing up, so that previews of links do no harm."""
    speak(request)
    return await _shown(request)


async def _shown(request: web.Request, refusal: Refused | None = None) -> web.Response:
    app = request.app
    try:
        async with app[POOL].acquire() as conn:
            found = await asking.find(conn, app[KEYRING], app[CLOCK](), request.match_info["token"])
    except NotFound:
        return render.page(request, "citizen/places_said.html", 404, over=True)
    return render.page(
        request,
        "citizen/places.html",
        422 if refusal else 200,
        places=found.places,
        unknown=UNKNOWN,
        problem=refusal.message(i18n.language()) if refusal else "",
    )


@routes.post(_LINK)
@public
async def answer(request: web.Request) -> web.StreamResponse:
    """Keep the answer; the link is used up."""
    speak(request)
    app, fields = request.app, await request.post()
    try:
        async with app[POOL].acquire() as conn:
            await asking.answer(
                conn, app[KEYRING], app[CLOCK](), request.match_info["token"], _chosen(fields)
            )
    except Refused as refusal:
        return await _shown(request, refusal)
    raise web.HTTPSeeOther(f"/places/thanks?lang={i18n.language()}")


def _chosen(fields: Mapping[str, object]) -> dict[int, str | None]:
    """Read `place-0=00004`: by place the code of a unit, None for what is not known."""
    chosen: dict[int, str | None] = {}
    for name, value in fields.items():
        number = name.removeprefix("place-")
        if number in {"0", "1", "2", "3", "4", "5"} and isinstance(value, str):
            chosen[int(number)] = None if value == UNKNOWN else value
    return chosen
