"""Handsets: the thread of text messages, the switch, and answering."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from broadcaster.web.lab import answers, views
from broadcaster.web.lab.store import LAB
from broadcaster.web.security import public
from channels.lab import smsc_store

routes = web.RouteTableDef()


@routes.get("/lab/sms")
@public
async def listing(request: web.Request) -> web.StreamResponse:
    """List handsets."""
    search = views.search_of(request)
    found = await request.app[LAB].sms(
        partial(smsc_store.handsets, limit=views.MOST, search=search)
    )
    return views.page(
        request, "handsets.html", "sms", handsets=found, search=search, moment_of=views.moment
    )


@routes.get("/lab/sms/{number}")
@public
async def thread(request: web.Request) -> web.StreamResponse:
    """Show one handset's conversation."""
    number, lab = request.match_info["number"], request.app[LAB]
    found = await lab.sms(partial(smsc_store.handsets, limit=views.MOST, search=number))
    this = next((one for one in found if one.number == number), None)
    if this is None:
        raise web.HTTPNotFound
    shown = await lab.sms(partial(smsc_store.messages, number=number))
    return views.page(
        request, "handset.html", "sms", handset=this, messages=shown, moment_of=views.moment
    )


@routes.post("/lab/sms/{number}/switch")
@public
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a handset on or off."""
    number, fields = request.match_info["number"], await request.post()
    online = fields.get("online") == "1"
    await request.app[LAB].sms(partial(smsc_store.switch, number=number, online=online))
    raise views.back(f"/lab/sms/{number}")


@routes.post("/lab/sms/{number}/answer")
@public
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer by text message."""
    number = request.match_info["number"]
    text = await views.text_of(request)
    if text:
        await answers.by_sms(request.app, number, text)
    raise views.back(f"/lab/sms/{number}", "answered" if text else "")
