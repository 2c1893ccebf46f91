"""What phones got, held against who was to get it: lost, wrong, twice, too fast."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.sinks.record import Answer, Messages
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.fanout.sending import read_delivery_token
from channels.email import EmailChannel
from channels.push import PushChannel
from channels.sms import SmsChannel
from tests.builders import CHANNELS, area_of, eventually, now, warning
from tests.chaos.city import SLOTS, City

IN_DOUBT = {c.name: c.limits.in_doubt for c in (PushChannel, SmsChannel, EmailChannel)}
WINDOW = IN_DOUBT | {"push": IN_DOUBT["push"] * (SLOTS - 1)}
"""Messages one sender may have put on the wire without a word in the database: push for each batch
it sends at a time, SMS and mail over all of them."""
JITTER = 0.1
"""Seconds by which two messages may come closer on their way over a machine that is busy."""


@dataclass(slots=True)
class Figures:
    """One scenario in numbers; counts by channel."""

    what: str
    seconds: float
    recipients: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    wrong: int = 0
    twice: Counter[str] = field(default_factory=Counter)
    may_be_twice: dict[str, int] = field(default_factory=dict)
    visible_twice: int = 0
    refused: int = 0
    """Messages the carriers did not take: errors and throttling."""
    most_in_a_second: dict[str, int] = field(default_factory=dict)
    limit: dict[str, int] = field(default_factory=dict)
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """One alert and who is to get it: address → language, by channel."""

    alert: Alert
    content: Content
    expected: dict[str, dict[str, str]]


class Broadcast:
    """Two alerts that share the city between them, on their way."""

    def __init__(self, city: City, sent: list[Sent]) -> None:
        self.city = city
        self.sent = sent
        self.began = time.monotonic()

    @property
    def ids(self) -> list[int]:
        """Of both alerts."""
        return [one.alert.alert_id for one in self.sent]

    async def done(self) -> tuple[float, Counter[str]]:
        """Return the share that is with the carriers by our own count, and what is left."""
        rows = await self.city.service.rows(
            "SELECT channel::text, sum(handed_off + confirmed + seen) AS done"
            " FROM progress WHERE alert_id = ANY($1) GROUP BY 1",
            self.ids,
        )
        whole = Counter({c: sum(len(one.expected[c]) for one in self.sent) for c in CHANNELS})
        done = {row["channel"]: int(row["done"]) for row in rows}
        left = whole - Counter(done)
        return sum(done.values()) / whole.total(), left

    async def mid_way(self, share: float) -> str:
        """Wait until so great a share is sent; a kill that comes late tests nothing."""

        async def there() -> tuple[float, Counter[str]] | None:
            found = await self.done()
            return found if found[0] >= share else None

        found, left = await eventually(there, self.city.scale.settle, f"{share:.0%} sent", 0.02)
        assert left, "too late: everything is sent"
        return f"{found:.0%}"

    async def settled(self) -> None:
        """Wait for the end of both; fails with how they stand."""
        try:
            for alert_id in self.ids:
                left = self.city.scale.settle - (time.monotonic() - self.began)
                await self.city.service.settled(alert_id, timeout=max(left, 10.0))
        except AssertionError as late:
            raise AssertionError(f"{late}\n{await self._stand()}") from None

    async def _stand(self) -> str:
        lines = []
        for query in _STAND:
            rows = await self.city.service.rows(query, *([self.ids] if "$1" in query else []))
            lines += [" ".join(f"{name}={value}" for name, value in row.items()) for row in rows]
        return "\n".join(lines)

    async def account(self, what: str, may_be_twice: dict[str, int]) -> Figures:
        """Wait for the end, then hold the carriers' records against the people; asserts all."""
        await self.settled()
        figures = Figures(
            what,
            time.monotonic() - self.began,
            may_be_twice=may_be_twice,
            limit=dict(self.city.scale.rates),
        )
        for channel in CHANNELS:
            messages = await self.city.sinks.messages(channel)
            await asyncio.to_thread(self._hold, figures, channel, messages)
        for alert_id in self.ids:
            states = await self.city.service.states(alert_id)
            for found in states.values():
                figures.unsettled += sum(found.values()) - found.get("handed_off", 0)
                figures.unsettled -= found.get("confirmed", 0)
        return figures

    def _hold(self, figures: Figures, channel: str, messages: Messages) -> None:
        of = [self._whose(channel, content) for content in messages.contents]
        tags = [content.get("tag", "") for content in messages.contents]
        got: Counter[tuple[int, str, int]] = Counter()
        shown: dict[tuple[int, str], set[str]] = {}
        parts = [content.get("part", 1) for content in messages.contents]
        rows = zip(messages.of.tolist(), messages.answers.tolist(), messages.addresses, strict=True)
        for content, answer, line in rows:
            if answer != Answer.TAKEN:
                figures.refused += 1
                continue
            address, _, token = line.partition(" ")
            whose = of[content]
            if whose is None or self.sent[whose[0]].expected[channel].get(address) != whose[1]:
                figures.wrong += 1
                continue
            if token and not self._is_own(whose[0], address, token):
                figures.wrong += 1
            got[whose[0], address, parts[content]] += 1
            shown.setdefault((whose[0], address), set()).add(tags[content])
        reached = {(number, address) for number, address, _ in got}
        for number, one in enumerate(self.sent):
            figures.recipients[channel] += len(one.expected[channel])
            figures.lost += sum(
                (number, address) not in reached for address in one.expected[channel]
            )
        figures.twice[channel] = got.total() - len(got)
        if channel == "push":
            figures.visible_twice += sum(len(seen) > 1 for seen in shown.values())
        figures.most_in_a_second[channel] = messages.most_within(1.0, slack=JITTER)

    def _whose(self, channel: str, content: dict[str, Any]) -> tuple[int, str] | None:
        """Return which alert's wording this is, and in which language."""
        for number, one in enumerate(self.sent):
            for lang, wording in one.content.wording.items():
                if channel == "push":
                    words = wording.push.title, wording.push.body, one.alert.code, lang
                    said = content["title"], content["text"], content["code"], content["lang"]
                elif channel == "sms":
                    words, said = (wording.sms.text,), (content["text"],)
                else:
                    words = wording.email.subject, lang, True
                    whole = _plain(wording.email.text) in _plain(content["text"])
                    said = content["subject"], content["lang"], whole
                if words == said:
                    return number, lang
        return None

    def _is_own(self, number: int, address: str, token: str) -> bool:
        """Whether a mail's Message-ID is the one of its own recipient and alert."""
        found = read_delivery_token(self.city.service.keyring, token)
        if found is None or found[0] != self.sent[number].alert.alert_id:
            return False
        return self.city.endpoints[found[1]][1] == address


def _plain(text: str) -> str:
    """Return a text without its line ends, which mail writes in its own way."""
    return " ".join(text.split())


_STAND = (
    "SELECT now(), channel::text, paused_until, paused_reason FROM provider",
    """SELECT alert_id, channel::text, pending, handed_off, confirmed, failed, unknown FROM progress
    WHERE alert_id = ANY($1)""",
    """SELECT alert_id, channel::text, state::text, count(*), min(not_before), max(not_before),
    min(lease_until), min(worker) FROM batch WHERE alert_id = ANY($1) AND state <> 'done'
    GROUP BY 1, 2, 3""",
    """SELECT channel::text, state::text, attempts, tries, count(*) FROM (
        SELECT d.channel, d.state, d.attempts, (SELECT array_agg(concat_ws(' ', t.result, t.reason)
            ORDER BY t.at) FROM attempt t WHERE t.alert_id = d.alert_id
            AND t.endpoint_id = d.endpoint_id) AS tries
        FROM delivery d WHERE d.alert_id = ANY($1)
            AND d.state NOT IN ('handed_off', 'confirmed') LIMIT 5000) open
    GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 10""",
)
"""What is asked when something does not settle."""


async def begin(city: City, where: str, *, first: Callable[[], object] = lambda: None) -> Broadcast:
    """Approve two alerts, each to every other unit of the city; `first` is done before."""
    await city.at_rest()
    service = city.service
    async with service.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT code FROM unit WHERE valid_to IS NULL AND parent_id IS NOT NULL ORDER BY code"
        )
        codes = [row["code"] for row in rows]
        contents = [
            warning(await area_of(conn, *codes[half::2]), f"{where} {half + 1}") for half in (0, 1)
        ]
    expected = [await _expected(city, content) for content in contents]
    alerts = [await service.submit(await service.write(content)) for content in contents]
    first()
    sent = [
        Sent(await service.approve(alert), content, people)
        for alert, content, people in zip(alerts, contents, expected, strict=True)
    ]
    return Broadcast(city, sent)


async def _expected(city: City, content: Content) -> dict[str, dict[str, str]]:
    """Find who is to get an alert, by the people index and the links, not by our deliveries."""
    async with city.service.pool.acquire() as conn:
        ids = await city.service.selector.select(conn, now(), content.area)
    rows = await city.service.rows(
        "SELECT DISTINCT endpoint_id FROM person_endpoint WHERE person_id = ANY($1)", ids.tolist()
    )
    found: dict[str, dict[str, str]] = {channel: {} for channel in CHANNELS}
    for (endpoint_id,) in rows:
        if endpoint_id in city.endpoints:
            channel, address, lang = city.endpoints[endpoint_id]
            found[channel][address] = lang
    return found


def killed(number: int) -> dict[str, int]:
    """Return how many may come twice by channel when so many senders ended without a word."""
    return {channel: number * window for channel, window in WINDOW.items()}
