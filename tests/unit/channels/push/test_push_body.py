"""What a phone is sent, as encoded."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from channels.base import Batch
from channels.push import PAYLOAD_BYTES, PushContent, payload_bytes, valid_address
from channels.push_body import Envelope

NOW = datetime(2026, 9, 5, 11, 0, tzinfo=UTC)
CONTENT = PushContent("Bão số 3: ở trong nhà", 'Gió giật "cấp 12".', {"url": "/alerts/x"})


def encode(
    address: str = "fid:fABCDEFGH-ijklmnop_qr",
    content: PushContent = CONTENT,
    *,
    tag: str = "0192-alert",
    urgent: bool = True,
    left: timedelta = timedelta(hours=2),
) -> dict:
    batch = Batch({"vi": content}, [], NOW + left, urgent, tag, sequence=7)
    return json.loads(Envelope(content, batch, NOW).addressed(address))["message"]


@pytest.mark.parametrize(
    "address",
    ["fid:fABCDEFGH-ijklmnop_qr", "token:dGhpcyBpcyBh:APA91bH-_x" + "y" * 120],
)
def test_an_address_of_the_right_alphabet_is_spliced_under_its_kind(address: str) -> None:
    assert valid_address(address)
    kind, _, value = address.partition(":")
    message = encode(address)
    assert message[kind] == value
    assert len({"fid", "token", "topic", "condition"} & message.keys()) == 1


@pytest.mark.parametrize(
    "address",
    [
        "",
        "fid:",
        "fid:short",
        "fABCDEFGHijklmnopqrst",
        'fid:fABCDEFGH"ijklmnopqr',
        "fid:fABCDEFGH\\ijklmnopqr",
        "fid:fABCDEFGHijklmnopqr\n",
        "fid:fABCDEFGHijklmnopqrs:x",
        "token:có dấu thanh",
        "topic:abcdefghijkl",
        "token:" + "x" * 513,
    ],
)
def test_an_address_that_could_break_the_message_is_refused(address: str) -> None:
    assert not valid_address(address)


def test_the_wording_survives_as_it_was_written() -> None:
    message = encode()
    assert message["notification"] == {"title": CONTENT.title, "body": CONTENT.body}


def test_every_message_carries_its_end_and_no_more() -> None:
    message = encode(left=timedelta(minutes=10, milliseconds=900))
    assert message["android"]["ttl"] == "600s"
    end = int((NOW + timedelta(minutes=10)).timestamp())
    assert message["apns"]["headers"]["apns-expiration"] == str(end)
    assert message["data"]["expires"] == "2026-09-05T11:10:00+00:00"


def test_a_far_end_is_cut_to_the_four_weeks_fcm_allows() -> None:
    assert encode(left=timedelta(days=90))["android"]["ttl"] == "2419200s"


def test_one_notification_per_alert_and_no_collapse_key() -> None:
    message = encode()
    assert message["android"]["notification"]["tag"] == "0192-alert"
    assert message["apns"]["headers"]["apns-collapse-id"] == "0192-alert"
    assert "collapse_key" not in message["android"]
    assert (
        message["data"] | {"url": "/alerts/x", "alert": "0192-alert", "sequence": "7"}
        == (message["data"])
    )


def test_without_a_tag_nothing_is_replaced() -> None:
    message = encode(tag="")
    assert "notification" not in message["android"]
    assert "apns-collapse-id" not in message["apns"]["headers"]


@pytest.mark.parametrize(
    ("urgent", "android", "apns"), [(True, "high", "10"), (False, "normal", "5")]
)
def test_priority(urgent: bool, android: str, apns: str) -> None:
    message = encode(urgent=urgent)
    assert message["android"]["priority"] == android
    assert message["apns"]["headers"]["apns-priority"] == apns
    assert ("payload" in message["apns"]) is urgent, "an iPhone stays silent without a sound"


@pytest.mark.parametrize(
    "data", [{"from": "x"}, {"google.sent": "x"}, {"gcm.x": "y"}, {"n": 1}], ids=str
)
def test_data_fcm_would_refuse_is_refused_before_it_is_sent(data: dict) -> None:
    with pytest.raises(ValueError, match="data"):
        encode(content=PushContent("a", "b", data))


def test_a_tag_apns_would_refuse_is_refused() -> None:
    assert encode(tag="ă" * 32)
    with pytest.raises(ValueError, match="64 bytes"):
        encode(tag="ă" * 32 + "x")


def test_payload_is_counted_in_bytes() -> None:
    assert payload_bytes(PushContent("ă", "b", {"k": "v"})) == 5
    assert payload_bytes(CONTENT) < PAYLOAD_BYTES
