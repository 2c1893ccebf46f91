"""One's own account: password, second factor, recovery codes, and where one is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import segno
from aiohttp import web
from markupsafe import Markup

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people import enrolment, enrolment_codes, second_factor, sessions, signin
from broadcaster.people.sessions import Known
from broadcaster.web import i18n, security
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL, SETTINGS
from broadcaster.web.labels import mark
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/account"
FACTOR = f"{PAGE}/second-factor"
ROLE_WORDS = {
    "author": mark("Writes alerts"),
    "approver": mark("Approves alerts"),
    "staff": mark("Works on incidents"),
    "monitor": mark("Watches the service"),
    "admin": mark("Administers"),
}
_GROUPS = "SELECT group_id, name FROM unit_group"
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("CriOS/", "Chrome"),
             ("Chrome/", "Chrome"), ("Safari/", "Safari"))  # fmt: skip
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Mac OS X", "macOS"), ("Linux", "Linux"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A session as its owner recognises it."""

    known: Known
    name: str


@routes.get(PAGE)
@official()
async def account(request: web.Request) -> web.StreamResponse:
    """Show one's own account."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, refusal: Refused | None = None, where: str = ""
) -> web.Response:
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    held = await sessions.known(conn, app[KEYRING], actor.official_id, now, _token(request))
    return await frame.screen(
        request, conn, "account.html", "account", status_of(refusal) if refusal else 200,
        factor=await second_factor.standing(conn, actor.official_id, now),
        places=[Place(one, agent_name(one.agent)) for one in held],
        atlas=await app[GEOGRAPHY].atlas(),
        groups={row["group_id"]: row["name"] for row in await conn.fetch(_GROUPS)},
        problem=refusal.message(i18n.language()) if refusal else "",
        role_names={role: _(name) for role, name in ROLE_WORDS.items()},
        where=where, done=request.query.get("done", ""),
    )  # fmt: skip


def agent_name(agent: str) -> str:
    """Name a browser as its user knows it: Chrome, Windows."""
    browser = next((name for part, name in _BROWSERS if part in agent), "")
    system = next((name for part, name in _SYSTEMS if part in agent), "")
    return ", ".join(part for part in (browser, system) if part) or _("a program")


def _token(request: web.Request) -> str:
    return request.cookies.get(security.session_cookie_name(request.app[SETTINGS]), "")


@routes.post(f"{PAGE}/password")
@official()
async def password(request: web.Request) -> web.StreamResponse:
    """Change one's own password; every other session ends."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    try:
        await signin.change_password(
            app[POOL], app[CLOCK](), actor, str(fields.get("present", "")),
            str(fields.get("new", "")),
        )  # fmt: skip
    except Refused as refusal:
        async with app[POOL].acquire() as conn:
            return await _shown(request, conn, refusal, "password")
    async with app[POOL].acquire() as conn:
        await sessions.close_all(conn, actor.official_id, app[KEYRING], _token(request))
    raise web.HTTPSeeOther(f"{PAGE}?done=password")


@routes.get(FACTOR)
@official()
async def enrol(request: web.Request) -> web.StreamResponse:
    """Show the secret to scan or to type, and ask for the first code."""
    async with request.app[POOL].acquire() as conn:
        return await _enrolling(request, conn, _target(request.query.get("next", "")))


def _target(text: str) -> str:
    return security.local_path(text, "") if text else ""


async def _enrolling(
    request: web.Request, conn: Conn, target: str, refusal: Refused | None = None
) -> web.Response:
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    offered = await enrolment.offer(conn, request.app[KEYRING], actor, now)
    secret = offered.secret
    return await frame.screen(
        request, conn, "second_factor.html", "account", status_of(refusal) if refusal else 200,
        qr=_drawn(offered.uri), uri=offered.uri,
        key=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        factor=await second_factor.standing(conn, actor.official_id, now), target=target,
        given_until=await enrolment_codes.waiting_until(conn, actor.official_id, now),
        givers=await enrolment_codes.givers(conn, actor),
        problem=refusal.message(i18n.language()) if refusal else "",
        wrong=refusal.code if refusal else "",
    )  # fmt: skip


def _drawn(uri: str) -> Markup:
    # Black on white also where the page is dark: many phones read nothing else.
    drawn = segno.make(uri, error="m", micro=False)
    return Markup(  # noqa: S704 - segno draws it; the address within is drawn, not written
        drawn.svg_inline(border=4, dark="#000", light="#fff", svgclass="qr", omitsize=True)
    )


@routes.post(FACTOR)
@official()
async def confirm(request: web.Request) -> web.StreamResponse:
    """Put the phone's factor into force; the recovery codes are on this answer and nowhere else."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    target, now = _target(str(fields.get("next", ""))), app[CLOCK]()
    async with app[POOL].acquire() as conn:
        enrolled = (await second_factor.standing(conn, actor.official_id, now)).enrolled
    try:
        if not enrolled:
            await signin.require_password(app[POOL], now, actor, str(fields.get("password", "")))
        async with app[POOL].acquire() as conn:
            codes = await enrolment.confirm(
                conn, app[KEYRING], actor, now, str(fields.get("code", "")),
                str(fields.get("present", "")),
            )  # fmt: skip
            return await _codes(request, conn, codes, target)
    except Refused as refusal:
        async with app[POOL].acquire() as conn:
            return await _enrolling(request, conn, target, refusal)


async def _codes(request: web.Request, conn: Conn, codes: list[str], target: str) -> web.Response:
    context: dict[str, Any] = {"codes": codes, "target": target or PAGE}
    return await frame.screen(request, conn, "recovery_codes.html", "account", **context)


@routes.post(f"{PAGE}/recovery-codes")
@official()
async def renew(request: web.Request) -> web.StreamResponse:
    """Make new recovery codes; the old ones are worth nothing from then on."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    now: datetime = app[CLOCK]()
    async with app[POOL].acquire() as conn:
        try:
            codes = await enrolment.renew_codes(
                conn, app[KEYRING], actor, now, str(fields.get("code", ""))
            )
        except Refused as refusal:
            return await _shown(request, conn, refusal, "codes")
        return await _codes(request, conn, codes, "")


@routes.post(f"{PAGE}/sessions/end")
@official()
async def end_sessions(request: web.Request) -> web.StreamResponse:
    """End one session, or all but this one where none is named."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    which = str(fields.get("session", ""))
    async with app[POOL].acquire() as conn:
        if which:
            await sessions.close_one(conn, actor.official_id, posted_number(which, "session"))
        else:
            await sessions.close_all(conn, actor.official_id, app[KEYRING], _token(request))
    raise web.HTTPSeeOther(f"{PAGE}?done=sessions")
