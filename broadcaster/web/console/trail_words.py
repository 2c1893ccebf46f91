"""What stands in the trail, in plain words: what was done, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from broadcaster.people.trail import Act
from broadcaster.web import formats, labels
from broadcaster.web.console.account import ROLE_WORDS
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import mark

ACTION: Mapping[str, str] = {
    "official.signed_in": mark("signed in"),
    "official.created": mark("made an account"),
    "official.role_granted": mark("gave a role"),
    "official.role_revoked": mark("took a role away"),
    "official.password_changed": mark("set a password"),
    "official.second_factor_enrolled": mark("enrolled a phone"),
    "official.second_factor_reset": mark("took a second factor away"),
    "official.enrolment_code_given": mark("made a code to enrol with"),
    "official.recovery_codes_made": mark("made new recovery codes"),
    "official.retired": mark("took an account out of use"),
    "approval.substitute_named": mark("named a stand-in for approvals"),
    "approval.substitute_ended": mark("ended a stand-in for approvals"),
    "approval_policy.saved": mark("changed who approves"),
    "policy.saved": mark("changed the channel policy"),
    "provider_switched": mark("switched a provider by hand"),
    "direct.replayed": mark("sent direct messages again that had not arrived"),
    "exercise.opened": mark("opened a session of exercises"),
    "exercise.closed": mark("ended a session of exercises"),
    "exercise_recipient.added": mark("enrolled somebody for exercises"),
    "exercise_recipient.removed": mark("took somebody off a list of exercises"),
    "template.created": mark("copied a template"),
    "template.revised": mark("wrote a template"),
    "template.submitted": mark("sent a template for review"),
    "template.returned": mark("returned a template"),
    "template.in_force": mark("put a template into force"),
    "template.withdrawn": mark("withdrew a template"),
    "template.discarded": mark("gave up what was written of a template"),
    "scenario.created": mark("began a scenario"),
    "scenario.revised": mark("wrote a scenario"),
    "scenario.submitted": mark("sent a scenario for review"),
    "scenario.returned": mark("returned a scenario"),
    "scenario.in_force": mark("put a scenario into force"),
    "scenario.withdrawn": mark("withdrew a scenario"),
    "scenario.discarded": mark("gave up what was written of a scenario"),
    "person.received_shown": mark("looked up what somebody received"),
    "person.looked_up": mark("looked somebody up"),
    "person.places_answered": mark("Somebody said where they live now"),
    "person.left": mark("Somebody left; their data was forgotten"),
    "person.unverified": mark("A registration nobody proved was forgotten"),
    "people.imported": mark("imported people"),
    "units.imported": mark("imported units"),
    "units.seeded": mark("The units it comes with were laid out"),
    "audit.exported": mark("exported the trail"),
}
_ICON: Mapping[str, str] = {
    "official": "user-check",
    "approval": "user-check",
    "approval_policy": "user-check",
    "policy": "list",
    "provider_switched": "wifi",
    "direct": "rotate-ccw",
    "exercise": "flag",
    "exercise_recipient": "flag",
    "template": "file-text",
    "scenario": "bookmark-check",
    "person": "users",
    "people": "users",
    "units": "map",
    "incident": "siren",
    "audit": "file-text",
}
_NAME: Mapping[str, str] = {
    "reason": mark("Reason"),
    "role": mark("Role"),
    "roles": mark("Roles"),
    "unit_id": mark("Unit"),
    "group_id": mark("Group of units"),
    "version": mark("Version"),
    "was": mark("Before"),
    "to": mark("After"),
    "official": mark("Official"),
    "officials": mark("Officials"),
    "person_ids": mark("People"),
    "endpoint_id": mark("Endpoint"),
    "by": mark("Asked by"),
    "channel": mark("Channel"),
    "code": mark("Code"),
    "content_hash": mark("Hash of the content"),
    "rows": mark("Rows"),
    "name": mark("Name"),
    "recipients": mark("Recipients"),
    "until": mark("Until"),
    "begins_at": mark("From"),
    "ends_at": mark("Until"),
    "format": mark("Format"),
    "file": mark("File"),
    "step": mark("Step"),
}


def action_words(action: str) -> str:
    """Say what was done; an act nobody has named is shown by its name."""
    message = ACTION.get(action)
    return _(message) if message else labels.label(action, "action")


def sentence(by: str | None, action: str) -> str:
    """Say who did what; what happens by itself begins with a capital and names nobody."""
    words = action_words(action)
    if by:
        return f"{by} {words}"
    service = _("The service")
    return words if words[:1].isupper() else f"{service} {words}"


def icon_name(action: str) -> str:
    """Return the icon of an act: its own, or that of what it was done to."""
    own = labels.icon_of(action, "action")
    return own if own != "circle" else _ICON.get(action.split(".")[0], own)


def field_name(key: str) -> str:
    """Name a part of what an act says of itself."""
    message = _NAME.get(key)
    return _(message) if message else key


def said(
    act: Act, unit_of: Callable[[int], str], names: Mapping[int, str]
) -> list[tuple[str, str]]:
    """Return what an act says of itself, each part by its name; what says nothing is left out.

    `names` are those of officials by their ids.
    """
    return [
        (field_name(key), text)
        for key, value in act.detail.items()
        if (text := _value(key, value, unit_of, names))
    ]


def _value(key: str, value: Any, unit_of: Callable[[int], str], names: Mapping[int, str]) -> str:
    if value is None or value == "" or value == []:
        return ""
    match key, value:
        case "unit_id", int():
            return unit_of(value)
        case "role", str():
            return _(ROLE_WORDS.get(value, value))
        case "roles", list():
            return "; ".join(_role(one, unit_of) for one in value)
        case "official" | "assigned_to", int():
            return names.get(value, str(value))
        case "officials", list():
            return ", ".join(names.get(one, str(one)) for one in value)
        # Whom it was about is not for whoever reads the trail: how many is.
        case "person_ids", list():
            return formats.number(len(value))
        case "channel", str():
            return labels.label(value, "channel")
        case _, bool():
            return _("yes") if value else _("no")
        case _, str():
            return _moment(value) or value
        case _, int() | float():
            return formats.number(value) if key not in _PLAIN else str(value)
        case _, list():
            return ", ".join(str(one) for one in value)
        case _:
            return str(value)


_PLAIN = {"version", "endpoint_id", "group_id", "step"}
"""Numbers that count nothing."""


def _role(one: Any, unit_of: Callable[[int], str]) -> str:
    role, unit_id = one[0], one[1]
    place = unit_of(unit_id) if unit_id else _("a group of units")
    return f"{_(ROLE_WORDS.get(role, role))}: {place}"


def _moment(text: str) -> str:
    if len(text) < 19 or text[4:5] != "-" or text[10:11] not in ("T", " "):
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return formats.moment_long(at) if at.tzinfo else ""


def officials_in(acts: list[Act]) -> set[int]:
    """Return the ids of officials that acts speak of."""
    found: set[int] = set()
    for act in acts:
        for key in ("official", "assigned_to"):
            if isinstance(act.detail.get(key), int):
                found.add(act.detail[key])
        found |= {one for one in act.detail.get("officials") or () if isinstance(one, int)}
    return found
