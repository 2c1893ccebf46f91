"""A person's record: the words, where they went, and a proof that notices what was touched."""

from __future__ import annotations

import hashlib
import io
import json
from argparse import Namespace
from datetime import timedelta

import pytest

from broadcaster.alerts import lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.cli import records
from broadcaster.cli.context import Context
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import addressees, record, retention
from broadcaster.fanout.addressees import Search
from broadcaster.fanout.record import BROKEN, HOLDS, Record
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Role
from tests.unit.broadcaster.city import BA_DINH, official, unit_id
from tests.unit.broadcaster.test_fanout_why import AREA, INSIDE, MAIL, NUMBER, Desk, desk, sms

__all__ = ["desk"]


async def made(desk: Desk, alert: Alert, address: str = "0912 345 678") -> Record:
    return await record.show(
        desk.conn, desk.site.keyring, desk.site.selector, desk.staff, desk.site.now,
        alert.code, address=address,
    )  # fmt: skip


async def sent(desk: Desk) -> Alert:
    """An alert to somebody with a number and a mail address; the number answered at the second."""
    await desk.person(sms(), Address("email", MAIL), home=INSIDE)
    alert = await desk.alert(AREA)
    provider = await desk.conn.fetchval(
        "INSERT INTO provider (channel, name, account) VALUES ('sms', 'Viễn Thông', 'hn1')"
        " RETURNING provider_id"
    )
    endpoint = await desk.conn.fetchval("SELECT endpoint_id FROM endpoint WHERE channel = 'sms'")
    for number, result, reason in ((1, "temporary", "0x58"), (2, "accepted", None)):
        await desk.conn.execute(
            "INSERT INTO attempt VALUES ($1, $2, $3, $4, $5, 7, $6, $7)",
            alert.alert_id, endpoint, number, desk.site.now + timedelta(seconds=number), provider,
            result, reason,
        )  # fmt: skip
    await desk.conn.execute(
        "UPDATE delivery SET state = CASE channel WHEN 'sms' THEN 'confirmed' ELSE 'handed_off' END"
        "::delivery_state, attempts = 2, updated_at = $1", desk.site.now,
    )  # fmt: skip
    await desk.conn.execute("UPDATE progress SET handed_off = pending, pending = 0")
    return alert


async def test_the_very_words_the_tries_and_the_account_are_told_and_proven(desk: Desk) -> None:
    alert = await sent(desk)
    found = await made(desk, alert)
    assert found.proven
    approved = await lifecycle.snapshot(desk.conn, alert.alert_id)
    assert found.chain.content_hash == approved.content_hash.hex()
    [person] = found.people
    assert person.why is not None
    assert (person.why.in_audience, person.why.because) == (True, "place")
    text, mail = person.sent
    assert (text.address, text.lang, text.wording, text.state) == ("…678", "vi", 0, "confirmed")
    assert text.said == (approved.content.wording["vi"].sms.text,)
    assert text.said_hash == hashlib.sha256(text.said[0].encode()).hexdigest()
    assert [(t.number, t.provider, t.result, t.reason) for t in text.tries] == [
        (1, "Viễn Thông (hn1)", "temporary", "0x58"),
        (2, "Viễn Thông (hn1)", "accepted", None),
    ]
    assert mail.address == "l…@dan.example"
    assert mail.said[0] == approved.content.wording["vi"].email.subject
    assert {one.proof for one in person.sent} == {HOLDS}
    trail = await desk.conn.fetchrow("SELECT detail FROM audit WHERE action = 'alert.record_shown'")
    assert trail is not None
    assert trail["detail"]["by"] == "address"
    assert NUMBER[3:] not in str(trail["detail"])


async def test_it_says_the_same_from_the_archive(desk: Desk) -> None:
    alert = await sent(desk)
    before = await made(desk, alert)
    await desk.conn.execute("UPDATE alert SET state = 'expired', expires = $1",
                            desk.site.now - timedelta(days=8))  # fmt: skip
    await desk.conn.execute("UPDATE batch SET state = 'done'")
    assert await retention.pack_settled(desk.site.pool, desk.site.now) == 1
    await desk.conn.execute("DELETE FROM delivery")
    after = await made(desk, alert)
    assert after.people[0].sent == before.people[0].sent
    assert after.proven
    assert (after.chain.batches, after.chain.batches_unproven) == (2, 0)
    await desk.conn.execute("UPDATE archive_block SET facts = facts || 'x'")
    with pytest.raises(Refused) as refused:
        await made(desk, alert)
    assert refused.value.code == "archive_broken"


@pytest.mark.parametrize(
    ("touched", "content", "audience", "proofs"),
    [
        ("UPDATE batch SET endpoint_ids = endpoint_ids || 99999::bigint WHERE channel = 'sms'",
         HOLDS, HOLDS, {BROKEN, HOLDS}),
        ("UPDATE alert_snapshot SET canonical = canonical || ' '::bytea", BROKEN, HOLDS, {HOLDS}),
        ("UPDATE audience SET chain_hash = sha256(chain_hash)", HOLDS, BROKEN, {BROKEN}),
    ],
)  # fmt: skip
async def test_what_was_touched_is_said(
    desk: Desk, touched: str, content: str, audience: str, proofs: set[str]
) -> None:
    alert = await sent(desk)
    await desk.conn.execute("SET session_replication_role = replica")
    await desk.conn.execute(touched)
    found = await made(desk, alert)
    assert not found.proven
    assert (found.chain.content, found.chain.audience) == (content, audience)
    assert {one.proof for one in found.people[0].sent} == proofs
    if content == BROKEN:
        assert {one.said for one in found.people[0].sent} == {()}


async def test_operators_get_it_at_the_command_line(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = await sent(desk)
    site = desk.site
    context = Context(site.settings, site.pool, site.keyring, "", "")
    given = Namespace(alert=alert.code, address="-", as_json=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("0912 345 678\n"))
    assert await records.print_record(context, given) == 0
    printed = capsys.readouterr().out
    assert "proof: every link holds" in printed
    assert "2. " in printed
    assert "…678  confirmed" in printed
    given.as_json, given.address = True, NUMBER
    await desk.conn.execute("UPDATE batch SET endpoint_ids = '{7}' || endpoint_ids")
    assert await records.print_record(context, given) == 1
    assert json.loads(capsys.readouterr().out)["proven"] is False
    assert await records.print_received(context, given) == 0
    assert alert.code in capsys.readouterr().out
    details = await desk.conn.fetch(
        "SELECT detail FROM audit WHERE official_id IS NULL AND action LIKE '%\\_shown'"
    )
    assert [row["detail"]["at"] for row in details] == ["command line"] * 3


async def test_an_endpoint_nobody_is_behind_any_more_still_has_its_record(desk: Desk) -> None:
    alert = await sent(desk)
    await desk.conn.execute("DELETE FROM person_endpoint")
    found = await made(desk, alert)
    [alone] = found.people
    assert (alone.why, found.nobody is not None) == (None, True)
    assert [one.channel for one in alone.sent] == ["sms"]
    assert found.proven


async def test_only_those_of_the_issuing_unit_and_only_once_it_began(desk: Desk) -> None:
    waiting = await desk.alert(AREA, sent=False)
    await desk.person(sms(), home=INSIDE)
    with pytest.raises(Refused) as refused:
        await made(desk, waiting)
    assert refused.value.code == "not_begun"
    alert = await desk.alert(AREA)
    ward = await official(desk.conn, "xa", Role("staff", await unit_id(desk.conn, BA_DINH)))
    desk.staff = ward
    with pytest.raises((NotAllowed, NotFound)):
        await made(desk, alert)
    with pytest.raises((NotAllowed, NotFound)):
        await addressees.of_alert(
            desk.conn, desk.site.keyring, ward, desk.site.now, alert.code, Search()
        )
    _, page = await record.what_received(
        desk.conn, desk.site.keyring, ward, desk.site.now, address=NUMBER
    )
    assert page.alerts == ()


async def test_what_somebody_received_is_listed_newest_first_page_by_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcaster.fanout.received.PAGE", 2)
    await desk.person(sms(), Address("email", MAIL), home=INSIDE)
    codes = []
    for _ in range(3):
        codes.append((await desk.alert(AREA)).code)
        desk.site.later(minutes=1)
    codes.reverse()
    found, before = [], None
    while True:
        _, page = await record.what_received(
            desk.conn, desk.site.keyring, desk.staff, desk.site.now, address=MAIL, before=before
        )
        found += [one.code for one in page.alerts]
        assert all(len(one.deliveries) == 2 for one in page.alerts)
        before = page.before
        if before is None:
            break
    assert found == codes


async def test_recipients_are_searched_by_channel_and_state_and_audited(desk: Desk) -> None:
    alert = await sent(desk)
    args = desk.conn, desk.site.keyring, desk.staff, desk.site.now, alert.code
    page = await addressees.of_alert(*args, Search())
    assert sorted(one.address for one in page.found) == ["l…@dan.example", "…678"]
    page = await addressees.of_alert(*args, Search(channel="sms"))
    assert [one.address for one in page.found] == ["…678"]
    with pytest.raises(Refused, match="fax"):
        await addressees.of_alert(*args, Search(channel="fax"))
    with pytest.raises(Refused, match="lost"):
        await addressees.of_alert(*args, Search(state="lost"))
    seen = await desk.conn.fetchval(
        "SELECT count(*) FROM audit WHERE action = 'alert.recipients_shown'"
    )
    assert seen == 2
