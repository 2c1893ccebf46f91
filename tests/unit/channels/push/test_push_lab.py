"""The local FCM: its rates, its phones, its keys and how it refuses."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyreqwest.client import ClientBuilder

from channels.base import Action
from channels.lab import certs, phones, store
from channels.push import PushChannel
from channels.push_token import Tokens
from tests.unit.channels.push.lab import (
    CONTENTS,
    Lab,
    batch,
    people,
    send,
)


async def test_rates_are_what_was_set(lab: Lab, push: PushChannel) -> None:
    await lab.set(error_rate=0.2, throttle_rate=0.2)
    outcomes = await send(push, batch(people(1000)))
    reasons = [one.reason for one in outcomes]
    assert 100 < reasons.count("UNAVAILABLE") < 300
    assert 100 < reasons.count("QUOTA_EXCEEDED") < 300
    assert {one.action for one in outcomes} == {Action.NONE}


async def test_the_same_phones_are_unregistered_every_time(lab: Lab, push: PushChannel) -> None:
    await lab.set(unregistered_rate=0.3)
    recipients = people(200)
    dead = []
    for _ in range(2):
        outcomes = await send(push, batch(recipients))
        dead.append({one.ref for one in outcomes if one.action is Action.RETIRE})
    assert dead[0] == dead[1]
    assert 30 < len(dead[0]) < 90


async def test_phones_show_the_newest_and_wait_while_away(lab: Lab, push: PushChannel) -> None:
    near, away = people(2)
    phones.switch(lab.conn, away.address, False, datetime.now(UTC))
    for sequence in (2, 1):
        await send(push, batch([near, away], tag="root", sequence=sequence))
    store.settle(lab.conn)
    now = datetime.now(UTC)
    (shown,) = phones.screen(lab.conn, near.address, now)
    assert (shown.sequence, shown.tag) == (2, "root")
    assert phones.screen(lab.conn, away.address, now) == []
    phones.switch(lab.conn, away.address, True, now)
    (shown,) = phones.screen(lab.conn, away.address, now)
    assert (shown.sequence, shown.title) == (2, CONTENTS["vi"].title)


async def test_a_phone_switched_on_after_the_end_shows_nothing(lab: Lab, push: PushChannel) -> None:
    (recipient,) = people(1)
    phones.switch(lab.conn, recipient.address, False, datetime.now(UTC))
    sent = batch([recipient], left=timedelta(seconds=30))
    await send(push, sent)
    store.settle(lab.conn)
    phones.switch(lab.conn, recipient.address, True, sent.expires)
    assert phones.screen(lab.conn, recipient.address, sent.expires) == []


async def test_some_phones_are_off_when_first_seen(lab: Lab, push: PushChannel) -> None:
    await lab.set(offline_rate=0.5)
    recipients = people(100)
    await send(push, batch(recipients))
    store.settle(lab.conn)
    now = datetime.now(UTC)
    dark = [one for one in recipients if not phones.screen(lab.conn, one.address, now)]
    assert 20 < len(dark) < 80
    phones.switch(lab.conn, dark[0].address, True, now)
    assert len(phones.screen(lab.conn, dark[0].address, now)) == 1


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = certs.prepare(tmp_path, 1000)
    before = {path: path.read_bytes() for path in (first.ca, first.certificate, first.key)}
    account = json.loads(first.credentials.read_text())
    again = certs.prepare(tmp_path, 2000)
    assert {path: path.read_bytes() for path in before} == before
    moved = json.loads(again.credentials.read_text())
    assert moved == account | {"token_uri": "https://127.0.0.1:2000/token"}
    assert {path.stat().st_mode & 0o777 for path in (first.key, first.credentials)} == {0o600}


async def post(lab: Lab, path: str, body: bytes, bearer: str = "") -> tuple[int, dict]:
    client = ClientBuilder().add_root_certificate_pem(lab.files.ca.read_bytes()).build()
    request = client.post(f"https://127.0.0.1:{lab.port}{path}").body_bytes(body)
    answer = await request.bearer_auth(bearer).build().send()
    return answer.status, json.loads(bytes(await answer.bytes()))


SEND = f"/v1/projects/{certs.PROJECT}/messages:send"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"[]", "message"),
        (b'{"message": {"notification": {}}}', "message"),
        (b'{"message": {"fid": "a", "token": "b"}}', "message"),
        (b'{"message": {"fid": 7}}', "message.token"),
        (b'{"message": {"fid": "a", "android": 1}}', "message.android"),
        (b'{"message": {"fid": "a", "android": {"ttl": "-1s"}}}', "message.android.ttl"),
        (b'{"message": {"fid": "a", "android": {"ttl": 60}}}', "message.android.ttl"),
        (b'{"message": {"fid": "a", "android": {"ttl": "2419201s"}}}', "message.android.ttl"),
        (b'{"message": {"fid": "a", "data": {"n": 1}}}', "message.data[n].value"),
        (b'{"message":{"fid":"a","android":{"priority":"loud"}}}', "message.android.priority"),
    ],
)
async def test_a_malformed_message_is_refused_as_fcm_would(
    lab: Lab, body: bytes, field: str | None
) -> None:
    bearer = await Tokens(lab.files.credentials, lab.files.ca.read_bytes()).bearer()
    status, answer = await post(lab, SEND, body, bearer)
    error = answer["error"]
    assert (status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["errorCode"] == "INVALID_ARGUMENT"
    fields = [
        row["field"] for detail in error["details"] for row in detail.get("fieldViolations", [])
    ]
    assert fields == ([field] if field else [])


async def test_a_message_in_another_order_or_with_escapes_is_read_alike(
    lab: Lab, push: PushChannel
) -> None:
    bearer = await Tokens(lab.files.credentials, lab.files.ca.read_bytes()).bearer()
    (one,) = people(1)
    value = one.address.removeprefix("fid:")
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in value)
    for body in (
        f'{{"message":{{"fid":"{value}","notification":{{"title":"x"}}}}}}',
        f'{{"message": {{"notification": {{"title": "x"}}, "fid": "{escaped}"}}}}',
    ):
        status, answer = await post(lab, SEND, body.encode(), bearer)
        assert (status, list(answer)) == (200, ["name"])
    assert [row["title"] for row in await lab.received(one.address)] == ["x", "x"]


@pytest.mark.parametrize("bearer", ["", "ya29.not-one-of-ours"])
async def test_without_a_token_nothing_is_taken(lab: Lab, bearer: str) -> None:
    (one,) = people(1)
    body = f'{{"message":{{"fid":"{one.address.removeprefix("fid:")}","data":{{}}}}}}'
    status, answer = await post(lab, SEND, body.encode(), bearer)
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert await lab.received(one.address) == []


async def test_another_project_is_not_here(lab: Lab) -> None:
    status, answer = await post(lab, "/v1/projects/other/messages:send", b"{}")
    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")
