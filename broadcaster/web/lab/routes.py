"""The lab's routes; added only where the web process was started with a lab's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from broadcaster.errors import NotAllowed, Refused
from broadcaster.web.api.receipts import NEWS
from broadcaster.web.lab import answers, mail, push, sms, views
from broadcaster.web.lab.store import LAB, Lab
from broadcaster.web.security import program, public

routes = web.RouteTableDef()
_HERE = frozenset({"127.0.0.1", "::1"})
MOST_PHONES = 1_000
"""Phones one request speaks for."""
_FIELDS = frozenset({"channel", "address", "text", "alert"})


def add_to(app: web.Application, directory: Path) -> None:
    """Add the lab's pages over a folder of lab carriers."""
    app[LAB] = Lab(directory)
    for part in (routes, push.routes, sms.routes, mail.routes):
        app.add_routes(part)


@routes.get("/lab")
@public
async def front(request: web.Request) -> web.StreamResponse:
    """Open on the phones."""
    raise web.HTTPSeeOther("/lab/phones")


@routes.post("/lab/answer")
@program
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer as somebody: `{"channel": "push|sms|email", "address": …, "text": …}`.

    For the demo's own people. From this machine only, and as JSON, which no other site's page
    can send without being asked first.
    """
    if request.remote not in _HERE or request.content_type != "application/json":
        raise NotAllowed("only_from_here", "Chỉ gọi được từ máy này.", "For this machine only.")
    given = _read(await request.json())
    app, address, text = request.app, given["address"], given["text"]
    match given["channel"]:
        case "sms":
            await answers.by_sms(app, address, text)
        case "email":
            await answers.by_mail(app, address, text, None)
        case "push":
            await answers.by_app(app, address, text, given.get("alert"))
        case _:
            raise _unreadable()
    return web.json_response({"answered": True}, status=202)


@routes.post("/lab/confirm")
@program
async def confirm(request: web.Request) -> web.StreamResponse:
    """Let phones say what they have: `{"alert": …, "news": "received|opened", "addresses": []}`.

    For the demo's own phones, like `answer`; an app says it by `/api/v1/receipts`.
    """
    if request.remote not in _HERE or request.content_type != "application/json":
        raise NotAllowed("only_from_here", "Chỉ gọi được từ máy này.", "For this machine only.")
    given = await request.json()
    try:
        alert, news, addresses = given["alert"], NEWS[given["news"]], given["addresses"]
    except (KeyError, TypeError) as error:
        raise _unreadable() from error
    fits = isinstance(addresses, list) and len(addresses) <= MOST_PHONES
    if not fits or not all(isinstance(one, str) for one in (alert, *addresses)):
        raise _unreadable()
    booked = await answers.told(request.app, addresses, alert, news)
    return web.json_response({"booked": booked}, status=202)


def _read(given: Any) -> dict[str, str]:
    if (
        not isinstance(given, dict)
        or not {"channel", "address", "text"} <= given.keys() <= _FIELDS
        or not all(isinstance(value, str) for value in given.values())
        or not 0 < len(given["text"].strip()) <= views.LONGEST_ANSWER
    ):
        raise _unreadable()
    return given


def _unreadable() -> Refused:
    return Refused(
        "unreadable_answer",
        "Cần channel (push, sms, email), address và text.",
        "Give channel (push, sms, email), address and text.",
    )
