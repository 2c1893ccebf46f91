"""Fact against forecast: minutes to half, 90 and 99 %, messages, SMS parts and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.alerts import foretold
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.foretold import SHOWN, Kept
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.fanout import channel_policy, contents, reach_series
from broadcaster.fanout.reach_series import Series, together
from broadcaster.fanout.tally import Said, Tally
from channels.sms import SmsContent
from templates.sms_text import measure

SHARES = (*SHOWN, 1.0)


@dataclass(frozen=True, slots=True)
class Pair:
    """A fact and what was foretold of it; None: not yet, or nothing was foretold."""

    fact: float | None
    told: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One channel, or with an empty name all of them."""

    channel: str
    messages: Pair
    within: tuple[Pair, ...]
    """Seconds until each of SHARES had left."""


@dataclass(frozen=True, slots=True)
class Against:
    """What became of an alert beside what was foretold when it was approved."""

    told: Kept | None
    series: tuple[Series, ...]
    whole: Series | None
    """All channels together; None before the first message."""
    rows: tuple[Row, ...]
    """All channels together last, where there are several."""
    parts: Pair
    cost: Pair
    """Đồng."""


async def of_alert(
    conn: Conn, alert: Alert, approved: Snapshot | None, tally: Tally | None
) -> Against | None:
    """Set facts against the forecast; None before anything is known of either."""
    told = await foretold.of_alert(conn, alert.alert_id)
    series = await reach_series.of_alert(conn, alert.alert_id)
    if told is None and not series:
        return None
    whole = together(series) if series else None
    parts = parts_of(approved, tally.texts) if approved and tally else None
    each = channel_policy.of_snapshot(approved.document).sms_part_cost if approved else 0
    return Against(
        told,
        tuple(series),
        whole,
        tuple(_rows(series, whole, told)),
        Pair(parts, told.parts if told else None),
        Pair(None if parts is None else parts * each, told.cost if told else None),
    )


def _rows(series: Sequence[Series], whole: Series | None, told: Kept | None) -> list[Row]:
    facts = {one.channel: one for one in series}
    promised = {one.channel: one for one in told.channels} if told else {}
    names = list(dict.fromkeys([*facts, *promised]))
    rows = [_row(name, facts.get(name), promised.get(name)) for name in names]
    if len(names) > 1:
        rows.append(_row("", whole, told))
    return rows


def _row(name: str, fact: Series | None, told: foretold.Foretold | Kept | None) -> Row:
    return Row(
        name,
        Pair(fact.points[-1].messages if fact else None, told.messages if told else None),
        tuple(
            Pair(fact.within(share) if fact else None, told.within(share) if told else None)
            for share in SHARES
        ),
    )


def parts_of(approved: Snapshot, texts: Sequence[Said]) -> int:
    """Count the SMS parts that carriers took, by the words each language and wording has."""
    words = contents.of_alert(approved, "sms")
    each = {said: measure(content.text).parts for said, content in words.items()
            if isinstance(content, SmsContent)}  # fmt: skip
    return sum(one.messages * each.get(f"{one.lang}{one.wording}", 1) for one in texts)
