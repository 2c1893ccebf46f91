"""The mail channel over real sockets: what is sent, how often, and what a failure is called."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest

from channels.base import Action, Batch, Outcome, Recipient, Result, Unlimited
from channels.email import EmailChannel, EmailContent, valid_address
from tests.unit.channels.email_batch import (
    CONTENTS,
    DOMAIN,
    EXPIRES,
    SENDER,
    batch,
    channel_to,
    collect,
    send_one,
)
from tests.unit.channels.email_server import HANG_UP, SILENCE, Mail, Server


async def received(language: str) -> Mail:
    async with Server() as server, channel_to(server) as channel:
        await collect(channel, batch(1, language))
        return server.mails[0]


async def test_a_mail_carries_every_header_the_recipient_needs() -> None:
    mail = await received("vi")
    message = message_from_bytes(mail.data, policy=default)
    assert mail.mail_from == f"bounce+tok-0@{DOMAIN}"
    assert mail.rcpt == message["To"] == "p0@cu.example"
    assert message["From"] == SENDER
    assert message["Subject"] == "Cảnh báo mưa rất to"
    assert message["Reply-To"] == f"reply+tok-0@{DOMAIN}"
    assert message["Message-ID"] == f"<tok-0@{DOMAIN}>"
    assert message["List-Unsubscribe"].split() == [
        "<https://canhbao.example/unsubscribe/tok-0>,",
        f"<mailto:unsubscribe+tok-0@{DOMAIN}?subject=unsubscribe>",
    ]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Precedence"] == "bulk"
    assert message["Content-Language"] == "vi"
    assert parsedate_to_datetime(message["Expires"]) == EXPIRES
    assert abs(parsedate_to_datetime(message["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_both_forms_arrive_as_written() -> None:
    message = message_from_bytes((await received("vi")).data, policy=default)
    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == CONTENTS["vi"].text
    assert html.get_content().strip() == CONTENTS["vi"].html


async def test_a_line_that_starts_with_a_dot_survives() -> None:
    message = message_from_bytes((await received("en")).data, policy=default)
    assert message.get_content().replace("\r\n", "\n") == CONTENTS["en"].text


async def test_the_wire_is_seven_bit_with_short_lines_and_crlf() -> None:
    data = (await received("vi")).data
    assert data.isascii()
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 998


async def test_everyone_gets_one_mail_over_kept_connections() -> None:
    async with Server() as server, channel_to(server, connections=4) as channel:
        await channel.open()
        groups = [group async for group in channel.send(batch(50), lambda: True, Unlimited())]
        again = await collect(channel, batch(10))
        assert server.connections == channel.connects == 4
        assert max(map(len, groups)) <= 12
        assert sorted(o.ref for group in groups for o in group) == list(range(50))
        assert Counter(mail.rcpt for mail in server.mails)["p40@cu.example"] == 1
        assert len(server.mails) == 60
        assert {o.result for o in again} == {Result.ACCEPTED}
        assert again[0].provider_ids == (f"tok-{again[0].ref}",)


async def test_close_says_goodbye_and_may_come_twice() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        await channel.open()
        await channel.close()
        assert server.verbs.count("QUIT") == 2
        await channel.close()


async def test_close_during_a_batch_leaves_no_connection_behind() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        async for _ in channel.send(batch(6), lambda: True, Unlimited()):
            await channel.close()
        await asyncio.sleep(0.02)
        assert len(server.mails) == 6
        assert server.open_connections == 0


async def test_a_server_that_pipelines_is_given_the_envelope_at_once() -> None:
    async with Server() as server:
        await send_one(server)
        envelope = next(read for read in server.reads if read.startswith(b"MAIL"))
        assert envelope.endswith(b"DATA\r\n")
    async with Server(extensions=("SIZE 1000",)) as server:
        await send_one(server)
        assert b"DATA\r\n" in server.reads
        assert len(server.mails) == 1


async def test_no_more_than_three_mails_a_connection_are_ever_in_doubt() -> None:
    async with Server() as server, channel_to(server, connections=3) as channel:
        committed = 0
        async for group in channel.send(batch(30), lambda: True, Unlimited()):
            await asyncio.sleep(0.005)
            assert len(server.mails) - committed <= 9
            committed += len(group)
        assert committed == 30


async def test_a_slow_mail_does_not_hold_up_the_others() -> None:
    def rule(verb: str, arg: str) -> str | None:
        return SILENCE if verb == "BODY" and arg == "p0@cu.example" else None

    async with Server(rule) as server, channel_to(server, 2, timeout=0.6) as channel:
        order = [
            o async for group in channel.send(batch(20), lambda: True, Unlimited()) for o in group
        ]
        assert order[-1] == Outcome(0, Result.UNKNOWN, "no answer")
        assert len(server.mails) == 19


async def test_a_withdrawn_permit_stops_within_the_mails_under_way() -> None:
    async with Server() as server, channel_to(server, connections=4) as channel:
        outcomes = await collect(channel, batch(40), lambda: len(server.mails) < 10)
        results = Counter(outcome.result for outcome in outcomes)
        assert len(outcomes) == 40
        assert results[Result.ACCEPTED] == len(server.mails)
        assert 10 <= len(server.mails) <= 14
        assert results[Result.NOT_SENT] == 40 - len(server.mails)


async def test_without_a_permit_nothing_is_even_connected() -> None:
    async with Server() as server, channel_to(server) as channel:
        outcomes = await collect(channel, batch(20), lambda: False)
        assert {o.result for o in outcomes} == {Result.NOT_SENT}
        assert "MAIL" not in server.verbs


async def test_a_caller_that_stops_listening_leaves_no_mail_half_sent_behind() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        groups = channel.send(batch(50), lambda: True, Unlimited())
        await anext(groups)
        await groups.aclose()  # type: ignore[attr-defined]
        so_far = len(server.mails)
        await asyncio.sleep(0.05)
        assert len(server.mails) <= min(6, so_far + 2), "only bodies already written arrive"
        assert len(await collect(channel, batch(5))) == 5


async def test_a_break_after_the_body_is_unknown_and_before_it_temporary() -> None:
    for verb, result in [
        ("BODY", Result.UNKNOWN),
        ("MAIL", Result.TEMPORARY),
        ("RCPT", Result.TEMPORARY),
        ("DATA", Result.TEMPORARY),
    ]:
        for extensions in (("PIPELINING",), ("HELP",)):
            rule = lambda said, arg, verb=verb: HANG_UP if said == verb else None  # noqa: E731
            async with Server(rule, extensions) as server:
                outcome = await send_one(server)
                assert (verb, outcome.result) == (verb, result)
                assert outcome.action is Action.NONE


async def test_silence_after_the_body_is_unknown_and_before_it_temporary() -> None:
    for verb, result in [("BODY", Result.UNKNOWN), ("RCPT", Result.TEMPORARY)]:
        rule = lambda said, arg, verb=verb: SILENCE if said == verb else None  # noqa: E731
        async with Server(rule) as server:
            assert (await send_one(server, timeout=0.2)).result is result


async def test_a_server_killed_in_the_middle_loses_no_mail() -> None:
    server = Server()

    def rule(verb: str, arg: str) -> str | None:
        if verb == "BODY" and len(server.mails) >= 20:
            server.kill()
            return HANG_UP
        return None

    server.rule = rule
    async with server, channel_to(server, connections=4) as channel:
        outcomes = await collect(channel, batch(60))
        results = Counter(outcome.result for outcome in outcomes)
        taken = {mail.rcpt for mail in server.mails}
        accepted = {f"p{o.ref}@cu.example" for o in outcomes if o.result is Result.ACCEPTED}
        doubted = {f"p{o.ref}@cu.example" for o in outcomes if o.result is Result.UNKNOWN}
        assert len(outcomes) == 60
        assert accepted <= taken <= accepted | doubted
        assert 1 <= len(doubted) <= 4
        assert results[Result.TEMPORARY] == 60 - len(accepted) - len(doubted)


async def test_a_server_that_comes_back_is_used_again() -> None:
    async with Server() as first, channel_to(first, connections=2) as channel:
        await collect(channel, batch(4))
        first.kill()
        await asyncio.sleep(0.01)
        assert {o.result for o in await collect(channel, batch(4))} == {Result.TEMPORARY}
        await asyncio.sleep(1.0)
        async with Server(port=first.port) as second:
            assert {o.result for o in await collect(channel, batch(4))} == {Result.ACCEPTED}
            assert len(second.mails) == 4


async def test_a_kept_connection_that_died_unnoticed_costs_no_mail() -> None:
    server = Server()
    async with server, channel_to(server, connections=2) as channel:
        await channel.open()
        # The server goes away exactly when it is spoken to again, as an idle timeout does.
        hung_up: list[str] = []

        def rule(verb: str, arg: str) -> str | None:
            if verb == "MAIL" and len(hung_up) < 2:
                hung_up.append(arg)
                return HANG_UP
            return None

        server.rule = rule
        outcomes = await collect(channel, batch(4))
        assert {o.result for o in outcomes} == {Result.ACCEPTED}
        assert sorted(mail.rcpt for mail in server.mails) == [f"p{n}@cu.example" for n in range(4)]


async def test_a_goodbye_between_two_batches_is_noticed() -> None:
    async with Server() as server, channel_to(server, connections=2) as channel:
        await channel.open()
        server.say("421 4.4.2 idle too long")
        await asyncio.sleep(0.02)
        assert {o.result for o in await collect(channel, batch(4))} == {Result.ACCEPTED}
        assert server.connections == 4


async def test_421_is_temporary_and_the_next_mail_gets_a_new_connection() -> None:
    def rule(verb: str, arg: str) -> str | None:
        return "421 4.7.0 too many, closing" if verb == "RCPT" and "p1@" in arg else None

    async with Server(rule) as server, channel_to(server, connections=1) as channel:
        outcomes = await collect(channel, batch(3))
        assert [o.result for o in outcomes] == ["accepted", "temporary", "accepted"]
        assert outcomes[1].reason == "421 4.7.0"
        assert server.connections == 2


async def test_a_server_that_is_away_is_temporary_for_all_and_dialled_once() -> None:
    async with Server(lambda verb, arg: "421 4.3.2 busy") as server:
        async with channel_to(server, connections=1) as channel:
            outcomes = await collect(channel, batch(200))
        assert {(o.result, o.action) for o in outcomes} == {(Result.TEMPORARY, Action.NONE)}
        assert server.connections == 1


async def test_opening_does_not_raise_when_nobody_listens() -> None:
    channel = EmailChannel("smtp://127.0.0.1:1", SENDER, DOMAIN, "https://canhbao.example")
    await channel.open()
    (outcome,) = await collect(channel, batch(1))
    assert (outcome.result, outcome.reason) == (Result.TEMPORARY, "no connection")


@pytest.mark.parametrize(
    ("recipient", "result", "action"),
    [
        (Recipient(0, "x@y.example>\r\nRCPT TO:<z@y.example", "vi", "tok"), "permanent", "retire"),
        (Recipient(0, "no-address", "vi", "tok"), "permanent", "retire"),
        (Recipient(0, "x@y.example", "vi", "tok\r\nBcc: z@y.example"), "not_sent", "pause"),
        (Recipient(0, "x@y.example", "vi", ""), "not_sent", "pause"),
        (Recipient(0, "x@y.example", "fr", "tok"), "not_sent", "pause"),
    ],
)
async def test_nothing_unchecked_reaches_a_command_or_header(
    recipient: Recipient, result: str, action: str
) -> None:
    async with Server() as server, channel_to(server) as channel:
        (outcome,) = await collect(channel, Batch(CONTENTS, [recipient], EXPIRES, urgent=True))
        assert (outcome.result, outcome.action) == (result, action)
        assert server.connections == 0


async def test_a_subject_cannot_carry_a_header_of_its_own() -> None:
    content = EmailContent("Mưa to\r\nBcc: z@y.example\u2028X-Evil: 1", "text")
    async with Server() as server, channel_to(server) as channel:
        what = Batch({"vi": content}, batch(1).recipients, EXPIRES, urgent=True)
        await collect(channel, what)
        message = message_from_bytes(server.mails[0].data, policy=default)
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert message["Subject"] == "Mưa to Bcc: z@y.example X-Evil: 1"


@pytest.mark.parametrize(
    "text",
    ["a@b.vn", "an.nguyen+bao@mail.example", "o'brien@sub.cu.example", "x@xn--hni-1na0b.example"],
)
def test_good_addresses(text: str) -> None:
    assert valid_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b.vn",
        "a@b",
        "a@b.1",
        "a b@c.vn",
        "a@b.vn\n",
        "a@b.vn>",
        "<a@b.vn>",
        "a..b@c.vn",
        ".a@c.vn",
        "a.@c.vn",
        "a@-b.vn",
        "a@b..vn",
        '"a b"@c.vn',
        "a@[127.0.0.1]",
        "ă@b.vn",
        "a@hànội.vn",
        "x" * 65 + "@b.vn",
        "a@" + "b" * 64 + ".vn",
        "a@" + "b." * 126 + "vn",
    ],
)
def test_bad_addresses(text: str) -> None:
    assert not valid_address(text)


@pytest.mark.parametrize(
    ("url", "sender", "domain", "base_url", "connections"),
    [
        ("http://relay", SENDER, DOMAIN, "https://x.example", 8),
        ("smtp://", SENDER, DOMAIN, "https://x.example", 8),
        ("smtp://relay", "nobody", DOMAIN, "https://x.example", 8),
        ("smtp://relay", SENDER, "a b", "https://x.example", 8),
        ("smtp://relay", SENDER, DOMAIN, "https://x.example/\r\n", 8),
        ("smtp://relay", SENDER, DOMAIN, "https://x.example", 0),
        ("smtp://relay", SENDER, DOMAIN, "https://x.example", 51),
    ],
)
def test_bad_settings_are_refused_at_once(
    url: str, sender: str, domain: str, base_url: str, connections: int
) -> None:
    with pytest.raises(ValueError, match=r"mail|address"):
        EmailChannel(url, sender, domain, base_url, connections)
