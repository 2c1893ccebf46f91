"""What an official can do about a check: a value put into a field, a way to it, another alert.

The server says which; the page does it when the button is pressed, and saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts import class_checks, stated_times
from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from broadcaster.web import formats
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import label, mark
from templates import rivers
from templates.event import Event
from templates.sms_text import measure, strip_diacritics

GROUPS = {
    "values": mark("Fields filled in"),
    "wording": mark("Wording and its length"),
    "area": mark("Area and jurisdiction"),
    "look_alike": mark("No look-alike of a running alert"),
    "people": mark("Somebody to reach"),
    "time": mark("Beginning, end and night hours"),
    "channels": mark("Channels and providers"),
    "cost": mark("Cost ceiling"),
    "languages": mark("Languages"),
    "source": mark("Source bulletin"),
    "approval": mark("Somebody who may approve"),
    "template": mark("Template still in force"),
}
"""What is checked, by the name it has when it is passed."""
_GROUP_OF = {
    "look_alike": "look_alike",
    "over_cost_ceiling": "cost",
    "unread_time": "time",
    "language_missing": "languages",
    "no_one_inside": "people",
    "no_one_takes_part": "people",
    "no_source": "source",
    "deadline_past": "time",
    "deadline_after_end": "time",
    "out_of_order": "time",
    "over_already": "time",
}
_OF_FIELD = {
    "values": "values", "area": "area", "expires": "time", "scheduled_for": "time",
    "channels": "channels", "source": "source", "template": "template",
    "approval": "approval",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remedy:
    """A button or a link beside a check."""

    words: str
    path: str = ""
    """The field, as the page names it; the button puts `value` in, or the link goes there."""
    value: str | None = None
    href: str = ""
    post: str = ""
    """Where the button sends the form, which is saved first."""


def group_of(problem: Problem) -> str:
    """Return which of GROUPS a problem belongs to."""
    head = problem.field.partition(".")[0]
    return _GROUP_OF.get(problem.code) or _OF_FIELD.get(head, "wording")


def passed(problems: list[Problem], incomplete: bool) -> list[str]:
    """Return the groups of checks that found nothing; of an area that is none, none about it."""
    found = {group_of(problem) for problem in problems} | ({"values"} if incomplete else set())
    if "area" in found and any(one.blocking and one.field == "area" for one in problems):
        found |= {"look_alike", "people", "cost"}
    return [_(name) for group, name in GROUPS.items() if group not in found]


def remedy(problem: Problem, content: Content, event: Event, now: datetime) -> Remedy | None:
    """Return what can be done about a problem, where one button or way can."""
    if problem.alert:
        return Remedy(_("Update that alert"), href=f"/console/alerts/{problem.alert}")
    done = _by_value(problem, content, event, now)
    if done is not None:
        return done
    path = path_of(problem.field)
    return Remedy(_("Go to the field"), path) if path else None


def _by_value(problem: Problem, content: Content, event: Event, now: datetime) -> Remedy | None:
    begins = max(content.scheduled_for or now, now)
    match problem.code:
        case "wording.sms_parts":
            return _without_marks(content, problem.field.split(".")[1])
        case "over_cost_ceiling":
            plainer = (_without_marks(content, lang) for lang in content.languages)
            leave_out = Remedy(_("Leave SMS out"), "channels/sms", "false")
            return next((one for one in plainer if one), leave_out)
        case "no_channel":
            return Remedy(_("Choose push"), "channels/push", "true")
        case "lasts_too_long":
            return _ends(begins + event.maximum_expiry)
        case "no_end" | "ends_before_it_begins":
            return _ends(begins + event.default_expiry)
        case "no_source":
            return _source(content, event)
        case "class_too_low" | "class_unusual":
            asked = class_checks.wanted(content, event)
            said = _("Make it class %(name)s") % {"name": label(asked or "", "class")}
            return Remedy(said, "class", asked) if asked else None
        case "out_of_order":
            return _earlier(problem, content, event, now)
        case "template_newer":
            return Remedy(_("Take the new version"), post="template")
        case "field.alarm":
            alarm = rivers.fitting(event, content.values)
            said = _("Choose alarm %(level)s") % {"level": alarm}
            return Remedy(said, path_of(problem.field), alarm) if alarm else None
    return None


def _source(content: Content, event: Event) -> Remedy | None:
    """Offer the source that the words name already: it would be typed twice."""
    field, said = event.field("source"), content.values.get("source")
    if field is None or not isinstance(said, dict) or not said.get("vi"):
        return None
    words = _("Take “%(text)s”") % {"text": said["vi"]}
    return Remedy(words, "source/issuer", said["vi"])


def _earlier(problem: Problem, content: Content, event: Event, now: datetime) -> Remedy | None:
    """Offer the latest time that still comes before what it has to come before."""
    at = stated_times.latest(content, now, event, problem.field.partition(".")[2])
    if at is None:
        return None
    said = _("Choose %(time)s") % {"time": formats.moment(at)}
    return Remedy(said, path_of(problem.field), formats.field_value(at))


def _without_marks(content: Content, lang: str) -> Remedy | None:
    wording = content.wording.get(lang)  # type: ignore[call-overload]
    if wording is None or not wording.sms.text:
        return None
    plain = strip_diacritics(wording.sms.text)
    if measure(plain).parts >= measure(wording.sms.text).parts:
        return None
    return Remedy(_("Take the marks out of the SMS"), f"own/{lang}/sms.text", plain)


def _ends(moment: datetime) -> Remedy:
    # Down to five minutes, as the form's own times are: never past what is allowed.
    local = moment.astimezone(formats.HANOI).replace(second=0, microsecond=0)
    at = local - timedelta(minutes=local.minute % 5)
    return Remedy(
        _("Let it end at %(time)s") % {"time": formats.moment(at)},
        "expires",
        formats.field_value(at),
    )


def path_of(field: str) -> str:
    """Return the page's name of a checked field; empty where the page has none."""
    head, *rest = field.split(".")
    match head, rest:
        case "wording", [lang, channel, part, *_rest]:
            return f"own/{lang}/{channel}.{part}"
        case "wording", [_lang]:
            return "languages"
        case (("update_wording" | "left_wording"), [lang, channel, part, *_rest]):
            return f"own_follow_ups/{head}/{lang}/{channel}.{part}"
        case "prepared", [name, lang, channel, part, *_rest]:
            return f"own_follow_ups/prepared.{name}/{lang}/{channel}.{part}"
        case "values", [name, *_rest]:
            return f"values/{name}"
        case "source", ["time"]:
            return "source/time"
        case "source", _:
            return "source/issuer"
    return head if head in ("area", "expires", "scheduled_for", "channels", "class") else ""
