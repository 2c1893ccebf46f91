"""The channel policy: what each class of alerts goes by, changed by an admin of the whole city."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.db import Conn
from broadcaster.errors import Conflict, Refused
from broadcaster.fanout import channel_policy
from broadcaster.fanout.channel_policy import MOST_STEPS, Policy, Version
from broadcaster.people.officials import require_city_admin
from broadcaster.web import formats, i18n, labels
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import ngettext
from broadcaster.web.keys import CLOCK, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_NUMBERS = ("sms_most_parts", "sms_part_cost", "cost_ceiling")
Fields = MultiDictProxy[Any]


@dataclass(frozen=True, slots=True)
class Form:
    """One class's policy as its form shows it: in force, or as somebody posted it."""

    alert_class: AlertClass
    version: int
    document: Mapping[str, Any]
    problems: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by field."""
    refusal: str = ""

    def wrong(self, *names: str) -> str:
        """Return what is wrong with the first of these fields that has something."""
        return next((self.problems[name] for name in names if name in self.problems), "")

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The steps, and one to fill in where another is allowed."""
        steps = list(self.document["steps"])
        empty = {"channels": [], "to": "all", "after_minutes": 0}
        return steps if len(steps) >= MOST_STEPS else [*steps, empty]


@routes.get("/console/policy")
@official("admin")
async def policies(request: web.Request) -> web.StreamResponse:
    """Show the policy of every class with its history."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, posted: Form | None = None, status: int = 200
) -> web.Response:
    await require_city_admin(conn, frame.actor_of(request))
    forms, history = [], {}
    for alert_class, version in (await channel_policy.all_in_force(conn)).items():
        own = posted is not None and posted.alert_class == alert_class
        in_force = Form(alert_class, version.version, version.policy.to_json())
        forms.append(posted if own and posted is not None else in_force)
        history[alert_class] = await channel_policy.history(conn, alert_class)
    return await frame.screen(
        request, conn, "policy.html", "policy", status,
        forms=forms, history=history, step_words=step_words, version_words=version_words,
        channels=tuple(labels.CHANNEL)[:3], saved=request.query.get("saved", ""),
    )  # fmt: skip


@routes.get("/console/policy/{alert_class}")
@official("admin")
async def one(request: web.Request) -> web.StreamResponse:
    """Go to the class on the page: the address that stays after a refused form is asked for too."""
    alert_class = _class_of(request.match_info["alert_class"])
    raise web.HTTPSeeOther(f"/console/policy#{alert_class}")


@routes.post("/console/policy/{alert_class}")
@official("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Put a class's policy into force; what cannot be used is named at its field."""
    alert_class = _class_of(request.match_info["alert_class"])
    fields = await request.post()
    based_on = posted_number(str(fields.get("version", "")), "version")
    document = _document(fields)
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        try:
            policy = channel_policy.parse(alert_class, document)
            await channel_policy.save(conn, actor, now, alert_class, based_on, policy)
        except Refused as refusal:
            if refusal.code != "bad_policy" and not isinstance(refusal, Conflict):
                raise
            form = _refused(alert_class, based_on, document, refusal)
            return await _shown(request, conn, form, status_of(refusal))
    raise web.HTTPSeeOther(f"/console/policy?saved={alert_class}#{alert_class}")


def _class_of(text: str) -> AlertClass:
    known: dict[str, AlertClass] = {one: one for one in LANES}
    if text not in known:
        raise web.HTTPNotFound
    return known[text]


def _refused(
    alert_class: AlertClass, version: int, document: dict[str, Any], refusal: Refused
) -> Form:
    said = f"message_{i18n.language()}"
    found: Any = refusal.details.get("problems", [])
    return Form(
        alert_class, version, document,
        {one["field"]: one[said] for one in reversed(found)},
        refusal.message(i18n.language()) if not found else "",
    )  # fmt: skip


def _document(fields: Fields) -> dict[str, Any]:
    """Read the form as a policy's document; numbers that are none stay as they were typed."""
    document: dict[str, Any] = {"steps": [], "over_ceiling": str(fields.get("over_ceiling", ""))}
    for number in range(MOST_STEPS):
        channels = [str(one) for one in fields.getall(f"steps.{number}.channels", [])]
        if channels:
            document["steps"].append(
                {
                    "channels": channels,
                    "to": str(fields.get(f"steps.{number}.to", "")),
                    "after_minutes": _number(fields, f"steps.{number}.after_minutes") or 0,
                }
            )
    quiet = {name: str(fields.get(f"quiet_hours.{name}", "")).strip() for name in ("from", "to")}
    document["quiet_hours"] = quiet if any(quiet.values()) else None
    document |= {name: _number(fields, name) for name in _NUMBERS}
    return document


def _number(fields: Fields, name: str) -> int | str | None:
    """Read a number with or without points between its thousands; None where nothing stands."""
    text = str(fields.get(name, "")).strip()
    digits = text.replace(".", "").replace(",", "").replace(" ", "")
    if not text:
        return None
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 16 else text


def step_words(step: Mapping[str, Any]) -> str:
    """Say one step: SMS, after 10 minutes, to those who have not acknowledged the push."""
    channels = ", ".join(_(labels.CHANNEL[one]) for one in step["channels"])
    minutes = step["after_minutes"]
    when = (
        ngettext("after %(num)d minute", "after %(num)d minutes", minutes) % {"num": minutes}
        if minutes
        else _("at once")
    )
    to = {
        "all": _("to everybody"),
        "no_push": _("to those without push"),
        "not_acknowledged": _("to those who have not acknowledged the push"),
    }[step["to"]]
    return f"{channels}: {when}, {to}"


def version_words(version: Version) -> list[str]:
    """Say what a version of a policy lays down, line by line."""
    policy: Policy = version.policy
    document = policy.to_json()
    lines = [step_words(step) for step in document["steps"]]
    if quiet := document["quiet_hours"]:
        lines.append(_("quiet from %(start)s to %(end)s")
                     % {"start": quiet["from"], "end": quiet["to"]})  # fmt: skip
    lines.append(
        ngettext("SMS of %(num)d part at most", "SMS of %(num)d parts at most",
                 policy.sms_most_parts)
        % {"num": policy.sms_most_parts}
    )  # fmt: skip
    if policy.cost_ceiling is not None:
        said = (_("blocked above %(ceiling)s đ") if policy.over_ceiling == "blocking"
                else _("a warning above %(ceiling)s đ"))  # fmt: skip
        lines.append(said % {"ceiling": formats.number(policy.cost_ceiling)})
    return lines
