"""Signing in and out, and the choice of language."""

from __future__ import annotations

from aiohttp import web

from broadcaster.errors import Refused
from broadcaster.people import sessions, signin
from broadcaster.web import i18n, render, security
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SETTINGS

routes = web.RouteTableDef()
HOME = "/console"


@routes.get("/console/sign-in")
@security.public
async def form(request: web.Request) -> web.StreamResponse:
    """Show the sign-in form."""
    target = security.local_path(request.query.get("next", HOME), HOME)
    return render.page(request, "console/sign_in.html", next=target, login="", problem="")


@routes.post("/console/sign-in")
@security.public
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check login and password and open a session."""
    fields = await request.post()
    login, password = str(fields.get("login", "")), str(fields.get("password", ""))
    target = security.local_path(str(fields.get("next", HOME)), HOME)
    app, now = request.app, request.app[CLOCK]()
    try:
        actor = await signin.sign_in(app[POOL], now, login, password)
    except Refused as refusal:
        problem = refusal.message(i18n.language())
        return render.page(
            request, "console/sign_in.html", 422, next=target, login=login, problem=problem
        )
    async with app[POOL].acquire() as conn:
        agent = request.headers.get("User-Agent", "")
        opened = await sessions.open_session(conn, app[KEYRING], actor, now, agent)
    response = web.HTTPSeeOther(target)
    security.set_session_cookie(response, app[SETTINGS], opened.token)
    raise response


@routes.post("/console/sign-out")
@security.official()
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session on the server and in the browser."""
    app = request.app
    token = request.cookies[security.session_cookie_name(app[SETTINGS])]
    async with app[POOL].acquire() as conn:
        await sessions.close_session(conn, app[KEYRING], token)
    response = web.HTTPSeeOther("/console/sign-in")
    security.forget_session_cookie(response, app[SETTINGS])
    raise response


@routes.post("/language")
@security.public
async def language(request: web.Request) -> web.StreamResponse:
    """Remember the language chosen and go back to where it was chosen."""
    fields = await request.post()
    response = web.HTTPSeeOther(security.local_path(str(fields.get("next", HOME)), HOME))
    chosen = str(fields.get("lang", ""))
    if chosen in i18n.LANGUAGES:
        security.set_language_cookie(response, request.app[SETTINGS], chosen)
    raise response
