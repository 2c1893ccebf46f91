"""Why somebody got an alert, or did not: frozen or not, by which place, and what was sent.

Asked by staff and approvers from an address or from a report somebody sent. Every question is
audited, without the address. Of places outside the area no more than that is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from broadcaster import audit
from broadcaster.alerts import draft, lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout import audience, deliveries, whom
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.whom import ROLES as ROLES
from broadcaster.fanout.whom import Reached
from broadcaster.fanout.why_follow_ups import BY_WHAT_CAME_BEFORE, Earlier
from broadcaster.fanout.why_places import Finder, PlaceFound, find_places
from broadcaster.fanout.why_words import BECAUSE, NOT_SENT, Words
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from broadcaster.people.selection import Selector


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the alert at one address of a person."""

    channel: str
    address: str
    """Masked."""
    state: str | None
    """Of the delivery; None where there is none."""
    reason: str | None
    at: datetime | None
    why_not: Words | None
    """Why there is no delivery."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person behind the address."""

    person_id: int
    """For whoever asks on; never shown."""
    in_audience: bool | None
    """None while the audience is not frozen."""
    because: str
    """A key of BECAUSE."""
    registered_at: datetime
    places: tuple[PlaceFound, ...]
    sent: tuple[Sent, ...]
    earlier: str = ""
    """Of a follow-up: the code of the earlier message it is about for them."""

    @property
    def sentence(self) -> Words:
        """Say in a sentence why."""
        vietnamese, english = BECAUSE[self.because]
        return vietnamese.format(earlier=self.earlier), english.format(earlier=self.earlier)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for everybody behind one address; a household has several."""

    frozen_at: datetime | None
    nobody: Words | None
    """Why there is nobody to explain it for."""
    people: tuple[Person, ...]


async def ask(
    conn: Conn, keyring: Keyring, selector: Selector, actor: Actor, now: datetime, code: str,
    *, address: str = "", report: str = "",
) -> Explanation:  # fmt: skip
    """Explain an alert for everybody behind an address as somebody typed it, or behind a report.

    One transaction, with the row of the trail in it. Raises Refused (no such number, or nothing
    given), NotAllowed, NotFound (alert, report).
    """
    alert = await whom.alert_of(conn, actor, code)
    asked = await whom.find(conn, keyring, actor, address=address, report=report)
    await audit.record(
        conn, actor.official_id, now, "alert.explained", "alert", alert.alert_id,
        endpoint_id=asked.endpoint_id, person_ids=asked.person_ids, **asked.by,
    )  # fmt: skip
    if asked.nobody:
        return Explanation(None, asked.nobody, ())
    frozen, content = await _frozen(conn, alert), await _content(conn, actor, alert)
    frozen_at = alert.started_at if frozen is not None else None
    people = await explain(conn, keyring, selector, now, alert, content, frozen, asked.person_ids)
    return Explanation(frozen_at, None, people)


async def explain(
    conn: Conn, keyring: Keyring, selector: Selector, now: datetime, alert: Alert,
    content: Content, frozen: Ids | None, person_ids: Sequence[int],
) -> tuple[Person, ...]:  # fmt: skip
    """Explain an alert for people, by its frozen audience and today's places."""
    finder = await Finder.of_area(conn, selector, content.area)
    rows = await conn.fetch(
        "SELECT person_id, created_at FROM person WHERE person_id = ANY($1) ORDER BY person_id",
        person_ids,
    )
    earlier = await Earlier.of(conn, alert)
    people = []
    for person_id, registered_at in rows:
        places = await find_places(conn, finder, now, person_id)
        chosen = None if frozen is None else _holds(frozen, person_id)
        inside = any(place.inside for place in places)
        ways = await whom.ways_to(conn, keyring, [person_id])
        before = await earlier.that_reached(conn, ways) if earlier else None
        told = earlier and earlier.because(person_id, chosen, inside=inside, before=before)
        because = told or _because(
            chosen,
            inside=inside,
            later=(
                frozen is not None
                and alert.started_at is not None
                and registered_at > alert.started_at
            ),
        )
        sent = await _sent(conn, alert.alert_id, ways, content.channels, chosen, because)
        code = before or (earlier.messages[0].code if earlier and earlier.messages else "")
        people.append(Person(person_id, chosen, because, registered_at, places, sent, code))
    return tuple(people)


async def _frozen(conn: Conn, alert: Alert) -> Ids | None:
    try:
        approved = await lifecycle.snapshot(conn, alert.alert_id)
        return (await audience.read(conn, alert.alert_id, approved.content_hash)).ids
    except LookupError:
        return None


async def _content(conn: Conn, actor: Actor, alert: Alert) -> Content:
    """Return what was approved, of a draft what it says now."""
    if alert.approved_at is None:
        return (await draft.load(conn, actor, alert.alert_id)).content
    return (await lifecycle.snapshot(conn, alert.alert_id)).content


def _holds(ids: Ids, person_id: int) -> bool:
    at = int(np.searchsorted(ids, person_id))
    return at < len(ids) and int(ids[at]) == person_id


def _because(chosen: bool | None, *, inside: bool, later: bool) -> str:
    if chosen is None:
        return "would_be" if inside else "would_not_be"
    if chosen:
        return "place" if inside else "no_longer"
    if not inside:
        return "outside"
    return "registered_later" if later else "moved_in"


async def _sent(
    conn: Conn, alert_id: int, ways: Mapping[int, Reached],
    channels: Sequence[str], chosen: bool | None, because: str,
) -> tuple[Sent, ...]:  # fmt: skip
    sent = await deliveries.of_keys(conn, [(alert_id, endpoint_id) for endpoint_id in ways])
    found = []
    for endpoint_id, reached in ways.items():
        one = sent.get((alert_id, endpoint_id))
        found.append(
            Sent(
                channel=reached.channel,
                address=reached.address,
                state=one.state if one else None,
                reason=one.reason if one else None,
                at=one.updated_at if one else None,
                why_not=None if one else _why_not(reached, channels, chosen, because),
            )
        )
    return tuple(found)


def _why_not(
    reached: Reached, channels: Sequence[str], chosen: bool | None, because: str
) -> Words | None:
    if chosen is None:
        return None
    if not chosen:
        return NOT_SENT["not_in"]
    if because in BY_WHAT_CAME_BEFORE:
        return NOT_SENT["not_reached"]
    if reached.channel not in channels:
        return NOT_SENT["channel"]
    return NOT_SENT.get(reached.state, NOT_SENT["later"])
