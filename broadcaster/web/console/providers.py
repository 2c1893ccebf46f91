"""Providers: how each carrier's account stands, in plain words, and the switch by hand."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from broadcaster.fanout import provider_board
from broadcaster.fanout.provider_board import Standing
from broadcaster.web import formats
from broadcaster.web.console import frame
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_USABLE = ("well", "standby", "forced", "half_open")


@routes.get("/console/providers")
@official("admin", "monitor")
async def board(request: web.Request) -> web.StreamResponse:
    """Show every provider by channel."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await provider_board.standings(conn, now)
        return await frame.screen(
            request,
            conn,
            "providers.html",
            "providers",
            channels=_by_channel(found),
            alone={one.provider_id for one in found if _is_alone(one, found)},
            may_switch=await provider_board.may_switch(conn, actor),
            state_words=state_words,
            why_words=why_words,
            event_words=event_words,
            rules_words=rules_words,
        )


@routes.post("/console/providers/{provider_id:[0-9]{1,4}}/switch")
@official("admin")
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch a provider by hand, with the reason."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    fields = await request.post()
    async with request.app[POOL].acquire() as conn:
        await provider_board.switch(
            conn, actor, now, int(request.match_info["provider_id"]),
            was=str(fields.get("was", "")), to=str(fields.get("to", "")),
            reason=str(fields.get("reason", "")),
        )  # fmt: skip
    raise web.HTTPSeeOther("/console/providers")


def _by_channel(found: list[Standing]) -> dict[str, list[Standing]]:
    channels: dict[str, list[Standing]] = {}
    for one in found:
        channels.setdefault(one.channel, []).append(one)
    return channels


def _is_alone(one: Standing, found: list[Standing]) -> bool:
    """Say whether nothing would leave on its channel without it."""
    return not any(
        other is not one and other.channel == one.channel and other.state in _USABLE
        for other in found
    )


def state_words(one: Standing) -> str:
    """Say in a sentence what a provider's state means for the traffic."""
    match one.state:
        case "off":
            return _("Switched off by hand: nothing is sent through it.")
        case "forced":
            return _("Kept on by hand, though its recent errors would take it out.")
        case "open":
            return _("Taken out: its traffic goes to the others of its channel.")
        case "half_open":
            return _("On trial: one batch at a time shows whether it is well again.")
        case "paused":
            return _(
                "Paused until %(time)s: the carrier refuses our account or what we send (%(code)s)."
            ) % {"time": _clock(one.paused_until), "code": one.paused_reason or "?"}
        case "silent":
            return _("The carrier asked us to wait until %(time)s.") % {
                "time": _clock(one.silent_until)
            }
        case "standby":
            return _("Stands by: takes over when no other of its channel can send.")
        case _:
            return _("In use.")


def why_words(detail: dict[str, Any]) -> str:
    """Say why a breaker moved."""
    match detail.get("code"):
        case "errors":
            return _("%(faults)s of %(tried)s messages failed, last with %(last)s") % {
                "faults": formats.number(detail["faults"]),
                "tried": formats.number(detail["tried"]),
                "last": detail.get("last") or "?",
            }
        case "slow":
            return _("answers took %(seconds)s s on average") % {
                "seconds": formats.number(detail["seconds"])
            }
        case "went_through":
            return _("%(good)s of %(tried)s messages went through") % {
                "good": formats.number(detail["tried"] - detail["faults"]),
                "tried": formats.number(detail["tried"]),
            }
        case "tests_passed" | "test_passed":
            return _("the link test passed")
        case "wait_over":
            return _("its wait was over")
        case _:
            return ""


def event_words(event: provider_board.Event) -> str:
    """Say what happened in one line."""
    match event.what, event.now:
        case "switch", to:
            return _("%(name)s switched it to %(switch)s: %(reason)s") % {
                "name": event.detail.get("by", ""),
                "switch": switch_word(to),
                "reason": event.detail.get("reason", ""),
            }
        case "test", "good":
            return _("The link test passes again")
        case "test", _other:
            return _("The link test failed: %(reason)s") % {
                "reason": event.detail.get("reason") or "?"
            }
        case _kind, "open":
            said = _("Taken out: %(why)s")
        case _kind, "half_open":
            said = _("On trial: %(why)s")
        case _:
            said = _("In use again: %(why)s")
    return said % {"why": why_words(event.detail)}


def switch_word(switch: str) -> str:
    """Name a position of the switch."""
    return {"on": _("always on"), "auto": _("automatic"), "off": _("off")}.get(switch, switch)


def rules_words(one: Standing) -> str:
    """Say the limits: 600,000 in 60 s, 10,000 in 1 s."""
    return ", ".join(
        _("%(most)s in %(seconds)s s")
        % {"most": formats.number(most), "seconds": formats.number(seconds)}
        for most, seconds in one.rules
    )


def _clock(at: Any) -> str:
    return formats.clock_s(at) if at else "?"
