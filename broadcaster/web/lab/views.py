"""What every lab page shares: the frame, the search, the way back after something was done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from broadcaster.errors import Refused
from broadcaster.web import i18n, render
from broadcaster.web.i18n import gettext as _

MOST = 50
LONGEST_ANSWER = 2_000


def search_of(request: web.Request) -> str:
    """Return what is searched for."""
    return request.query.get("q", "").strip()[:200]


def page(request: web.Request, template: str, section: str, **context: Any) -> web.Response:
    """Render a page inside the lab's frame."""
    said = {
        "answered": _("Sent. What the service answers arrives here as a message."),
        "opened": _("Opened. The app has told the service that you have seen it."),
        "problem": request.query.get("problem", "")[:500],
    }.get(request.query.get("done", ""), "")
    return render.page(request, f"lab/{template}", section=section, said=said, **context)


def back(path: str, done: str = "", problem: str = "") -> web.HTTPSeeOther:
    """Return the redirect to a lab page that says what was done, or why not."""
    said = f"?done={'problem' if problem else done}" if done or problem else ""
    return web.HTTPSeeOther(path + said + (f"&problem={quote(problem)}" if problem else ""))


def words(refusal: Refused) -> str:
    """Return a refusal's sentence in the language of this request."""
    return refusal.message(i18n.language())


def moment(seconds: float) -> datetime:
    """Return a stored time as an aware one."""
    return datetime.fromtimestamp(seconds, UTC)


async def text_of(request: web.Request) -> str:
    """Return what was written into the answer form."""
    fields = await request.post()
    return str(fields.get("text", "")).strip()[:LONGEST_ANSWER]
