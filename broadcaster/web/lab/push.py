"""Phones with the city's app: lock screen, history, switch, opening and answering."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from broadcaster.errors import Refused
from broadcaster.web.keys import CLOCK
from broadcaster.web.lab import answers, views
from broadcaster.web.lab.store import LAB
from broadcaster.web.security import public
from channels.lab import phones

routes = web.RouteTableDef()


def path_of(address: str) -> str:
    """Return the path of a phone's page."""
    return f"/lab/phones/{address}"


@routes.get("/lab/phones")
@public
async def listing(request: web.Request) -> web.StreamResponse:
    """List phones."""
    search = views.search_of(request)
    found = await request.app[LAB].push(partial(phones.phones, limit=views.MOST, search=search))
    return views.page(request, "phones.html", "phones", phones=found, search=search)


@routes.get("/lab/phones/{address}")
@public
async def phone(request: web.Request) -> web.StreamResponse:
    """Show one phone: what is on its lock screen, and what became of every message."""
    address, now = request.match_info["address"], request.app[CLOCK]()
    lab = request.app[LAB]
    found = await lab.push(partial(phones.phones, limit=views.MOST, search=address))
    this = next((one for one in found if one.address == address), None)
    if this is None:
        raise web.HTTPNotFound
    return views.page(
        request,
        "phone.html",
        "phones",
        phone=this,
        screen=await lab.push(partial(phones.screen, address=address, now=now)),
        history=await lab.push(partial(phones.history, address=address, now=now)),
    )


@routes.post("/lab/phones/{address}/switch")
@public
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a phone on or off."""
    address, fields = request.match_info["address"], await request.post()
    online, now = fields.get("online") == "1", request.app[CLOCK]()
    await request.app[LAB].push(partial(phones.switch, address=address, online=online, now=now))
    raise views.back(path_of(address))


@routes.post("/lab/phones/{address}/open")
@public
async def opened(request: web.Request) -> web.StreamResponse:
    """Open a notification: the app says that its owner has seen the alert."""
    address, fields = request.match_info["address"], await request.post()
    try:
        await answers.opened(request.app, address, str(fields.get("alert", "")))
    except Refused as refusal:
        raise views.back(path_of(address), problem=views.words(refusal)) from refusal
    raise views.back(path_of(address), "opened")


@routes.post("/lab/phones/{address}/answer")
@public
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer in the app."""
    address, fields = request.match_info["address"], await request.post()
    text, code = await views.text_of(request), str(fields.get("alert", ""))
    try:
        await answers.by_app(request.app, address, text, code or None)
    except Refused as refusal:
        raise views.back(path_of(address), problem=views.words(refusal)) from refusal
    raise views.back(path_of(address), "answered")
