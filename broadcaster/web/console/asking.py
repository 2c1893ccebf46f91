"""Whom a question is about, as the forms of `why` and of the records post it.

Addresses are typed into forms that are posted: none ever stands in the address of a page.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.errors import Refused
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.keys import GEOGRAPHY, POOL
from broadcaster.web.middleware import status_of


async def asked(request: web.Request) -> dict[str, str]:
    """Return the `address` and the `report` that were posted, each empty where not given."""
    fields = await request.post()
    return {name: str(fields.get(name, "")).strip() for name in ("address", "report")}


def from_link(request: web.Request) -> dict[str, str]:
    """Return what a link asks: a report may be named in it, a telephone number never is."""
    return {"address": "", "report": request.query.get("report", "")}


def words(refusal: Refused | None) -> dict[str, object]:
    """Return what a page needs to speak: which of two languages, and why it was refused."""
    lang = i18n.language()
    return {
        "of_lang": 0 if lang == "vi" else 1,
        "problem": refusal.message(lang) if refusal else "",
    }


async def about_alert(
    request: web.Request,
    template: str,
    asked: dict[str, str],
    refusal: Refused | None,
    **answer: Any,
) -> web.Response:
    """Show the form of a question about an alert, with its answer or why there is none."""
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        return await frame.screen(
            request, conn, template, "alerts", status_of(refusal) if refusal else 200,
            alert=loaded.alert, asked=asked, official_name=actor.name, **words(refusal),
            atlas=await request.app[GEOGRAPHY].atlas(), **answer,
        )  # fmt: skip
