"""A new draft from an earlier alert: its words and area, without its times."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from broadcaster.alerts import draft, template_store, versions
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.db import Conn
from broadcaster.people.officials import Actor, authority
from broadcaster.web.console import compose_form, follow_up_form, joining
from broadcaster.web.geography import Atlas
from templates.event import Event

_TIME = re.compile(r"\d{1,2}\s*(?:[h:]|giờ)\s*\d{0,2}|\d{1,2}/\d{1,2}|\b20\d\d\b", re.IGNORECASE)


async def copy(
    conn: Conn,
    actor: Actor,
    now: datetime,
    source: Draft,
    atlas: Atlas,
    as_exercise: bool | None = None,
) -> Alert:
    """Begin a draft with an earlier alert's words and area; raises NotAllowed.

    Every time is left to be given anew; own words stay unless they name one. Units that are no
    more are left out. Unless `as_exercise` says otherwise an exercise stays one, and a real alert
    becomes what its unit's session makes of whatever is begun now.
    """
    alert = source.alert
    unit_id = await _issuing(conn, actor, alert)
    before = await template_store.of_content(conn, source.content, alert.unit_id)
    document = await joining.document(conn, alert, source.content, before, atlas)
    posted = compose_form.parse({**_without_times(document, before.event, atlas), "version": 0})
    chosen = await template_store.in_force(conn, unit_id, source.content.event)
    begun = compose_form.new_content(chosen, now)
    content = follow_up_form.with_follow_ups(
        compose_form.content_of(posted, begun, chosen, atlas), "alert", None, {}
    )
    if as_exercise is None:
        # What is copied while a session holds is an exercise, as whatever else is begun then.
        as_exercise = True if alert.exercise or actor.training else None
    made = await draft.create(conn, actor, now, content, unit_id, as_exercise=as_exercise)
    await versions.mark_copy(conn, actor, now, made.alert_id, alert.alert_id)
    return made


async def _issuing(conn: Conn, actor: Actor, alert: Alert) -> int:
    reach = await authority(conn, actor, "author")
    return alert.unit_id if alert.unit_id in reach or not reach else min(reach)


def _without_times(document: dict[str, Any], event: Event, atlas: Atlas) -> dict[str, Any]:
    times = {field.name for field in event.fields if field.type in ("time", "period")}
    return {
        **document,
        "values": {name: one for name, one in document["values"].items() if name not in times},
        "own": {
            lang: {name: text for name, text in texts.items() if not _TIME.search(text)}
            for lang, texts in document["own"].items()
        },
        "own_follow_ups": {},
        "area": _today(document["area"], atlas),
        "expires": "",
        "scheduled_for": "",
        "source": {"issuer": document["source"]["issuer"], "number": "", "time": ""},
    }


def _today(area: dict[str, Any], atlas: Atlas) -> dict[str, Any]:
    """Leave out units and groups that are no more; what was drawn stays."""
    units = {(key.code, str(key.vintage)) for key in atlas.map.outlines.units}
    groups = {group.code for group in atlas.groups}
    kept = {
        **area,
        "units": [
            one for one in area.get("units", []) if (one["code"], str(one["vintage"])) in units
        ],
        "groups": [one for one in area.get("groups", []) if one in groups],
    }
    if isinstance(area.get("exclusions"), dict):
        kept["exclusions"] = _today(area["exclusions"], atlas)
    return kept
