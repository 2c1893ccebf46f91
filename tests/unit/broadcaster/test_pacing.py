"""How long carriers take, held against the rules their limiter keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts.pacing import Account, Line, account_of
from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people.domains import mail_domains
from broadcaster.processes.accounts import PUSH_RULES
from channels.limits_rules import Ramp, Rule, rate

FCM = {"rules": [[rule.most, rule.seconds] for rule in PUSH_RULES], "ramp": True}


def one_by_one(messages: int, rules: tuple[Rule, ...], ramp: Ramp, share: float) -> float:
    """Give every permission at its moment, as the limiter does: evenly spaced while it climbs."""
    at, full = 0.0, rate(rules)
    for _ in range(messages):
        at += 1 / (full * min(1.0, share + (1 - ramp.first) * at / ramp.seconds))
    return at


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("messages", [1_000, 20_000, 60_000])
def test_a_climb_takes_as_long_as_its_permissions_one_by_one(messages: int, share: float) -> None:
    rules = (Rule(60_000, 60.0), Rule(900, 1.0))
    setup = {"rules": [[rule.most, rule.seconds] for rule in rules], "ramp": True}
    told = Line([account_of(setup, share)]).takes(messages)
    assert told == pytest.approx(one_by_one(messages, rules, Ramp(), share), rel=0.01)


def test_a_city_of_a_million_and_a_half_by_push() -> None:
    """Six tenths of the rate on average in the first minute, all of it after that."""
    full = rate(PUSH_RULES)
    assert full == pytest.approx(9_615, abs=1)
    assert Line([account_of(FCM, None)]).takes(1_500_000) == pytest.approx(180, abs=1)
    assert Line([account_of(FCM, 1.0)]).takes(1_500_000) == pytest.approx(1_500_000 / full)


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from([1.0, 10.0, 60.0])), min_size=1,
             max_size=3),
    st.floats(0.05, 1.0),
)  # fmt: skip
def test_no_window_is_promised_more_than_its_rule_allows(
    rules: list[tuple[int, float]], share: float
) -> None:
    for ramp in (True, False):
        line = Line([account_of({"rules": [list(one) for one in rules], "ramp": ramp}, share)])
        for most, seconds in rules:
            assert line.takes(most + 1) > seconds


def test_what_was_idle_for_long_climbs_again() -> None:
    line = Line([account_of(FCM, 1.0)])
    line.start(30)
    assert line.takes(9_615) == pytest.approx(1, abs=0.01), "half a minute is no pause"
    line.start(600)
    assert line.takes(9_615) == pytest.approx(1 / 0.2, rel=0.2)
    line.send(9_615)
    assert line.at == pytest.approx(604.7, abs=0.5)


def test_one_domain_s_limit_holds_up_its_own_mail() -> None:
    setup = {"rules": [[100, 1.0]], "groups": {"big.example": [[10, 1.0]]},
             "other_groups": [[50, 1.0]]}  # fmt: skip
    line = Line([account_of(setup, None)])
    all_of = rate([Rule(100, 1)])
    assert line.takes(1_000) == pytest.approx(1_000 / all_of)
    half = {"big.example": 0.5, "other.example": 0.5}
    assert line.takes(1_000, half) == pytest.approx(500 / rate([Rule(10, 1)]))
    little = {"big.example": 0.01, "other.example": 0.1}
    assert line.takes(1_000, little) == pytest.approx(1_000 / all_of)
    # A second account has limits of its own.
    assert Line([account_of(setup, None)] * 2).takes(1_000, half) == pytest.approx(
        250 / rate([Rule(10, 1)])
    )


def test_without_an_account_nothing_ever_leaves() -> None:
    assert Line([]).takes(1) == math.inf
    assert Line([Account(5.0)]).takes(0) == 0


async def test_where_mail_goes_is_told_from_the_addresses(conn: Conn, keyring: Keyring) -> None:
    assert await mail_domains(conn, keyring) == {}
    for number in range(8):
        domain = "Big.example" if number % 4 else "other.example"
        address = f"nguoi{number}@{domain}"
        await conn.execute(
            "INSERT INTO endpoint (endpoint_id, channel, state, hash_key_id, address_hash,"
            " address_enc, created_at) VALUES ($1, 'email', 'active', $2, $3, $4, now())",
            number, keyring.key_id, keyring.address_hash("email", address),
            keyring.seal(address.encode(), "endpoint", "address_enc", number),
        )  # fmt: skip
    assert await mail_domains(conn, keyring) == {"big.example": 0.75, "other.example": 0.25}
    # An address whose key is gone says nothing, and takes nothing away.
    await conn.execute("UPDATE endpoint SET address_enc = 'x' WHERE endpoint_id = 0")
    assert set(await mail_domains(conn, keyring)) == {"big.example", "other.example"}
