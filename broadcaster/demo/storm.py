"""The demo's one alert: a storm warning to the whole city, written, checked and approved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from broadcaster.alerts import approval, checks, draft, wordings
from broadcaster.alerts.content import Content, parse
from broadcaster.db import Conn
from broadcaster.people.officials import find_actor
from broadcaster.people.selection import Selector
from templates.catalogue import LANGS
from templates.render import render

_EVERYWHERE = {"vi": ["toàn thành phố"], "en": ["the whole city"]}


def content(now: datetime, area: dict[str, Any]) -> Content:
    """Write a storm warning for an area, in both languages, from the catalogue's own examples."""
    event = checks.known_event("storm")
    if event is None:
        raise LookupError("the catalogue has no event “storm”")
    expires = now + timedelta(hours=12)
    values: dict[str, Any] = dict(event.examples()) | {
        "start": (now + timedelta(hours=3)).isoformat(),
        **{field.name: expires.isoformat() for field in event.fields if field.fill == "expires"},
        **{field.name: _EVERYWHERE for field in event.fields if field.fill == "area"},
    }
    made = parse(
        {
            "event": "storm",
            "class": "warning",
            "values": values,
            "area": area,
            "wording": {lang: render("storm", lang, values).as_dict() for lang in LANGS},
            "expires": expires.isoformat(),
            "risk_level": 3,
            "source": {
                "issuer": "Trung tâm Dự báo KTTV quốc gia",
                "number": "15/BTB",
                "time": now.isoformat(),
            },
            "urgency": event.urgency,
            "severity": event.severity,
            "certainty": event.certainty,
        }
    )
    return wordings.with_prepared(made, "alert")


async def write(conn: Conn, now: datetime, selector: Selector) -> draft.Alert:
    """Write the warning as the city's author, check it and send it for approval."""
    author = await find_actor(conn, "ha")
    city = await conn.fetchrow(
        "SELECT unit_id, code, vintage FROM unit WHERE kind = 'city' AND valid_to IS NULL"
    )
    if city is None:
        raise LookupError("no city is seeded")
    area = {"units": [{"code": city["code"], "vintage": city["vintage"].isoformat()}]}
    alert = await draft.create(conn, author, now, content(now, area), city["unit_id"])
    await checks.run(conn, author, now, alert.alert_id, selector)
    return await approval.submit(conn, author, now, alert.alert_id, alert.version)


async def approve(conn: Conn, now: datetime, alert: draft.Alert) -> draft.Alert:
    """Approve it as the city's approver."""
    approver = await find_actor(conn, "tuan")
    return await approval.approve(conn, approver, now, alert.alert_id, alert.version)
