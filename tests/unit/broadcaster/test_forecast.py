"""The forecast: counted by steps as they are sent, priced in parts, timed by limits and queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import forecast, policy_checks, wordings
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.forecast import Load
from broadcaster.alerts.pacing import Account, Line
from broadcaster.db import Conn, Pool
from broadcaster.fanout import carrying, channel_policy
from broadcaster.fanout.carrying import Can, Carrying
from broadcaster.fanout.channel_policy import HANOI, Policy, Version
from broadcaster.fanout.leaving import Leaving
from broadcaster.fanout.moves import Move, move
from broadcaster.keyring import Keyring
from broadcaster.people.second_addresses import second_addresses
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from channels.limits_rules import Rule, rate
from targeting.index import CHANNELS as BITS
from targeting.index import Counts
from templates.sms_text import measure
from tests.unit.broadcaster.city import alert, official
from tests.unit.broadcaster.sending import sending
from tests.unit.broadcaster.site import content as storm

NOON = datetime(2026, 9, 10, 5, 0, tzinfo=UTC)
PUSH, SMS, EMAIL = (BITS[channel] for channel in ("push", "sms", "email"))
PEOPLE = {0: 7, PUSH: 100, SMS: 30, PUSH | SMS: 500, EMAIL: 11, SMS | EMAIL: 2}
CASCADE: dict[str, Any] = {
    "steps": [
        {"channels": ["push", "email"]},
        {"channels": ["sms"], "to": "no_push"},
        {"channels": ["sms"], "to": "not_acknowledged", "after_minutes": 10},
    ],
    "sms_part_cost": 350,
}
RATES = {"push": 10_000.0, "sms": 100.0, "email": 10.0}
IDLE = Load({channel: [Account(rate)] for channel, rate in RATES.items()}, {})


def counts(by_set: dict[int, int], english: int = 0) -> Counts:
    people = sum(by_set.values())
    return Counts(
        people=people,
        by_channel={
            name: sum(n for held, n in by_set.items() if held & bit) for name, bit in BITS.items()
        },
        by_lang={"vi": people - english, "en": english},
        by_unit={},
        by_unit_only=0,
        by_set=by_set,
    )


def told(
    policy: dict[str, Any],
    load: Load = IDLE,
    *,
    found: Counts | None = None,
    alert_class: str = "warning",
) -> forecast.Forecast:
    version = Version("warning", 3, Policy.model_validate(policy), None, NOON)
    said = words(NOON, **{"class": alert_class})
    return forecast.foretell(said, found or counts(PEOPLE), version, load, NOON)


def words(now: datetime, **changes: Any) -> Content:
    return parse(storm(now, "storm", **changes))


def test_each_step_counts_those_it_is_for() -> None:
    made = told(CASCADE)
    assert [(one.channel, one.to, one.after, one.messages, one.at_most) for one in made.sends] == [
        ("push", "all", timedelta(0), 600, False),
        ("email", "all", timedelta(0), 13, False),
        ("sms", "no_push", timedelta(0), 32, False),
        ("sms", "not_acknowledged", timedelta(minutes=10), 500, True),
    ]


def test_parts_money_and_the_last_hand_off() -> None:
    parts = measure(words(NOON).wording["vi"].sms.text).parts
    made = {one.channel: one for one in told(CASCADE).channels}
    sms = made["sms"]
    assert (sms.messages, sms.parts, sms.cost) == (532, 532 * parts, 532 * parts * 350)
    # The first 32 are gone long before the others are due.
    assert sms.seconds == pytest.approx(600 + 500 * parts / 100)
    assert made["push"].seconds == pytest.approx(600 / 10_000)
    assert made["email"].cost == made["push"].cost == 0


def test_a_queue_comes_first_unless_it_is_less_urgent() -> None:
    busy = Load(IDLE.accounts, {"push": [1_000, 20_000, 500_000]})
    warning = told(CASCADE, busy).channels[0]
    assert warning.ahead == 21_000
    assert warning.seconds == pytest.approx(21_600 / 10_000)
    emergency = told(CASCADE, busy, alert_class="emergency").channels[0]
    assert emergency.ahead == 1_000
    assert emergency.seconds == pytest.approx(1_600 / 9_000)


def test_a_channel_without_a_usable_account_never_ends() -> None:
    down = Load({**IDLE.accounts, "push": []}, {})
    assert [one.seconds is None for one in told(CASCADE, down).channels] == [True, False, False]


@given(st.dictionaries(st.integers(0, 7), st.integers(0, 10_000)), st.permutations(list(BITS)))
def test_together_everybody_gets_every_channel_they_have(
    by_set: dict[int, int], channels: Sequence[str]
) -> None:
    found = counts(by_set)
    made = told({"steps": [{"channels": channels}]}, found=found)
    assert {one.channel: one.messages for one in made.sends} == found.by_channel


@given(st.dictionaries(st.integers(0, 7), st.integers(0, 10_000)))
def test_a_cascade_writes_to_nobody_twice_and_leaves_out_only_who_has_nothing(
    by_set: dict[int, int],
) -> None:
    found = counts(by_set)
    made = told(CASCADE, found=found)
    messages = dict.fromkeys(BITS, 0)
    for one in made.sends:
        messages[one.channel] += one.messages
    assert messages == found.by_channel


def test_what_is_too_dear_is_blocked_or_warned_of_as_the_policy_says() -> None:
    for over, blocks in (("advisory", False), ("blocking", True)):
        dear = told(CASCADE | {"cost_ceiling": 1_000, "over_ceiling": over})
        [problem] = policy_checks.check_cost(dear)
        assert (problem.code, problem.blocking) == ("over_cost_ceiling", blocks)
        assert "SMS" in problem.message_en
    assert list(policy_checks.check_cost(told(CASCADE))) == []
    assert list(policy_checks.check_cost(told(CASCADE | {"cost_ceiling": 10**9}))) == []


def test_quiet_hours_are_said_when_it_is_written() -> None:
    quiet = Policy.model_validate(CASCADE | {"quiet_hours": {"from": "21:00", "to": "06:00"}})
    night = datetime(2026, 9, 10, 23, 0, tzinfo=HANOI)
    late = words(night, **{"class": "information"})
    [held] = policy_checks.check_policy(late, quiet, night)
    assert (held.code, held.blocking) == ("held_by_quiet_hours", False)
    assert "06:00" in held.message_vi
    short = words(night, **{"class": "information"}).model_copy(
        update={"expires": night + timedelta(hours=6)}
    )
    [over] = policy_checks.check_policy(short, quiet, night)
    assert (over.code, over.blocking) == ("over_before_quiet_ends", True)
    assert list(policy_checks.check_policy(words(night), quiet, night)) == []


def test_channels_the_class_does_not_use_are_named() -> None:
    policy = Policy.model_validate({"steps": [{"channels": ["push"]}]})
    [unused] = policy_checks.check_policy(words(NOON), policy, NOON)
    assert (unused.code, unused.blocking) == ("channel_not_in_policy", False)
    [none] = policy_checks.check_policy(words(NOON, channels=["sms"]), policy, NOON)
    assert (none.code, none.blocking) == ("no_channel_of_policy", True)


def able(**can: Can) -> dict[str, Carrying]:
    every = dict.fromkeys(BITS, Can.SEND) | can
    return {channel: Carrying(one, (), one is Can.NEVER) for channel, one in every.items()}


@pytest.mark.parametrize(
    ("can", "found"),
    [
        ({}, []),
        ({"sms": Can.NEVER}, [("no_carrier_on_channel", False)]),
        ({"sms": Can.WAIT}, [("carrier_resting", False)]),
        (
            {"sms": Can.NEVER, "push": Can.WAIT},
            [("carrier_resting", False), ("no_carrier_on_channel", False)],
        ),
        ({"sms": Can.NEVER, "push": Can.NEVER}, [("no_carrier", True)]),
        ({"sms": Can.WAIT, "push": Can.WAIT}, [("carrier_resting", False)] * 2),
    ],
)
def test_a_channel_nothing_leaves_by_is_said_before_approval(
    can: dict[str, Can], found: list[tuple[str, bool]]
) -> None:
    """Only what no waiting can help holds the alert back: mail is not in this policy."""
    policy = Policy.model_validate({"steps": [{"channels": ["push", "sms"]}]})
    said = list(policy_checks.check_carriers(words(NOON), policy, able(email=Can.SEND, **can)))
    assert [(one.code, one.blocking) for one in said] == found
    assert list(policy_checks.check_carriers(words(NOON), policy, {})) == []


async def test_what_a_channel_can_do_is_read_from_its_accounts(conn: Conn) -> None:
    assert await carrying.carrying(conn, NOON) == {}
    await conn.execute(
        "INSERT INTO provider (channel, name, account, weight, setup, configured_at, breaker,"
        " switch) VALUES ('sms', 'main', '', 100, '{}', now(), 'closed', 'auto'),"
        " ('sms', 'spare', '', 0, '{}', now(), 'closed', 'auto'),"
        " ('push', 'fcm', '', 100, '{}', now(), 'open', 'auto')"
    )
    names = dict(await conn.fetch("SELECT provider_id, name FROM provider"))

    async def seen() -> dict[str, tuple[str, list[str]]]:
        found = await carrying.carrying(conn, NOON)
        return {
            channel: (one.can.value, [names[c.provider_id] for c in one.carriers])
            for channel, one in found.items()
        }

    assert await seen() == {"push": ("wait", []), "sms": ("send", ["main"]), "email": ("never", [])}
    await conn.execute("UPDATE provider SET switch = 'off' WHERE name IN ('main', 'fcm')")
    assert await seen() == {
        "push": ("never", []), "sms": ("send", ["spare"]), "email": ("never", []),
    }  # fmt: skip
    await conn.execute("UPDATE provider SET switch = 'on' WHERE name = 'fcm'")
    assert (await seen())["push"] == ("send", ["fcm"])


async def test_limits_are_those_of_the_accounts_that_can_be_used(conn: Conn) -> None:
    for name, weight, rules, switch, breaker in (
        ("one", 100, [[600, 60.0], [50, 1.0]], "auto", "closed"),
        ("two", 50, [[20, 1.0]], "auto", "closed"),
        ("out", 50, [[500, 1.0]], "auto", "open"),
        ("off", 50, [[500, 1.0]], "off", "closed"),
        ("standby", 0, [[500, 1.0]], "auto", "closed"),
    ):
        await conn.execute(
            "INSERT INTO provider (channel, name, account, weight, setup, configured_at, switch,"
            " breaker) VALUES ('sms', $1, '', $2, $3, now(), $4, $5)",
            name, weight, {"rules": rules}, switch, breaker,
        )  # fmt: skip
    assert await _per_second(conn) == pytest.approx(
        rate([Rule(600, 60), Rule(50, 1)]) + rate([Rule(20, 1)])
    )
    await conn.execute("UPDATE provider SET switch = 'off' WHERE weight > 0")
    assert await _per_second(conn) == pytest.approx(rate([Rule(500, 1)]))
    await conn.execute("UPDATE provider SET switch = 'off'")
    assert await _per_second(conn) == 0


async def test_an_account_that_is_in_nobody_s_settings_any_more_carries_nothing(conn: Conn) -> None:
    await conn.execute(
        "INSERT INTO provider (channel, name, account, setup, configured_at)"
        " VALUES ('sms', 'old', '', $1, $2), ('push', 'fcm', '', $1, $3)",
        {"rules": [[500, 1.0]]}, NOON - timedelta(hours=2), NOON,
    )  # fmt: skip
    assert await _per_second(conn) == 0


async def _per_second(conn: Conn) -> float:
    return Line((await forecast.load(conn, NOON)).accounts["sms"]).per_second


async def test_a_follow_up_is_heard_where_it_does_not_go_by_those_it_reached_nowhere_else() -> None:
    push_only = words(NOON, channels=["push"])
    version = Version("warning", 3, Policy.model_validate(CASCADE), None, NOON)
    heard = {"email": 500, "push": 600, "sms": 20}
    made = forecast.foretell(push_only, counts(PEOPLE), version, IDLE, NOON, heard)
    assert [(one.channel, one.to, one.messages, one.at_most) for one in made.sends] == [
        ("push", "all", 600, False),
        # Eleven have mail alone and two have an SMS beside it; of 32 with an SMS 20 were reached.
        ("email", "listed", 13, True),
        ("sms", "listed", 20, True),
    ]
    assert made.cost == 20 * measure(push_only.wording["vi"].sms.text).parts * 350


def test_those_an_update_leaves_out_are_counted_apart() -> None:
    said = words(NOON)
    said = wordings.with_difference(said, said)
    version = Version("warning", 3, Policy.model_validate(CASCADE), None, NOON)
    without = forecast.foretell(said, counts(PEOPLE), version, IDLE, NOON)
    gone = Leaving(1_300, {"push": 1_000, "sms": 400})
    made = forecast.foretell(said, counts(PEOPLE), version, IDLE, NOON, leaving=gone)
    assert (without.left, made.left) == (0, 1_300)
    parts = measure(said.left_wording["vi"].sms.text).parts
    assert [(one.channel, one.messages, one.parts) for one in made.sends if one.left] == [
        ("push", 1_000, 1_000), ("sms", 400, 400 * parts),
    ]  # fmt: skip
    assert made.cost == without.cost + 400 * parts * 350
    before, after = ({one.channel: one for one in told.channels} for told in (without, made))
    assert after["push"].messages == before["push"].messages + 1_000
    assert (after["sms"].seconds or 0) > (before["sms"].seconds or 0)


async def test_what_the_line_before_reached_is_counted_by_channel(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    author = await official(conn, "author")
    first = await sending(conn, keyring, author, code="A", channel="sms", count=5)
    await move(conn, NOON, first.alert_id, [Move(one, "handed_off") for one in first.endpoint_ids])
    await move(conn, NOON, first.alert_id, [Move(first.endpoint_ids[0], "failed", "x")])
    later = await alert(
        conn, author, 1, code="B", kind="update", predecessor_id=first.alert_id,
        root_id=first.alert_id, sequence=2,
    )  # fmt: skip
    assert await forecast.heard_before(conn, later) == {"sms": 4}
    assert await forecast.heard_before(conn, first.alert_id) == {}


async def test_the_policy_in_force_is_the_one_foretold(conn: Conn) -> None:
    made = await forecast.forecast(conn, NOON, words(NOON), counts(PEOPLE))
    version = await channel_policy.in_force(conn, "warning")
    assert (made.policy_version, made.ceiling) == (1, version.policy.cost_ceiling)
    assert {one.channel: one.messages for one in made.channels} == counts(PEOPLE).by_channel


async def test_no_more_is_sent_than_was_foretold_of_a_city_with_second_phones(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await synth(pool, keyring, units, NOON, 1_500)
    load = Load(IDLE.accounts, {}, second=await second_addresses(conn))
    rows = await conn.fetch(
        "SELECT p.person_id % 7 AS part, l.person_id, e.endpoint_id, e.channel::text AS channel"
        " FROM person p JOIN person_endpoint l USING (person_id) JOIN endpoint e"
        " USING (endpoint_id) WHERE e.state = 'active'"
    )
    assert load.second["sms"] > 0
    for part in range(7):
        held: dict[int, int] = {}
        for row in rows:
            if row["part"] == part:
                held[row["person_id"]] = held.get(row["person_id"], 0) | BITS[row["channel"]]
        made = told({"steps": [{"channels": ["sms"]}]}, load, found=counts(Counter(held.values())))
        numbers = {r["endpoint_id"] for r in rows if (r["part"], r["channel"]) == (part, "sms")}
        assert made.channels[0].messages >= len(numbers)
        assert made.channels[0].messages <= 1.35 * len(numbers)
