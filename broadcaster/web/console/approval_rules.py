"""Who approves which alerts and who is asked when: changed by an admin of the whole city."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from broadcaster.alerts import approval_policy, escalation
from broadcaster.alerts.approval_policy import MOST_STEPS, Policy, Version
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.officials import find_actor
from broadcaster.web import i18n
from broadcaster.web.console import class_forms, frame
from broadcaster.web.console.class_forms import Fields, Form
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import ngettext
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.labels import mark
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
REACHES = {
    "own": mark("One commune or less"),
    "several": mark("Several communes"),
    "city": mark("The city or most of it"),
}
WHO = {
    "unit": mark("an approver of the issuing unit"),
    "area": mark("an approver whose role reaches all of it"),
    "city": mark("an approver of the whole city"),
}
ASKED = {
    "superior": mark("the next approvers above"),
    "substitutes": mark("those who stand in"),
    "all": mark("everybody once more"),
}


def _document(fields: Fields) -> dict[str, Any]:
    """Read the form as a policy's document; numbers that are none stay as they were typed."""
    document: dict[str, Any] = {reach: str(fields.get(reach, "")) for reach in REACHES}
    percent = _number(fields, "city_share")
    document["city_share"] = percent / 100 if isinstance(percent, int) else percent
    document["second_factor"] = "second_factor" in fields
    document["escalation"] = [
        {"after_minutes": _number(fields, f"escalation.{number}.after_minutes"), "ask": asked}
        for number in range(MOST_STEPS)
        if (asked := [str(one) for one in fields.getall(f"escalation.{number}.ask", [])])
    ]
    return document


def _number(fields: Fields, name: str) -> int | str:
    text = str(fields.get(name, "")).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else text


PAGE = class_forms.Page(
    "/console/approval-rules", approval_policy.POLICIES, _document, "escalation", MOST_STEPS,
    {"after_minutes": "", "ask": []},
)  # fmt: skip


@routes.get(PAGE.address)
@official("admin")
async def rules(request: web.Request) -> web.StreamResponse:
    """Show the rules of every class with their history, and who stands in where."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, posted: Form | None = None, refusal: Refused | None = None
) -> web.Response:
    context = await class_forms.shown(request, conn, PAGE, posted)
    return await frame.screen(
        request, conn, "approval_rules.html", "approval_rules",
        status_of(refusal) if refusal else 200,
        version_words=version_words,
        reaches={key: _(text) for key, text in REACHES.items()},
        who={key: _(text) for key, text in WHO.items()},
        asked={key: _(text) for key, text in ASKED.items()},
        substitutes=await escalation.substitutes(conn), atlas=await request.app[GEOGRAPHY].atlas(),
        problem=refusal.message(i18n.language()) if refusal and posted is None else "",
        **context,
    )  # fmt: skip


def version_words(version: Version) -> list[str]:
    """Say what a version lays down, line by line."""
    policy: Policy = version.policy
    lines = [f"{_(REACHES[reach])}: {_(WHO[getattr(policy, reach)])}" for reach in REACHES]
    if policy.second_factor:
        lines.append(_("confirmed with a second factor"))
    for step in policy.escalation:
        after = ngettext("after %(num)d minute", "after %(num)d minutes", step.after_minutes)
        who = ", ".join(_(ASKED[one]) for one in step.ask)
        lines.append(f"{after % {'num': step.after_minutes}}: {who}")
    return lines


@routes.post(f"{PAGE.address}/{{alert_class}}")
@official("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Put a class's rules into force; what cannot be used is named at its field."""
    return await class_forms.save(request, PAGE, _shown)


@routes.post(f"{PAGE.address}/substitutes/{{act:name|end}}")
@official("admin")
async def substitutes(request: web.Request) -> web.StreamResponse:
    """Name who stands in for a unit's approvers, or end it."""
    fields, actor, now = await request.post(), frame.actor_of(request), request.app[CLOCK]()
    unit_id = posted_number(str(fields.get("unit", "")), "unit")
    change = {"name": escalation.name_substitute, "end": escalation.end_substitute}
    async with request.app[POOL].acquire() as conn:
        try:
            one = await find_actor(conn, str(fields.get("login", "")))
            await change[request.match_info["act"]](conn, actor, now, unit_id, one)
        except Refused as refusal:
            return await _shown(request, conn, refusal=refusal)
    raise web.HTTPSeeOther(f"{PAGE.address}#substitutes")
