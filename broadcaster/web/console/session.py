"""Signing in, in as many steps as the account asks for, signing out, and the choice of language."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from broadcaster.errors import NotFound, Refused
from broadcaster.people import entering, sessions, signin
from broadcaster.people.entering import CODE
from broadcaster.people.sessions import Opened
from broadcaster.web import i18n, render, security
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SETTINGS
from broadcaster.web.middleware import SIGN_IN, status_of

routes = web.RouteTableDef()
HOME = "/console"
STEP = f"{SIGN_IN}/step"


@routes.get(SIGN_IN)
@security.public
async def form(request: web.Request) -> web.StreamResponse:
    """Show the sign-in form."""
    target = security.local_path(request.query.get("next", HOME), HOME)
    return render.page(request, "console/sign_in.html", next=target, login="", problem="")


@routes.post(SIGN_IN)
@security.public
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check login and password; open a session, or go on to what else is asked."""
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
    agent, rule = request.headers.get("User-Agent", ""), app[SETTINGS].sign_in_second_step
    async with app[POOL].acquire() as conn:
        opened, steps = await entering.begin(conn, app[KEYRING], actor, now, agent, rule)
    if not steps:
        raise _entered(request, opened, target)
    response = _to_step(target)
    security.set_entering_cookie(response, app[SETTINGS], opened.token)
    raise response


def _entered(request: web.Request, opened: Opened, target: str) -> web.HTTPSeeOther:
    response = web.HTTPSeeOther(target)
    security.set_session_cookie(response, request.app[SETTINGS], opened.token)
    security.forget_entering_cookie(response, request.app[SETTINGS])
    return response


def _to_step(target: str) -> web.HTTPSeeOther:
    asked = "" if target == HOME else f"?{urlencode({'next': target})}"
    return web.HTTPSeeOther(STEP + asked)


@routes.get(STEP)
@security.public
async def step(request: web.Request) -> web.StreamResponse:
    """Ask for what is still to be shown: the phone's code, or a password of their own."""
    return await _asked(request, security.local_path(request.query.get("next", HOME), HOME))


async def _asked(
    request: web.Request, target: str, refusal: Refused | None = None
) -> web.StreamResponse:
    app = request.app
    async with app[POOL].acquire() as conn:
        try:
            found = await entering.waiting(conn, app[KEYRING], app[CLOCK](), _token(request))
        except NotFound as over:
            return _over(request, target, over)
    return render.page(
        request,
        "console/sign_in_step.html",
        status_of(refusal) if refusal else 200,
        next=target,
        step=found.steps[0],
        who=found.actor,
        problem=refusal.message(i18n.language()) if refusal else "",
    )


def _over(request: web.Request, target: str, over: NotFound) -> web.StreamResponse:
    problem = over.message(i18n.language())
    return render.page(request, "console/sign_in.html", 422, next=target, login="", problem=problem)


def _token(request: web.Request) -> str:
    return request.cookies.get(security.entering_cookie_name(request.app[SETTINGS]), "")


@routes.post(STEP)
@security.public
async def take_step(request: web.Request) -> web.StreamResponse:
    """Check what was asked for; open the session when nothing is left."""
    fields, app, now = await request.post(), request.app, request.app[CLOCK]()
    target = security.local_path(str(fields.get("next", HOME)), HOME)
    show = entering.show_code if fields.get("step") == CODE else entering.show_password
    try:
        opened = await show(
            app[POOL], app[KEYRING], now, _token(request), str(fields.get("shown", ""))
        )
    except NotFound as over:
        return _over(request, target, over)
    except Refused as refusal:
        return await _asked(request, target, refusal)
    raise _entered(request, opened, target) if opened else _to_step(target)


@routes.post("/console/sign-out")
@security.official()
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session on the server and in the browser."""
    app = request.app
    token = request.cookies[security.session_cookie_name(app[SETTINGS])]
    async with app[POOL].acquire() as conn:
        await sessions.close_session(conn, app[KEYRING], token)
    response = web.HTTPSeeOther(SIGN_IN)
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
