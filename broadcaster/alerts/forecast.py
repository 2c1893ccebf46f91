"""What an alert will do before it is approved: messages, parts, money and minutes.

Told from the policy and the area that would be approved, and from the limits and queues as they
are at this moment. People stand for addresses: a number that a household shares counts for each
of them, and second phones are added as far as people have them at most, so that what it costs in
the end is not above what was told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broadcaster.alerts.content import LANES, Content, wording_for
from broadcaster.alerts.pacing import Account, Line, account_of
from broadcaster.db import Conn
from broadcaster.fanout import channel_policy
from broadcaster.fanout.carrying import Carrying, carrying
from broadcaster.fanout.channel_policy import Policy
from broadcaster.fanout.leaving import Leaving
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.steps import Filter, Step
from broadcaster.keyring import Keyring
from broadcaster.people.domains import mail_domains
from broadcaster.people.second_addresses import second_addresses
from channels.limits_rules import URGENT_SHARE, Ramp
from targeting.index import CHANNELS as BITS
from targeting.index import Counts
from templates.sms_text import measure

UNREPORTED: Mapping[str, Mapping[str, Any]] = {
    "push": {"rules": [[600_000, 60.0], [10_000, 1.0]], "ramp": True},
    "sms": {"rules": [[100, 1.0]]},
    "email": {"rules": [[100, 1.0]]},
}
"""An account of each channel as it is assumed while no worker has said what is set up."""
MARKS = (0.5, 0.9, 0.99, 1.0)
"""Shares of a channel's messages of which it is told when they have left."""
CURVE = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Shares by which a line is drawn; MARKS are among them."""


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
    left: bool = False
    """It tells those reached before that the alert covers their place no longer."""


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
    """Messages (of SMS parts) a second at most; 0: no account can be used now."""
    within: tuple[float, ...]
    """Seconds from the start until each of MARKS has left; empty while no account can be used."""
    curve: tuple[float, ...] = ()
    """The same for each of CURVE."""

    @property
    def seconds(self) -> float | None:
        """From the start to the last hand-off; None while no account can be used."""
        return self.within[-1] if self.within else None


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
    left: int = 0
    """People told that an update covers their place no longer; their messages are among `sends`."""

    @property
    def dear(self) -> bool:
        """Whether it costs more than its class may."""
        return self.ceiling is not None and self.cost > self.ceiling


@dataclass(frozen=True, slots=True)
class Load:
    """What the channels can take now, and what waits on them."""

    accounts: Mapping[str, Sequence[Account]]
    """By channel: those that share its traffic now."""
    ahead: Mapping[str, Sequence[int]]
    """By channel: what waits of each lane, in messages, of SMS in parts."""
    domains: Mapping[str, float] = field(default_factory=dict)
    """Shares of mail by domain, where some account limits domains."""
    second: Mapping[str, float] = field(default_factory=dict)
    """By channel: addresses beyond the first of a person who has it, on average at most."""


async def forecast(
    conn: Conn,
    now: datetime,
    content: Content,
    counts: Counts,
    alert_id: int | None = None,
    keyring: Keyring | None = None,
    leaving: Leaving | None = None,
) -> Forecast:
    """Tell what this content would do if it were approved now, for the people counted.

    `alert_id` is the one it is a version of: what follows another is also heard where that one
    was, and `leaving` are those whom an update tells that it covers them no longer.
    Without a keyring limits of mail domains are left out.
    """
    version = await channel_policy.in_force(conn, content.alert_class)
    heard = {} if alert_id is None else await heard_before(conn, alert_id)
    load_now = await load(conn, now, keyring, alert_id)
    return foretell(content, counts, version, load_now, now, heard, leaving)


def foretell(
    content: Content,
    counts: Counts,
    version: channel_policy.Version,
    load: Load,
    now: datetime,
    heard: Mapping[str, int] | None = None,
    leaving: Leaving | None = None,
) -> Forecast:
    """Tell it from figures at hand: no questions, no clock.

    `heard`: by channel, the messages of those before it that arrived or may still.
    """
    policy = version.policy
    asked = max(now, content.scheduled_for or now)
    starts = channel_policy.quiet_until(content.alert_class, policy, asked)
    plan = channel_policy.plan(content.alert_class, policy, content.channels, starts)
    sends = (
        *_sends(plan, content, counts, starts, load.second),
        *_to_listed(plan, content, counts, heard or {}),
        *(_to_those_left(content, leaving) if leaving else ()),
    )
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
        left=leaving.people if leaving else 0,
    )


def _sends(
    plan: Sequence[Step],
    content: Content,
    counts: Counts,
    starts: datetime,
    second: Mapping[str, float],
) -> list[Send]:
    """Count each step's messages by what sets of channels people have, at most."""
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
            messages += _second_ones(messages, second.get(channel, 0.0))
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


def _second_ones(people: int, each: float) -> int:
    """Return how many addresses so many people have beyond their first, at most.

    Three deviations above the mean: a handful of people is not the city on a small scale.
    """
    mean = people * each
    return math.ceil(mean + 3 * math.sqrt(mean))


def _to_listed(
    plan: Sequence[Step], content: Content, counts: Counts, heard: Mapping[str, int]
) -> list[Send]:
    """Count those who hear of a follow-up where it does not go: nothing else had reached them."""
    used = {channel for step in plan for channel in step.channels}
    kept = sum(BITS[channel] for channel in used)
    sends = []
    for channel, told in heard.items():
        only = sum(n for held, n in counts.by_set.items()
                   if held & BITS[channel] and not held & kept)  # fmt: skip
        messages = 0 if channel in used else min(only, told)
        if messages:
            parts = math.ceil(messages * _parts_each(content, counts)) if channel == "sms" else 0
            sends.append(Send(channel, Filter.LISTED, timedelta(0), messages, parts or messages,
                              at_most=True))  # fmt: skip
    return sends


def _to_those_left(content: Content, leaving: Leaving) -> list[Send]:
    """Count the messages that say so, each by the channel that reached its address."""
    text = content.left_wording["vi"].sms.text if "vi" in content.left_wording else ""
    each = max(1, measure(text).parts)
    return [
        Send(channel, Filter.LISTED, timedelta(0), messages,
             messages * each if channel == "sms" else messages, at_most=False, left=True)
        for channel, messages in leaving.by_channel.items()
        if messages
    ]  # fmt: skip


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
    line = Line(load.accounts.get(channel, ()), URGENT_SHARE if behind and lane == 0 else 1.0)
    parts = sum(send.parts for send in of_channel)
    domains = load.domains if channel == "email" else {}
    curve = _within(of_channel, ahead, line, domains)
    return ChannelForecast(
        channel=channel,
        messages=sum(send.messages for send in of_channel),
        parts=parts,
        cost=parts * policy.sms_part_cost if channel == "sms" else 0,
        ahead=ahead,
        per_second=line.per_second,
        within=tuple(at for share, at in zip(CURVE, curve, strict=False) if share in MARKS),
        curve=curve,
    )


def _within(
    sends: Sequence[Send], ahead: int, line: Line, domains: Mapping[str, float]
) -> tuple[float, ...]:
    """Return when each of CURVE has left, seconds from the start."""
    if not line.per_second:
        return ()
    line.send(ahead)
    wanted = [mark * sum(send.parts for send in sends) for mark in CURVE]
    found: list[float] = []
    gone = 0
    for send in sends:
        line.start(send.after.total_seconds())
        while len(found) < len(CURVE) and wanted[len(found)] <= gone + send.parts:
            found.append(line.at + line.takes(wanted[len(found)] - gone, domains))
        line.send(send.parts, domains)
        gone += send.parts
    return tuple(found)


_WAITING = (
    "SELECT p.channel::text AS channel, a.lane, p.pending, CASE p.channel WHEN 'sms' THEN"
    " (SELECT v.content #>> '{wording,vi,sms,text}' FROM alert_version v"
    "  WHERE v.alert_id = a.alert_id AND v.version = a.approved_version) END AS text"
    " FROM progress p JOIN alert a USING (alert_id) WHERE a.state = 'sending' AND p.pending > 0"
    " AND a.alert_id IS DISTINCT FROM $1"
)
_HEARD = (
    "SELECT p.channel::text AS channel,"
    " sum(p.pending + p.handed_off + p.confirmed + p.seen + p.unknown)::int AS messages"
    " FROM progress p JOIN alert b USING (alert_id), alert a"
    " WHERE a.alert_id = $1 AND coalesce(b.root_id, b.alert_id) = coalesce(a.root_id, a.alert_id)"
    " AND b.sequence < a.sequence GROUP BY 1 ORDER BY 1"
)


async def heard_before(conn: Conn, alert_id: int) -> dict[str, int]:
    """Return by channel how many messages of those it follows arrived or may still."""
    return {row["channel"]: row["messages"] for row in await conn.fetch(_HEARD, alert_id)}


async def able_now(conn: Conn, now: datetime) -> dict[str, Carrying]:
    """Return what each channel can do, with the rates that accounts have kept up."""
    return await carrying(conn, now, timedelta(seconds=Ramp().idle))


async def load(
    conn: Conn,
    now: datetime,
    keyring: Keyring | None = None,
    without: int | None = None,
    able: Mapping[str, Carrying] | None = None,
) -> Load:
    """Read what the accounts allow at this moment and what waits on each channel.

    `without` is an alert that does not wait for itself: it may have begun already. `able` is what
    `able_now` has just told whoever asks.
    """
    able = await able_now(conn, now) if able is None else able
    accounts = {channel: _accounts(able, channel) for channel in CHANNELS}
    limited = any(one.limits_domains for one in accounts["email"])
    domains = await mail_domains(conn, keyring) if keyring is not None and limited else {}
    ahead = {channel: [0] * len(LANES) for channel in CHANNELS}
    for row in await conn.fetch(_WAITING, without):
        parts = 1
        if row["channel"] == "sms":
            parts = max(1, measure(row["text"] or "").parts)
        ahead[row["channel"]][row["lane"]] += row["pending"] * parts
    return Load(accounts, ahead, domains, await second_addresses(conn))


def _accounts(able: Mapping[str, Carrying], channel: str) -> list[Account]:
    if not able:
        return [account_of(UNREPORTED[channel], None)]
    return [account_of(one.setup, one.share) for one in able[channel].carriers]
