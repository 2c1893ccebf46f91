"""Mailboxes: every mail as text and as HTML, and answering."""

from __future__ import annotations

import sqlite3
from functools import partial

from aiohttp import web

from broadcaster.errors import Refused
from broadcaster.web.lab import answers, views
from broadcaster.web.lab.store import LAB
from broadcaster.web.security import public
from channels.lab import smtp

routes = web.RouteTableDef()

_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'; sandbox"
)
"""A mail brings its own styles and nothing else: no script, no request, an origin of its own."""


@routes.get("/lab/mail")
@public
async def listing(request: web.Request) -> web.StreamResponse:
    """List mailboxes."""
    search = views.search_of(request)
    found = await request.app[LAB].mail(partial(smtp.mailboxes, limit=views.MOST, search=search))
    return views.page(
        request, "mailboxes.html", "mail", mailboxes=found, search=search, moment_of=views.moment
    )


@routes.get("/lab/mail/{address}")
@public
async def mailbox(request: web.Request) -> web.StreamResponse:
    """Show one mailbox, newest mail first."""
    address = request.match_info["address"]
    found = await request.app[LAB].mail(partial(smtp.mails, address=address))
    if not found:
        raise web.HTTPNotFound
    return views.page(
        request, "mailbox.html", "mail", address=address, mails=found, moment_of=views.moment
    )


@routes.get("/lab/mail/{address}/{mail:[0-9]{1,15}}.html")
@public
async def as_html(request: web.Request) -> web.StreamResponse:
    """Return a mail's HTML for its frame."""
    mail_id = int(request.match_info["mail"])

    def find(conn: sqlite3.Connection) -> str | None:
        row = conn.execute("SELECT html FROM mail WHERE id = ?", (mail_id,)).fetchone()
        return None if row is None else str(row["html"])

    html = await request.app[LAB].mail(find)
    if html is None:
        raise web.HTTPNotFound
    response = web.Response(text=html, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = _MAIL_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.post("/lab/mail/{address}/answer")
@public
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a mail."""
    address, fields = request.match_info["address"], await request.post()
    text, mail_id = await views.text_of(request), str(fields.get("mail", ""))
    if not text:
        raise views.back(f"/lab/mail/{address}")
    try:
        await answers.by_mail(
            request.app, address, text, int(mail_id) if mail_id.isdecimal() else None
        )
    except Refused as refusal:
        raise views.back(f"/lab/mail/{address}", problem=views.words(refusal)) from refusal
    raise views.back(f"/lab/mail/{address}", "answered")
