"""What a mail server's answers are called: every row of the tables, over real sockets."""

from __future__ import annotations

import pytest

from channels.base import Action, Outcome, Result
from channels.email_errors import BEFORE_RECIPIENT, CODES, ENHANCED
from tests.unit.channels.email_batch import batch, channel_to, collect, send_one
from tests.unit.channels.email_server import Server


def answer(code: int, status: str = "") -> str:
    return f"{code} {status} p0@cu.example says no".replace("  ", " ")


@pytest.mark.parametrize("status", [*ENHANCED, "5.7.0", "5.7.1", "5.7.26", "5.7.508"])
async def test_every_enhanced_code_means_what_the_table_says(status: str) -> None:
    result, action = ENHANCED.get(status, (Result.TEMPORARY, Action.PAUSE))
    async with Server(lambda verb, arg: answer(550, status) if verb == "RCPT" else None) as server:
        outcome = await send_one(server)
    assert outcome == Outcome(0, result, f"550 {status}", action=action)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("verb", ["RCPT", "BODY"])
async def test_every_bare_code_means_what_the_table_says(code: int, verb: str) -> None:
    async with Server(lambda said, arg: answer(code) if said == verb else None) as server:
        outcome = await send_one(server)
    assert outcome == Outcome(0, CODES[code][0], str(code), action=CODES[code][1])


@pytest.mark.parametrize("code", BEFORE_RECIPIENT)
async def test_a_refusal_before_the_recipient_is_named_is_about_us(code: int) -> None:
    async with Server(lambda verb, arg: answer(code) if verb == "MAIL" else None) as server:
        assert (await send_one(server)).action is Action.PAUSE
    status = answer(code, "5.1.1")
    async with Server(lambda verb, arg: status if verb == "MAIL" else None) as server:
        assert (await send_one(server)).action is Action.PAUSE


@pytest.mark.parametrize(
    ("reply", "result", "action"),
    [
        ("550 5.1.1 unknown", Result.PERMANENT, Action.RETIRE),
        ("550 5.7.1 policy", Result.TEMPORARY, Action.PAUSE),
        ("552 5.2.2 mailbox full", Result.TEMPORARY, Action.NONE),
        ("452 4.2.2 mailbox full", Result.TEMPORARY, Action.NONE),
        ("450 4.7.1 greylisted", Result.TEMPORARY, Action.NONE),
        ("550 4.1.1 classes disagree", Result.PERMANENT, Action.NONE),
        ("550 rejected, see 5.1.1 of our rules", Result.PERMANENT, Action.NONE),
        ("599 never heard of", Result.PERMANENT, Action.NONE),
        ("499 never heard of", Result.TEMPORARY, Action.NONE),
        ("299 not an answer to this", Result.TEMPORARY, Action.NONE),
    ],
)
async def test_answers_outside_the_table(reply: str, result: Result, action: Action) -> None:
    async with Server(lambda verb, arg: reply if verb == "RCPT" else None) as server:
        outcome = await send_one(server)
    assert (outcome.result, outcome.action) == (result, action)


async def test_a_refused_recipient_harms_no_other_on_the_connection() -> None:
    def rule(verb: str, arg: str) -> str | None:
        return "550 5.1.1 unknown" if verb == "RCPT" and "p1@" in arg else None

    for extensions in (("PIPELINING",), ("HELP",)):
        async with Server(rule, extensions) as server, channel_to(server, 1) as channel:
            outcomes = await collect(channel, batch(3))
            assert [o.result for o in outcomes] == ["accepted", "permanent", "accepted"]
            assert [mail.rcpt for mail in server.mails] == ["p0@cu.example", "p2@cu.example"]
            assert server.connections == 1


async def test_a_server_that_wants_a_body_nobody_may_have_gets_none() -> None:
    def rule(verb: str, arg: str) -> str | None:
        return {"RCPT": "550 5.1.1 unknown", "DATA": "354 go on"}.get(verb)

    async with Server(rule) as server:
        assert (await send_one(server)).action is Action.RETIRE
        assert "BODY" not in server.verbs


async def test_a_pause_ends_the_batch() -> None:
    rule = lambda verb, arg: "550 5.7.1 policy" if verb == "RCPT" else None  # noqa: E731
    async with Server(rule) as server, channel_to(server, connections=2) as channel:
        outcomes = await collect(channel, batch(30))
        paused = [o for o in outcomes if o.action is Action.PAUSE]
        assert 1 <= len(paused) <= 2
        rest = {(o.result, o.reason) for o in outcomes if o not in paused}
        assert rest == {(Result.NOT_SENT, "paused: 550 5.7.1")}
