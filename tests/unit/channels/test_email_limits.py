"""A mail relay's limits: connections, mails a connection, domains, a relay that wants less."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from channels.base import WITHDRAWN, Batch, Outcome, Recipient, Result, Unlimited
from channels.email import EmailChannel, EmailContent
from channels.email_errors import throttled
from tests.unit.channels.email_batch import (
    CONTENTS,
    DOMAIN,
    EXPIRES,
    SENDER,
    batch,
    channel_to,
    collect,
)
from tests.unit.channels.email_server import HANG_UP, SILENCE, Server


class ByDomain(Unlimited):
    """Lets so many mails go to a domain, then none until it is told to."""

    def __init__(self, **allowed: int) -> None:
        self.allowed = {f"{name}.example": count for name, count in allowed.items()}
        self.opened = asyncio.Event()
        self.asked: defaultdict[str, int] = defaultdict(int)
        self.slowed: list[float | None] = []

    def ready(self, count: int = 1, group: str = "") -> bool:
        self.asked[group] += 1
        if self.opened.is_set() or group not in self.allowed:
            return True
        self.allowed[group] -= count
        return self.allowed[group] >= 0

    async def take(self, count: int = 1, group: str = "") -> None:
        await self.opened.wait()

    def slow_down(self, seconds: float | None) -> None:
        self.slowed.append(seconds)


def to_domains(*domains: str, count: int) -> Batch[EmailContent]:
    people = [
        Recipient(n, f"p{n}@{domains[n % len(domains)]}.example", "vi", f"tok-{n}")
        for n in range(count)
    ]
    return Batch(CONTENTS, people, EXPIRES, urgent=True)


async def test_a_domain_at_its_limit_holds_up_nobody_else() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        pace = ByDomain(full=3)
        sending = asyncio.create_task(
            collect(channel, to_domains("full", "open", count=60), pace=pace)
        )
        while len(server.mails) < 33:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        by_domain = Counter(mail.rcpt.partition("@")[2] for mail in server.mails)
        assert by_domain == {"full.example": 3, "open.example": 30}
        # Another batch has all connections and places to itself meanwhile.
        assert len(await collect(channel, batch(20))) == 20
        pace.opened.set()
        outcomes = await sending
        assert {o.result for o in outcomes} == {Result.ACCEPTED}
        assert sorted(o.ref for o in outcomes) == list(range(60))
        assert Counter(mail.rcpt for mail in server.mails).most_common(1)[0][1] <= 2
        assert len(server.mails) == 80


async def test_domains_at_their_limits_share_one_connection_with_everybody() -> None:
    """Permissions come while the only connection is busy: no place may get lost over that."""

    class NowAndThen(ByDomain):
        def ready(self, count: int = 1, group: str = "") -> bool:
            return random.random() < 0.3

        async def take(self, count: int = 1, group: str = "") -> None:
            await asyncio.sleep(0)

    async with Server() as server, channel_to(server, connections=1) as channel:
        pace = NowAndThen()
        for domains, batches in (("a", 1), ("abcd", 3)):
            async with asyncio.timeout(30):
                outcomes = await asyncio.gather(
                    *(
                        collect(channel, to_domains(*domains, count=40), pace=pace)
                        for _ in range(batches)
                    )
                )
            results = [Counter(o.result for o in some) for some in outcomes]
            assert results == [{Result.ACCEPTED: 40}] * batches
        async with asyncio.timeout(30):
            assert len(await collect(channel, batch(10))) == 10


async def test_a_stop_ends_the_mails_that_wait_for_their_domain() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        pace, going = ByDomain(full=2), [True]
        sending = asyncio.create_task(
            collect(channel, to_domains("full", count=30), lambda: going[0], pace)
        )
        while len(server.mails) < 2:
            await asyncio.sleep(0.01)
        going[0] = False
        pace.opened.set()
        results = Counter(o.result for o in await sending)
        assert results == {Result.ACCEPTED: 2, Result.NOT_SENT: 28}


async def test_a_connection_carries_no_more_mails_than_it_may() -> None:
    async with Server() as server:
        channel = EmailChannel(
            server.url, SENDER, DOMAIN, "https://canhbao.example", 2, mails_per_connection=5
        )
        outcomes = await collect(channel, batch(40))
        assert {o.result for o in outcomes} == {Result.ACCEPTED}
        assert server.connections >= 8
        assert server.verbs.count("QUIT") >= 7
        await channel.close()


async def test_a_relay_that_allows_fewer_connections_is_served_over_those() -> None:
    def rule(verb: str, _: str) -> str | None:
        refused = verb == "GREETING" and server.open_connections > 3
        return "421 4.7.0 too many connections" if refused else None

    server = Server(rule)
    async with server, channel_to(server, connections=8) as channel:
        await channel.open()
        outcomes = await collect(channel, batch(100))
        assert {o.result for o in outcomes} == {Result.ACCEPTED}
        assert len(server.mails) == 100
        assert channel.connects == 3


async def test_all_batches_together_keep_to_the_places() -> None:
    async with Server() as server, channel_to(server, connections=3) as channel:
        committed = 0

        async def send(start: int) -> None:
            nonlocal committed
            what = Batch(
                CONTENTS,
                [Recipient(n, f"p{n}@cu.example", "vi", f"t{n}") for n in range(start, start + 20)],
                EXPIRES,
                urgent=True,
            )
            async for group in channel.send(what, lambda: True, Unlimited()):
                await asyncio.sleep(0.004)
                assert len(server.mails) - committed <= 9
                committed += len(group)

        await asyncio.gather(*(send(start) for start in (0, 20, 40, 60)))
        assert committed == len(server.mails) == 80


async def test_two_thousand_at_once_arrive_once_each() -> None:
    async with Server() as server, channel_to(server, connections=16) as channel:
        async with asyncio.timeout(30):
            outcomes = await collect(channel, batch(2_000))
        assert Counter(o.result for o in outcomes) == {Result.ACCEPTED: 2_000}
        assert sorted(o.ref for o in outcomes) == list(range(2_000))
        assert len({mail.rcpt for mail in server.mails}) == len(server.mails) == 2_000


@pytest.mark.parametrize(
    ("reply", "slowed"),
    [
        ("421 4.7.0 come back later", True),
        ("450 4.7.1 too many messages", True),
        ("451 4.7.28 rate limited", True),
        ("450 4.2.1 mailbox busy", False),
        ("452 4.3.1 disk full", False),
        ("550 5.7.1 policy", False),
    ],
)
async def test_a_relay_that_wants_less_slows_the_account(reply: str, slowed: bool) -> None:
    rule: Callable[[str, str], str | None] = lambda verb, _: reply if verb == "RCPT" else None  # noqa: E731
    async with Server(rule) as server, channel_to(server, connections=1) as channel:
        pace = ByDomain()
        (outcome,) = await collect(channel, batch(1), pace=pace)
        assert bool(pace.slowed) is slowed is throttled(outcome.reason)


async def test_throttled_in_the_middle_of_a_batch_nobody_is_lost() -> None:
    def rule(verb: str, arg: str) -> str | None:
        return (
            "450 4.7.1 slow down"
            if verb == "RCPT" and int(arg[5:].split("@")[0]) % 3 == 0
            else None
        )

    async with Server(rule) as server, channel_to(server, connections=4) as channel:
        pace = ByDomain()
        outcomes: list[Outcome] = await collect(channel, batch(90), pace=pace)
        results = Counter(o.result for o in outcomes)
        assert results == {Result.ACCEPTED: 60, Result.TEMPORARY: 30}
        assert len(pace.slowed) == 30
        assert len(server.mails) == 60


async def test_connections_lost_in_the_middle_leave_no_place_taken() -> None:
    async with Server() as server, channel_to(server, connections=4) as channel:
        for verb in ("MAIL", "RCPT", "DATA", "BODY"):
            said = itertools.count()
            server.rule = lambda now, _, verb=verb, said=said: (
                HANG_UP if now == verb and next(said) % 2 else None
            )
            assert len(await collect(channel, batch(30))) == 30
        server.rule = lambda verb, arg: None
        async with asyncio.timeout(30):
            outcomes = await collect(channel, batch(60))
        assert {o.result for o in outcomes} == {Result.ACCEPTED}


async def test_closing_waits_a_moment_and_then_says_what_is_in_doubt() -> None:
    rule: Callable[[str, str], str | None] = lambda verb, _: SILENCE if verb == "BODY" else None  # noqa: E731
    async with Server(rule) as server, channel_to(server, connections=2, timeout=30) as channel:
        going = [True]
        sending = asyncio.create_task(collect(channel, batch(6), lambda: going[0]))
        while server.verbs.count("BODY") < 2:
            await asyncio.sleep(0.01)
        going[0] = False
        async with asyncio.timeout(20):
            await channel.close()
            outcomes = await sending
        assert Counter((o.result, o.reason) for o in outcomes) == {
            (Result.UNKNOWN, "no answer"): 2,
            (Result.NOT_SENT, WITHDRAWN): 4,
        }


async def test_what_is_stopped_does_not_sit_out_the_silence_a_relay_asked_for() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        going, pace = [True], ByDomain(silent=0)
        sending = asyncio.create_task(
            collect(channel, to_domains("silent", count=5), lambda: going[0], pace)
        )
        while not pace.asked["silent.example"]:
            await asyncio.sleep(0.01)
        going[0] = False
        async with asyncio.timeout(30):
            outcomes = await sending
        assert Counter((o.result, o.reason) for o in outcomes) == {
            (Result.NOT_SENT, WITHDRAWN): 5,
        }
        assert not server.mails
        pace.opened.set()
        async with asyncio.timeout(30):
            again = await collect(channel, to_domains("silent", count=5), pace=pace)
        assert {o.result for o in again} == {Result.ACCEPTED}
