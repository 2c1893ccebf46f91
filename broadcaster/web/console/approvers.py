"""Who may approve an alert, and why somebody may or may not: in words, for every screen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from broadcaster.alerts import authority
from broadcaster.alerts.approval_policy import Who
from broadcaster.alerts.authority import Answer, Bar, Candidate, Footprint, Need, Reach
from broadcaster.alerts.content import AlertClass
from broadcaster.alerts.problem import Problem
from broadcaster.db import Conn
from broadcaster.web import i18n
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import mark

_REACH: Mapping[Reach, str] = {
    Reach.OWN: mark("It covers one commune or less."),
    Reach.SEVERAL: mark("It covers several communes."),
    Reach.CITY: mark("It covers the city or most of it."),
}
_WHO: Mapping[Who, str] = {
    Who.UNIT: mark("An approver of the issuing unit decides."),
    Who.AREA: mark("An approver whose role reaches every place it covers decides."),
    Who.CITY: mark("An approver of the whole city decides."),
}
_WHY_NOT: Mapping[Bar, str] = {
    Bar.WROTE: mark("You wrote this alert, so somebody else has to approve it."),
    Bar.NOT_HERE: mark("Your roles do not reach the unit that issues this alert."),
    Bar.TOO_NARROW: mark("Your role does not reach all that this alert covers."),
    Bar.TRAINING: mark("A training account approves what training accounts write."),
    Bar.NOT_ENROLLED: mark("You may approve it as soon as you have a second factor."),
}
MOST = 6


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody who may approve."""

    name: str
    title: str
    note: str
    """What has to happen before they can; empty for whoever can now."""


@dataclass(frozen=True, slots=True)
class Said:
    """The answer, ready to be read."""

    need: Need
    reach: str
    who: str
    people: list[Named]
    more: int
    """How many more may approve than are named."""
    why_not: str
    """Of the one who reads it; empty when they may."""
    yours: bool
    """Whether the one who reads it is among those who may."""
    nobody: str
    """Why nobody may approve it, and what to do; empty where somebody may."""
    others: int = 0
    """How many stand in for the unit beside those who may."""

    @property
    def only_you(self) -> bool:
        """Whether nobody is left when the reader no longer may."""
        return self.yours and len(self.people) + self.more + self.others == 1


def why_not(found: Bar | None) -> str:
    """Say why the reader may not approve; empty when they may."""
    return _(_WHY_NOT[found]) if found is not None else ""


def said(
    answer: Answer, reader: int | None = None, nobody: Problem | None = None, others: int = 0
) -> Said:
    """Put who may approve into words; `reader` is the official who reads it.

    `nobody` is what `approver_checks` found, `others` how many stand in for the unit.
    """
    able = answer.approvers
    return Said(
        answer.need,
        _(_REACH[answer.need.reach]),
        _(_WHO[answer.need.who]),
        [_named(one, answer.bar_of(one.official_id)) for one in able[:MOST]],
        max(0, len(able) - MOST),
        why_not(answer.bar_of(reader)) if reader is not None else "",
        any(one.official_id == reader for one in able),
        nobody.message(i18n.language()) if nobody else "",
        others,
    )


def _named(one: Candidate, found: Bar | None) -> Named:
    if found is Bar.NOT_ENROLLED:
        return Named(one.name, one.title, _("has no second factor yet"))
    return Named(one.name, one.title, _("stands in") if one.asked else "")


async def of_draft(
    conn: Conn,
    alert_class: AlertClass,
    unit_id: int,
    taken: Footprint | None,
    writers: Collection[int],
    *,
    training: bool = False,
) -> Said:
    """Say who approves a draft while it is written; `taken` is `checks.measure` of its area."""
    return said(
        await authority.approvers(conn, alert_class, unit_id, taken, writers, training=training)
    )
