"""A page with the policy of every class: each a form of its own, put into force by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from broadcaster.alerts.class_policy import Policies, Version
from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.db import Conn
from broadcaster.errors import Conflict, Refused
from broadcaster.people.officials import require_city_admin
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import CLOCK, POOL
from broadcaster.web.middleware import wrong_fields

Fields = MultiDictProxy[Any]


@dataclass(frozen=True, slots=True)
class Form:
    """One class's policy as its form shows it: in force, or as somebody posted it."""

    alert_class: AlertClass
    version: int
    document: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    """Its steps, and one to fill in where another is allowed."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by field."""
    refusal: str = ""

    def wrong(self, *names: str) -> str:
        """Return what is wrong with the first of these fields that has something."""
        return next((self.problems[name] for name in names if name in self.problems), "")


@dataclass(frozen=True, slots=True)
class Page:
    """The page of one kind of policy."""

    address: str
    policies: Policies[Any]
    read: Callable[[Fields], dict[str, Any]]
    """Reads what was posted as a policy's document."""
    steps: str
    """What the document calls its steps."""
    most_steps: int
    empty_step: Mapping[str, Any]

    def form(
        self,
        alert_class: AlertClass,
        version: int,
        document: Mapping[str, Any],
        refusal: Refused | None = None,
    ) -> Form:
        """Make a class's form of a document; `refusal` says what is wrong with it."""
        rows = list(document[self.steps])
        if len(rows) < self.most_steps:
            rows.append(self.empty_step)
        problems = wrong_fields(refusal) if refusal else {}
        said = refusal.message(i18n.language()) if refusal and not problems else ""
        return Form(alert_class, version, document, rows, problems, said)


def class_of(request: web.Request) -> AlertClass:
    """Return the class in the path; raises HTTPNotFound for anything else."""
    known: dict[str, AlertClass] = {one: one for one in LANES}
    text = request.match_info["alert_class"]
    if text not in known:
        raise web.HTTPNotFound
    return known[text]


async def shown(
    request: web.Request, conn: Conn, page: Page, posted: Form | None
) -> dict[str, Any]:
    """Return what the page shows of every class: its form and its history.

    Raises NotAllowed: the page is for admins of the whole city.
    """
    await require_city_admin(conn, frame.actor_of(request))
    forms: list[Form] = []
    history: dict[AlertClass, list[Version[Any]]] = {}
    for alert_class in LANES:
        versions = history[alert_class] = await page.policies.history(conn, alert_class)
        if posted is not None and posted.alert_class == alert_class:
            forms.append(posted)
        else:
            newest = versions[0]
            forms.append(page.form(alert_class, newest.version, newest.policy.to_json()))
    return {"forms": forms, "history": history, "saved": request.query.get("saved", "")}


async def save(
    request: web.Request,
    page: Page,
    again: Callable[[web.Request, Conn, Form, Refused], Awaitable[web.Response]],
) -> web.Response:
    """Put a class's policy into force; what cannot be used is shown `again`, named at its field."""
    alert_class = class_of(request)
    fields = await request.post()
    based_on = posted_number(str(fields.get("version", "")), "version")
    document = page.read(fields)
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        try:
            policy = page.policies.parse(alert_class, document)
            await page.policies.save(conn, actor, now, alert_class, based_on, policy)
        except Refused as refusal:
            if refusal.code != page.policies.code and not isinstance(refusal, Conflict):
                raise
            form = page.form(alert_class, based_on, document, refusal)
            return await again(request, conn, form, refusal)
    raise web.HTTPSeeOther(f"{page.address}?saved={alert_class}#{alert_class}")
