"""What an alert will do before it is approved: messages, parts, money and minutes.

Told from the policy and the area that would be approved, and from the limits and queues as they
are at this moment. People stand for addresses: a number that a household shares counts for each
of them, a second phone not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts.content import LANES, Content, wording_for
from broadcaster.db import Conn
from broadcaster.fanout import channel_policy
from broadcaster.fanout.channel_policy import Policy
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.steps import Filter, Step
from targeting.index import CHANNELS as BITS
from targeting.index import Counts
from templates.sms_text import measure

URGENT_SHARE = 0.9
"""What an emergency has of a channel while others wait on it too."""
RATES: Mapping[str, float] = {"push": 10_000.0, "sms": 100.0, "email": 100.0}
"""Messages a second of a channel of which no account has reported yet."""


@dataclass(frozen=True, slots=True)
class Send:
    """One channel in one step."""

    channel: str
    to: Filter
    after: timedelta
    """From the start."""
    messages: int
    parts: int
    """Of SMS; as many as messages on the other channels."""
    at_most: bool
    """So many when no phone answers; fewer when some do."""


@dataclass(frozen=True, slots=True)
class ChannelForecast:
    """One channel in all steps together."""

    channel: str
    messages: int
    parts: int
    cost: int
    """Đồng."""
    ahead: int
    """Messages (of SMS parts) that leave before its first one."""
    per_second: float
    """Messages (of SMS parts) a second; 0: no account can be used now."""
    seconds: float | None
    """From the start to the last hand-off; None while no account can be used."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What approval of a content would set going."""

    starts: datetime
    held_back: bool
    """By quiet hours: it starts later than asked."""
    sends: tuple[Send, ...]
    channels: tuple[ChannelForecast, ...]
    cost: int
    ceiling: int | None
    blocking: bool
    """Above the ceiling it must not go out."""
    policy_version: int

    @property
    def dear(self) -> bool:
        """Whether it costs more than its class may."""
        return self.ceiling is not None and self.cost > self.ceiling


@dataclass(frozen=True, slots=True)
class Load:
    """How fast the channels are now, and what waits on them."""

    per_second: Mapping[str, float]
    ahead: Mapping[str, Sequence[int]]
    """By channel: what waits of each lane, in messages, of SMS in parts."""


async def forecast(conn: Conn, now: datetime, content: Content, counts: Counts) -> Forecast:
    """Tell what this content would do if it were approved now, for the people counted."""
    version = await channel_policy.in_force(conn, content.alert_class)
    return foretell(content, counts, version, await load(conn, now), now)


def foretell(
    content: Content,
    counts: Counts,
    version: channel_policy.Version,
    load: Load,
    now: datetime,
) -> Forecast:
    """Tell it from figures at hand: no questions, no clock."""
    policy = version.policy
    asked = max(now, content.scheduled_for or now)
    starts = channel_policy.quiet_until(content.alert_class, policy, asked)
    plan = channel_policy.plan(content.alert_class, policy, content.channels, starts)
    sends = tuple(_sends(plan, content, counts, starts))
    channels = tuple(
        _channel(channel, sends, policy, load, LANES[content.alert_class])
        for channel in CHANNELS
        if any(send.channel == channel for send in sends)
    )
    return Forecast(
        starts=starts,
        held_back=starts > asked,
        sends=sends,
        channels=channels,
        cost=sum(one.cost for one in channels),
        ceiling=policy.cost_ceiling,
        blocking=policy.over_ceiling == "blocking",
        policy_version=version.version,
    )


def _sends(plan: Sequence[Step], content: Content, counts: Counts, starts: datetime) -> list[Send]:
    """Count each step's messages by what sets of channels people have."""
    sends: list[Send] = []
    written = dict.fromkeys(counts.by_set, 0)
    """By set of channels: the channels somebody with that set has been written to."""
    for step in plan:
        reached = dict(written)
        for channel in step.channels:
            bit, messages = BITS[channel], 0
            for held, people in counts.by_set.items():
                spared = step.to is Filter.NO_PUSH and reached[held] & BITS["push"]
                if held & bit and not written[held] & bit and not spared:
                    messages += people
                    written[held] |= bit
            parts = math.ceil(messages * _parts_each(content, counts)) if channel == "sms" else 0
            sends.append(
                Send(
                    channel,
                    step.to,
                    step.due_at - starts,
                    messages,
                    parts or messages,
                    step.to is Filter.NOT_ACKNOWLEDGED,
                )
            )
    return sends


def _parts_each(content: Content, counts: Counts) -> float:
    """Return the SMS parts of a message, averaged over who reads which language."""
    if not content.wording:
        return 1.0
    parts = {lang: measure(wording_for(content, lang).sms.text).parts for lang in ("vi", "en")}
    people = sum(counts.by_lang.values()) or 1
    return max(1.0, sum(parts.get(lang, parts["vi"]) * n for lang, n in counts.by_lang.items())
               / people)  # fmt: skip


def _channel(
    channel: str, sends: Sequence[Send], policy: Policy, load: Load, lane: int
) -> ChannelForecast:
    of_channel = [send for send in sends if send.channel == channel]
    waiting = load.ahead.get(channel, ())
    ahead, behind = sum(waiting[: lane + 1]), sum(waiting[lane + 1 :])
    rate = load.per_second.get(channel, 0.0)
    if behind and lane == 0:
        rate *= URGENT_SHARE
    parts = sum(send.parts for send in of_channel)
    return ChannelForecast(
        channel=channel,
        messages=sum(send.messages for send in of_channel),
        parts=parts,
        cost=parts * policy.sms_part_cost if channel == "sms" else 0,
        ahead=ahead,
        per_second=rate,
        seconds=_seconds(of_channel, ahead, rate),
    )


def _seconds(sends: Sequence[Send], ahead: int, rate: float) -> float | None:
    """Return when the last message leaves, seconds from the start."""
    if rate <= 0:
        return None
    at = ahead / rate
    for send in sends:
        at = max(at, send.after.total_seconds()) + send.parts / rate
    return at


# A breaker that is half open lets one batch through: it counts when it is closed again.
_ACCOUNTS = (
    "SELECT channel::text AS channel, weight, setup FROM provider"
    " WHERE configured_at IS NOT NULL AND switch <> 'off'"
    " AND (switch = 'on' OR (breaker = 'closed' AND (paused_until IS NULL OR paused_until <= $1)))"
)
_WAITING = (
    "SELECT p.channel::text AS channel, a.alert_id, a.lane, p.pending FROM progress p"
    " JOIN alert a USING (alert_id) WHERE a.state = 'sending' AND p.pending > 0"
)
_SAID = (
    "SELECT v.content FROM alert a JOIN alert_version v"
    " ON v.alert_id = a.alert_id AND v.version = a.approved_version WHERE a.alert_id = $1"
)


async def load(conn: Conn, now: datetime) -> Load:
    """Read what the accounts allow at this moment and what waits on each channel."""
    rates = await _rates(conn, now)
    ahead = {channel: [0] * len(LANES) for channel in CHANNELS}
    for row in await conn.fetch(_WAITING):
        parts = 1
        if row["channel"] == "sms":
            said = await conn.fetchval(_SAID, row["alert_id"])
            text = said["wording"].get("vi", {}).get("sms", {}).get("text", "")
            parts = max(1, measure(text).parts)
        ahead[row["channel"]][row["lane"]] += row["pending"] * parts
    return Load(rates, ahead)


async def _rates(conn: Conn, now: datetime) -> dict[str, float]:
    """Return what the usable accounts of each channel allow a second, standbys only alone."""
    configured = await conn.fetch(
        "SELECT DISTINCT channel::text AS channel FROM provider WHERE configured_at IS NOT NULL"
    )
    rates = {channel: RATES[channel] for channel in CHANNELS}
    rates |= {row["channel"]: 0.0 for row in configured}
    usable = await conn.fetch(_ACCOUNTS, now)
    for channel in CHANNELS:
        accounts = [row for row in usable if row["channel"] == channel]
        shared = [row for row in accounts if row["weight"]] or accounts
        if shared:
            rates[channel] = sum(
                min(most / seconds for most, seconds in row["setup"]["rules"]) for row in shared
            )
    return rates
