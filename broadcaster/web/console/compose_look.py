"""Everything the server has to say about one version of a draft, and how the page is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.alerts import checks, comments, template_store
from broadcaster.alerts.checks import CheckResult
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Draft
from broadcaster.alerts.template_store import Chosen
from broadcaster.db import Conn
from broadcaster.web import labels, render
from broadcaster.web.console import (
    approvers,
    compose_form,
    figures,
    follow_up_form,
    form_document,
    frame,
    places,
    preview,
    problems,
)
from broadcaster.web.console.approvers import Said
from broadcaster.web.console.follow_up_form import Difference
from broadcaster.web.console.places import Reach
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, SELECTOR
from templates import catalogue


@dataclass(frozen=True, slots=True)
class Look:
    """One version of a draft with the checks, their forecast among them, and the people."""

    draft: Draft
    chosen: Chosen
    """The template its words come from."""
    reach: Reach
    result: CheckResult
    earlier: Content | None
    """What was approved before an update."""
    difference: Difference | None
    open_comments: int
    approvers: Said
    """Who may approve this version."""


async def look(request: web.Request, conn: Conn, loaded: Draft) -> Look:
    """Check a draft and count its people."""
    app, now = request.app, request.app[CLOCK]()
    atlas = await app[GEOGRAPHY].atlas()
    actor, selector = frame.actor_of(request), app[SELECTOR]
    alert, content = loaded.alert, loaded.content
    result = await checks.run_on(conn, actor, now, loaded, selector, app[KEYRING])
    if result.left is None:
        raise LookupError("who may approve a draft is found when it is checked")
    reach = await places.reach(conn, now, selector, atlas, content.area, result.audience)
    return Look(
        loaded,
        result.chosen or await template_store.of_content(conn, content, alert.unit_id),
        reach,
        result,
        await follow_up_form.earlier(conn, alert),
        follow_up_form.difference(result.change),
        await comments.count_open(conn, alert.alert_id),
        approvers.said(result.left.answer, actor.official_id, others=len(result.left.standing_in)),
    )


def shown(found: Look, atlas: Atlas, now: datetime) -> dict[str, Any]:
    """Return what the fragments of the page show."""
    content, event = found.draft.content, found.chosen.event
    told = problems.findings(found.result.problems, content, event, now)
    shares = {str(lang): found.reach.lang_share(lang) for lang in content.languages}
    return {
        "alert": found.draft.alert,
        "content": content,
        **figures.panel(found.reach, atlas),
        "event": event,
        "blocking": [one for one in told if one.blocking],
        "advisory": [one for one in told if not one.blocking],
        "passed": problems.passed(found.result.problems, content, event),
        "duty": found.result.duty,
        "previews": preview.previews(content, shares),
        "follow_previews": follow_up_form.shown(content, found.draft.alert.kind, found.difference),
        "difference": found.difference,
        "forecast": found.result.forecast,
        "open_comments": found.open_comments,
        "editing": True,
        "approvers": found.approvers,
    }


def answer(
    request: web.Request, found: Look, atlas: Atlas, now: datetime, *, joined: bool
) -> dict[str, Any]:
    """Return what the page is told after a save; with `joined` the whole form's content."""
    alert, content = found.draft.alert, found.draft.content
    context = {**shown(found, atlas, now), "saved_at": now}
    fragments = {
        name: render.text(request, f"console/{page}.html", **context)
        for name, page in (
            ("saved", "compose_saved"),
            ("preview", "preview"),
            ("checks", "compose_checks"),
            ("audience", "compose_audience"),
            ("forecast", "forecast"),
            ("difference", "compose_difference"),
            ("dock", "compose_dock"),
        )
    }
    return {
        "version": alert.version,
        "state": alert.state.value,
        "title": labels.title_of(alert),
        "fragments": fragments,
        "pieces": {
            lang: {name: piece.text for name, piece in pieces.items() if not piece.own}
            for lang in content.languages
            for pieces in [compose_form.pieces(content, lang, found.chosen.catalogue)]
        },
        "follow_ups": follow_up_form.texts(content, alert.kind, found.earlier),
        "places": _named(content),
        "blocking": len(context["blocking"]),
        "document": form_document.document_of(
            content, alert.kind, found.earlier, found.chosen, atlas
        )
        if joined
        else None,
    }


def _named(content: Content) -> dict[str, str]:
    named = content.values.get("places") or {}
    return {lang: ", ".join(named.get(lang, [])) for lang in catalogue.LANGS}
