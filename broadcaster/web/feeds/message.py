"""From a published alert to its CAP message: the approved words and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from broadcaster.alerts import cap
from broadcaster.alerts.cap import Info, Message, Pair, Reference
from broadcaster.people.units import GroupRow, UnitRow
from broadcaster.settings import Settings
from broadcaster.web.areas import Drawn
from broadcaster.web.geography import Atlas
from broadcaster.web.published import Published
from targeting.area_cap import GEOCODE
from templates import catalogue
from templates.exercise import MARK, MARK_ENGLISH

LANGUAGES: Final = {"vi": "vi-VN", "en": "en"}
_NOTHING_TO_DO: Final = frozenset({"cancel", "correction"})
_PAST: Final = _NOTHING_TO_DO | {"all_clear"}
_MOST_NAMES: Final = 12
_AND_MORE: Final = {"vi": " và {} nơi khác", "en": " and {} more"}
_NOTES: Final = {
    "cancel": "Cancelled by its issuer.",
    "all_clear": "The danger is over.",
    "correction": "The earlier message was sent in error.",
}
_EXERCISE_NOTE: Final = (
    f"{MARK} Đây là diễn tập, không có nguy hiểm thật. {MARK_ENGLISH} Nothing of this is real."
)


def message(
    settings: Settings, alert: Published, earlier: Sequence[Published], area: Drawn, atlas: Atlas
) -> Message:
    """Return the CAP message; `earlier` are those of its family that came before it."""
    sender = settings.sender_mail
    return Message(
        identifier=alert.cap_identifier,
        sender=sender,
        sent=alert.sent,
        status=str(alert.document["status"]),
        msg_type=cap.MSG_TYPES[alert.kind],
        note=_note(alert),
        references=tuple(
            Reference(sender, one.cap_identifier, one.sent)
            for one in sorted(earlier, key=lambda one: one.sequence)
        ),
        infos=tuple(
            _info(settings, alert, area, atlas, lang)
            for lang in alert.content.languages
            if lang in alert.content.wording
        ),
    )


def _note(alert: Published) -> str:
    """Return CAP's note: of an exercise, that it is one and what is rehearsed."""
    said = _NOTES.get(alert.kind, "")
    if not alert.exercise:
        return said
    return f"{_EXERCISE_NOTE} {said}".rstrip()


def _info(settings: Settings, alert: Published, area: Drawn, atlas: Atlas, lang: str) -> Info:
    content, known = alert.content, catalogue.load()
    page = content.wording[lang].page  # type: ignore[index]
    event = known.events.get(content.event)
    responses = event.response_type if event else ()
    if alert.kind in _NOTHING_TO_DO:
        responses = ("None",)
    return Info(
        language=LANGUAGES[lang],
        categories=event.category if event else ("Other",),
        event=event.name[lang] if event else content.event,
        responses=("AllClear",) if alert.kind == "all_clear" else responses,
        urgency="Past" if alert.kind in _PAST else content.urgency,
        severity=content.severity,
        certainty=content.certainty,
        event_codes=_event_codes(content.event, event),
        effective=content.scheduled_for,
        expires=alert.expires,
        sender_name=str(alert.document["unit_name" if lang == "vi" else "unit_name_en"]),
        headline=page.headline,
        description=page.description,
        instruction="\n".join(page.instructions),
        web=f"{settings.public_url}/alerts/{alert.code}",
        contact=known.contacts.get("reply", ""),
        parameters=tuple(_parameters(alert)),
        areas=(
            cap.Area(
                describe(atlas, area, lang),
                area.cap.polygons,
                area.cap.circles,
                tuple(Pair(f"{GEOCODE}-{one.vintage}", one.code) for one in area.geocodes),
            ),
        ),
    )


def _event_codes(code: str, event: catalogue.Event | None) -> tuple[Pair, ...]:
    ours = Pair("HANOI-ALERTS-EVENT", code)
    if event is None:
        return (ours,)
    return Pair(event.cap_event_code.value_name, event.cap_event_code.value), ours


def _parameters(alert: Published) -> list[Pair]:
    content = alert.content
    source = ", ".join(
        part
        for part in (
            content.source.issuer,
            content.source.number,
            cap.moment(content.source.time) if content.source.time else "",
        )
        if part
    )
    named = [
        ("alertClass", content.alert_class),
        ("disasterRiskLevel", str(content.risk_level or "")),
        ("riverAlarm", "I" * (content.river_alarm or 0)),
        ("sourceBulletin", source),
    ]
    return [Pair(name, value) for name, value in named if value]


def describe(atlas: Atlas, area: Drawn, lang: str) -> str:
    """Name an area in words: groups, then units, the most populous first."""
    groups = [group for group in atlas.groups if group.code in area.group_codes]
    inside = {unit_id for group in groups for unit_id in group.shares}
    city = [row for row in atlas.units.values() if row.kind == "city"]
    if city and len(area.covered.whole) == len(atlas.map.outlines.lowest):
        groups, rows = [], city
    else:
        taken = [atlas.units[one] for one in area.covered.unit_ids if one not in inside]
        rows = sorted(taken, key=lambda row: -row.population)
    named: list[UnitRow | GroupRow] = [*groups, *rows]
    names = [one.name if lang == "vi" else one.name_en for one in named]
    if not names:
        names = [one.code for one in area.geocodes] or ["Hà Nội"]
    more = len(names) - _MOST_NAMES
    tail = _AND_MORE[lang].format(more) if more > 0 else ""
    return ", ".join(names[:_MOST_NAMES]) + tail
