"""Who approves which alerts and who is asked when: changed by an admin of the whole city."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from broadcaster.alerts import approval_policy, escalation
from broadcaster.alerts.approval_policy import Policy, Version
from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.db import Conn
from broadcaster.errors import Conflict, Refused
from broadcaster.people.officials import find_actor, require_city_admin
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import ngettext
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.labels import mark
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/approval-rules"
_MOST_STEPS = 6
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


@dataclass(frozen=True, slots=True)
class Form:
    """One class's rules as its form shows them: in force, or as somebody posted them."""

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
        steps = list(self.document["escalation"])
        return steps if len(steps) >= _MOST_STEPS else [*steps, {"after_minutes": "", "ask": []}]


@routes.get(PAGE)
@official("admin")
async def rules(request: web.Request) -> web.StreamResponse:
    """Show the rules of every class with their history, and who stands in where."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, posted: Form | None = None, refusal: Refused | None = None
) -> web.Response:
    await require_city_admin(conn, frame.actor_of(request))
    forms, history = [], {}
    for alert_class in LANES:
        versions = await approval_policy.history(conn, alert_class)
        history[alert_class] = versions
        in_force = Form(alert_class, versions[0].version, versions[0].policy.to_json())
        mine = posted is not None and posted.alert_class == alert_class
        forms.append(posted if mine and posted is not None else in_force)
    return await frame.screen(
        request, conn, "approval_rules.html", "approval_rules",
        status_of(refusal) if refusal else 200,
        forms=forms, history=history, version_words=version_words,
        reaches={key: _(text) for key, text in REACHES.items()},
        who={key: _(text) for key, text in WHO.items()},
        asked={key: _(text) for key, text in ASKED.items()},
        substitutes=await escalation.substitutes(conn), atlas=await request.app[GEOGRAPHY].atlas(),
        problem=refusal.message(i18n.language()) if refusal and posted is None else "",
        saved=request.query.get("saved", ""),
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


@routes.post(f"{PAGE}/{{alert_class}}")
@official("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Put a class's rules into force; what cannot be used is named at its field."""
    known: dict[str, AlertClass] = {one: one for one in LANES}
    alert_class = known.get(request.match_info["alert_class"])
    if alert_class is None:
        raise web.HTTPNotFound
    fields = await request.post()
    based_on = posted_number(str(fields.get("version", "")), "version")
    document = _document(fields)
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        try:
            policy = approval_policy.parse(alert_class, document)
            await approval_policy.save(conn, actor, now, alert_class, based_on, policy)
        except Refused as refusal:
            if refusal.code != "bad_approval_policy" and not isinstance(refusal, Conflict):
                raise
            form = _refused(alert_class, based_on, document, refusal)
            return await _shown(request, conn, form, refusal)
    raise web.HTTPSeeOther(f"{PAGE}?saved={alert_class}#{alert_class}")


def _refused(
    alert_class: AlertClass, version: int, document: dict[str, Any], refusal: Refused
) -> Form:
    found: Any = refusal.details.get("problems", [])
    said = f"message_{i18n.language()}"
    problems = {one["field"]: one[said] for one in reversed(found)}
    words = "" if found else refusal.message(i18n.language())
    return Form(alert_class, version, document, problems, words)


def _document(fields: MultiDictProxy[Any]) -> dict[str, Any]:
    """Read the form as a policy's document; numbers that are none stay as they were typed."""
    document: dict[str, Any] = {reach: str(fields.get(reach, "")) for reach in REACHES}
    percent = _number(fields, "city_share")
    document["city_share"] = percent / 100 if isinstance(percent, int) else percent
    document["second_factor"] = "second_factor" in fields
    document["escalation"] = [
        {"after_minutes": _number(fields, f"escalation.{number}.after_minutes"), "ask": asked}
        for number in range(_MOST_STEPS)
        if (asked := [str(one) for one in fields.getall(f"escalation.{number}.ask", [])])
    ]
    return document


def _number(fields: MultiDictProxy[Any], name: str) -> int | str:
    text = str(fields.get(name, "")).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else text


@routes.post(f"{PAGE}/substitutes/{{act:name|end}}")
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
    raise web.HTTPSeeOther(f"{PAGE}#substitutes")
