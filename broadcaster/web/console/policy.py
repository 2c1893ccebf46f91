"""The channel policy: what each class of alerts goes by, changed by an admin of the whole city."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout import channel_policy
from broadcaster.fanout.channel_policy import MOST_STEPS, Policy, Version
from broadcaster.web import formats, labels
from broadcaster.web.console import class_forms, frame
from broadcaster.web.console.class_forms import Fields, Form
from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import ngettext
from broadcaster.web.keys import POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_NUMBERS = ("sms_most_parts", "sms_part_cost", "cost_ceiling")


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


PAGE = class_forms.Page(
    "/console/policy", channel_policy.POLICIES, _document, "steps", MOST_STEPS,
    {"channels": [], "to": "all", "after_minutes": 0},
)  # fmt: skip


@routes.get("/console/policy")
@official("admin")
async def policies(request: web.Request) -> web.StreamResponse:
    """Show the policy of every class with its history."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, posted: Form | None = None, refusal: Refused | None = None
) -> web.Response:
    context = await class_forms.shown(request, conn, PAGE, posted)
    return await frame.screen(
        request, conn, "policy.html", "policy", status_of(refusal) if refusal else 200,
        step_words=step_words, version_words=version_words,
        channels=tuple(labels.CHANNEL)[:3], **context,
    )  # fmt: skip


@routes.get("/console/policy/{alert_class}")
@official("admin")
async def one(request: web.Request) -> web.StreamResponse:
    """Go to the class on the page: the address that stays after a refused form is asked for too."""
    raise web.HTTPSeeOther(f"{PAGE.address}#{class_forms.class_of(request)}")


@routes.post("/console/policy/{alert_class}")
@official("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Put a class's policy into force; what cannot be used is named at its field."""
    return await class_forms.save(request, PAGE, _shown)


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
