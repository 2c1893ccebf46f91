"""What may follow an alert, on its page: update, all-clear, call off, sent in error."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from aiohttp import web

from broadcaster.alerts import draft, followup, order, setting_aside
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout.progress import progress
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.states import AlertState
from broadcaster.web import i18n
from broadcaster.web.console import delivery, frame, preview
from broadcaster.web.console.preview import Preview
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, POOL, WAKER
from broadcaster.web.security import official

routes = web.RouteTableDef()
SENDERS = ("author", "approver")
_ROLES = {
    "update": ("author",),
    "all_clear": ("author",),
    "cancel": SENDERS,
    "correction": SENDERS,
}

Act = Callable[[Conn, Actor, datetime, int, str], Awaitable[Alert]]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that may come next, or why it may not."""

    kind: str
    why_not: str
    """Empty when it may be done."""
    previews: list[Preview]
    """The prepared words, where it goes out by one click."""
    aside: Alert | None = None
    """The draft it would take the place of; its code goes with the act."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the page of an alert shows of its follow-ups."""

    family: list[Alert]
    """The alert itself too, in the order they follow."""
    actions: dict[str, Action]
    newest: Alert | None
    """What took this one's place, when something did."""
    opened: Alert | None
    """The follow-up somebody has in work."""
    told: int
    """Messages of this alert that arrived or may have arrived."""

    @property
    def offered(self) -> bool:
        """Whether any of it may be done now."""
        return any(not action.why_not for action in self.actions.values())


async def look(
    conn: Conn, actor: Actor, now: datetime, alert: Alert, approved: Content | None
) -> Look:
    """Gather what follows an alert and what this official may do next."""
    family = await draft.family(conn, alert.root_id)
    later = [one for one in family if one.sequence > alert.sequence and one.started_at]
    whole = delivery.total_of(await progress(conn, alert.alert_id))
    actions = {
        kind: await _action(conn, actor, now, alert, approved, kind, family) for kind in _ROLES
    }
    return Look(
        family, actions, later[-1] if later else None, order.open_one(family),
        whole.left_us + whole.unknown,
    )  # fmt: skip


async def _action(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert: Alert,
    approved: Content | None,
    kind: str,
    family: list[Alert],
) -> Action:
    aside = setting_aside.may_be(family) if kind == "all_clear" else None
    why_not = await _why_not(conn, actor, now, alert, approved, kind, aside)
    return Action(kind, why_not, _prepared(approved, kind), None if why_not else aside)


async def _why_not(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert: Alert,
    approved: Content | None,
    kind: str,
    aside: Alert | None,
) -> str:
    if alert.unit_id not in await authority_so_far(conn, actor, *_ROLES[kind]):
        return _("Your roles do not reach the unit that issues this alert.")
    refusal = await order.hindrance(conn, now, alert, kind)
    if refusal is not None and not (aside and refusal.code == "follow_up_in_work"):
        return refusal.message(i18n.language())
    if kind in order.PREPARED and (approved is None or not followup.preparation(approved, kind)):
        return _("No words for this were approved with the alert. Write an update.")
    return ""


def _prepared(approved: Content | None, kind: str) -> list[Preview]:
    if approved is None or kind not in order.PREPARED:
        return []
    words = approved.prepared.cancel if kind == "cancel" else approved.prepared.correction
    return preview.of_words(words, approved.languages)


@routes.post("/console/alerts/{code}/update")
@official("author")
async def update(request: web.Request) -> web.StreamResponse:
    """Start an update, and go on to writing it."""
    return await _write(request, followup.update)


@routes.post("/console/alerts/{code}/all-clear")
@official("author")
async def all_clear(request: web.Request) -> web.StreamResponse:
    """Start an all-clear, and go on to writing it; a draft in its way is set aside when named."""
    fields = await request.post()
    aside = str(fields.get("aside", ""))
    if aside and fields.get("sure") != "yes":
        raise Refused(
            "not_confirmed",
            f"Chưa xác nhận gác lại {aside}. Đánh dấu ô xác nhận rồi bấm lại.",
            f"Setting {aside} aside is not confirmed. Tick the box, then press again.",
        )
    return await _write(request, functools.partial(followup.all_clear, set_aside=aside))


async def _write(request: web.Request, start: Any) -> web.StreamResponse:
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await draft.load(conn, actor, request.match_info["code"])
        made = await start(conn, actor, now, found.alert.alert_id)
    raise web.HTTPSeeOther(f"/console/alerts/{made.code}/edit")


async def send(request: web.Request, act: Act, reason: str) -> NoReturn:
    """Send what was prepared and go to its page; raises Refused as the act does."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await draft.load(conn, actor, request.match_info["code"])
        made = await act(conn, actor, now, found.alert.alert_id, reason)
    await request.app[WAKER].wake("start")
    raise web.HTTPSeeOther(f"/console/alerts/{made.code}")


@routes.post("/console/alerts/{code}/withdraw")
@official(*SENDERS)
async def withdraw(request: web.Request) -> web.StreamResponse:
    """Give up a follow-up that is in work, and go back to what it would have followed."""
    fields = await request.post()
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = (await draft.load(conn, actor, request.match_info["code"])).alert
        await followup.withdraw(conn, actor, now, found.alert_id, str(fields.get("reason", "")))
        before = await draft.find(conn, found.predecessor_id or found.alert_id)
    raise web.HTTPSeeOther(f"/console/alerts/{before.code}")


def may_be_given_up(actor: Actor, alert: Alert) -> bool:
    """Tell whether the page offers to give up a follow-up that nobody has approved."""
    open_states = (AlertState.DRAFT, AlertState.SUBMITTED, AlertState.RETURNED)
    return (
        alert.kind in order.WRITTEN
        and alert.state in open_states
        and any(actor.holds(role) for role in SENDERS)
    )
