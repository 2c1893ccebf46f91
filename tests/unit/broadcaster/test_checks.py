"""Rules that hold a draft back, asked one by one."""

from __future__ import annotations

import pytest

from broadcaster.alerts import approval, draft, wordings
from broadcaster.alerts.checks import check_audience, check_content, run
from broadcaster.alerts.content import parse
from broadcaster.alerts.sent_words import check_follow_ups
from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.people.officials import Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from broadcaster.web import i18n
from broadcaster.web.console import follow_up_form
from targeting.index import Counts
from tests.unit.broadcaster.city import NOW, official, unit_id
from tests.unit.broadcaster.site import content as storm


def counts(people: int) -> Counts:
    return Counts(people=people, by_channel={}, by_lang={}, by_unit={}, by_unit_only=0)


@pytest.mark.parametrize(
    ("kind", "alert_class", "blocks"),
    [
        ("alert", "emergency", True),
        ("alert", "warning", True),
        ("alert", "information", False),
        ("update", "warning", False),
    ],
)
def test_nobody_inside_holds_back_a_first_warning_only(
    kind: str, alert_class: str, blocks: bool
) -> None:
    [found] = check_audience(counts(0), kind, alert_class)
    assert (found.code, found.blocking) == ("no_one_inside", blocks)


def test_one_person_is_enough() -> None:
    assert list(check_audience(counts(1), "alert", "emergency")) == []


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("variant", ["update_wording", "left_wording"])
def test_words_that_are_missing_are_named_by_their_heading_on_the_form(
    variant: str, lang: str
) -> None:
    content = wordings.update_of(parse(storm(NOW)))
    words = {one: text for one, text in getattr(content, variant).items() if one != lang}
    found = list(check_follow_ups(content.model_copy(update={variant: words}), "update"))
    [missing] = [one for one in found if one.code == "variant_missing"]
    assert (missing.blocking, missing.field) == (True, f"{variant}.{lang}")
    heading = follow_up_form.NAMES[variant]
    assert heading in missing.message_en
    assert i18n.catalogue("vi").gettext(heading) in missing.message_vi
    assert {"vi": "Vietnamese", "en": "English"}[lang] in missing.message_en


async def test_what_could_leave_by_no_channel_is_not_approved(
    conn: Conn, pool: Pool, units: UnitMap
) -> None:
    ward = await unit_id(conn, "00004")
    author = await official(conn, "lan", Role("author", ward))
    approver = await official(conn, "minh", Role("approver", ward))
    made = await draft.create(
        conn, author, NOW, parse(storm(NOW, **{"class": "information"})), ward
    )
    await conn.execute(
        "INSERT INTO provider (channel, name, account, setup, configured_at)"
        " SELECT unnest('{push,sms,email}'::channel[]), 'main', '', $1, now()",
        {"rules": [[10, 1.0]]},
    )
    checked = await run(conn, author, NOW, made.alert_id, Selector())
    assert not checked.blocked
    await approval.submit(conn, author, NOW, made.alert_id, made.version)
    # Between the check and the approval somebody switches everything off.
    await conn.execute("UPDATE provider SET switch = 'off'")
    with pytest.raises(Refused) as refused:
        await approval.approve(conn, approver, NOW, made.alert_id, made.version)
    assert refused.value.code == "no_carrier"
    assert "switch" in refused.value.message("en")
    found = await check_content(conn, author, NOW, parse(storm(NOW)), ward, Selector(), made)
    stuck = [one.code for one in found.problems if one.blocking and one.field == "channels"]
    assert stuck == ["no_carrier"]
    await conn.execute("UPDATE provider SET switch = 'auto' WHERE channel = 'email'")
    approved = await approval.approve(conn, approver, NOW, made.alert_id, made.version)
    assert approved.state == "approved"
