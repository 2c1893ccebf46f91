"""What follow-ups say before an official writes otherwise: from the catalogue, about the alert."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from broadcaster.alerts.content import Content, Prepared, Source, Wording, Words
from broadcaster.alerts.exercise import bare
from templates import catalogue, follow_up
from templates import render as templates
from templates.follow_up import Said, Variant

_STEP = timedelta(minutes=5)


def said(content: Content, variant: Variant) -> Words:
    """Return one variant's words about a content, in every language it is sent in."""
    return {
        lang: Wording.model_validate(
            follow_up.render(variant, lang, _said(content, wording)).as_dict()
        )
        for lang, wording in content.wording.items()
        if lang in content.languages
    }


def _said(content: Content, wording: Wording) -> Said:
    # An exercise's follow-up is marked once, in front, and not again where it quotes.
    known = bare(wording)
    return Said(content.alert_class, known.push.title, known.push.body, content.expires)


def with_prepared(content: Content, kind: str) -> Content:
    """Return the content with the words a cancel and a correction of it would have.

    Of an all-clear both say that the danger may not be over.
    """
    takes_back: Variant = "withdrawn" if kind == "all_clear" else "cancel"
    corrects: Variant = "withdrawn" if kind == "all_clear" else "correction"
    prepared = Prepared(cancel=said(content, takes_back), correction=said(content, corrects))
    return content.model_copy(update={"prepared": prepared})


def with_difference(content: Content, before: Content) -> Content:
    """Return an update's content with the short words, and those for who is covered no longer.

    The latter are about the alert as people know it: `before`.
    """
    known = content.model_copy(
        update={"alert_class": before.alert_class, "wording": content.wording | before.wording}
    )
    return content.model_copy(
        update={"update_wording": said(content, "update"), "left_wording": said(known, "left")}
    )


def update_of(before: Content) -> Content:
    """Return what an update begins with: the approved words, sent at once."""
    content = before.model_copy(update={"scheduled_for": None})
    return with_prepared(with_difference(content, before), "update")


def all_clear_of(before: Content, now: datetime) -> Content:
    """Return what an all-clear begins with: its own event, for the same places."""
    event = catalogue.load().events["all_clear"]
    hours = (now - datetime.min.replace(tzinfo=now.tzinfo)) % _STEP
    since = now - hours
    expires = since + event.default_expiry
    values: dict[str, Any] = {
        "since": since.isoformat(),
        "until": expires.isoformat(),
        **{name: before.values[name] for name in ("places",) if name in before.values},
    }
    hazard = event.field("hazard")
    if hazard is not None and before.event in {option.code for option in hazard.options}:
        values["hazard"] = before.event
    wording = {
        lang: Wording.model_validate(templates.render(event.code, lang, values).as_dict())
        for lang in before.languages
    }
    content = before.model_copy(
        update={
            "event": event.code, "alert_class": event.default_class, "values": values,
            "wording": wording, "expires": expires, "scheduled_for": None, "risk_level": None,
            "river_alarm": None, "source": Source(), "urgency": event.urgency,
            "severity": event.severity, "certainty": event.certainty,
            "update_wording": {}, "left_wording": {},
        }
    )  # fmt: skip
    return with_prepared(content, "all_clear")
