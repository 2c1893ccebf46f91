from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Action, Result
from channels.sms_errors import (
    MESSAGE_STATE,
    RECEIPT_STATE,
    RINVDSTADR,
    RINVPASWD,
    RINVSRCADR,
    RMSGQFUL,
    RTHROTTLED,
    ReceiptState,
    judge,
)
from channels.sms_pdu import (
    RawPdu,
    decode_text,
    is_receipt,
    join_parts,
    parse_receipt,
    part_of,
)
from channels.sms_text import encode

NOW = datetime(2026, 9, 7, 4, 5, 6, 789012, tzinfo=UTC)


def pdu(message: bytes = b"", tlvs: dict[int, bytes] | None = None, **fields: int) -> RawPdu:
    wire = smpp34.DeliverSm(
        "84912345678",
        "1022",
        message,
        source_addr_ton=1,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in (tlvs or {}).items()],
        sequence_number=9,
        **fields,
    ).encode()
    return RawPdu.from_wire(wire, NOW)


def parts_of(text: str) -> list[RawPdu]:
    message = encode(text)
    return [
        pdu(part, esm_class=message.esm_class, data_coding=message.data_coding)
        for part in message.parts
    ]


def test_a_pdu_is_stored_and_read_back_as_it_came() -> None:
    came = pdu(b"\x05\x00\x03\x01\x02\x01xin chao", {0x1400: b"\x00vendor"}, esm_class=0x40)
    assert (came.source, came.destination, came.sequence) == ("+84912345678", "1022", 9)
    assert came.tlv(0x1400) == b"\x00vendor"
    assert RawPdu.from_bytes(came.to_bytes()) == came


def test_what_is_no_deliver_sm_is_refused() -> None:
    with pytest.raises(ValueError, match="not a deliver_sm"):
        RawPdu.from_wire(smpp34.SubmitSm("1", "2", b"x").encode(), NOW)
    with pytest.raises(ValueError, match="unreadable"):
        RawPdu.from_wire(b"\0\0\0\x11\0\0\0\x05\0\0\0\0\0\0\0\x01\xff", NOW)


TEXT = (
    "id:{id} sub:001 dlvrd:001 submit date:2609070405 done date:2609070406"
    " stat:{stat} err:{err} text:Bao"
)


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ("DELIVRD", ReceiptState.CONFIRMED),
        ("UNDELIV", ReceiptState.FAILED),
        ("REJECTD", ReceiptState.FAILED),
        ("DELETED", ReceiptState.FAILED),
        ("EXPIRED", ReceiptState.EXPIRED),
        ("ACCEPTD", ReceiptState.NO_NEWS),
        ("ENROUTE", ReceiptState.NO_NEWS),
        ("UNKNOWN", ReceiptState.NO_NEWS),
        ("BUFFERED", ReceiptState.NO_NEWS),
    ],
)
def test_a_receipt_in_text(stat: str, state: ReceiptState) -> None:
    came = pdu(TEXT.format(id="0123abc", stat=stat, err="000").encode(), esm_class=0x04)
    assert is_receipt(came)
    receipt = parse_receipt(came)
    assert (receipt.message_id, receipt.state, receipt.at) == ("0123abc", state, NOW)
    assert receipt.reason == f"{stat[:7]} err:000"
    assert not receipt.unknown


def test_the_words_of_the_message_itself_say_nothing_of_its_receipt() -> None:
    text = "SubID:9 id: 77 Stat:undeliv ERR:006 Text:id:5 stat:DELIVRD err:000"
    receipt = parse_receipt(pdu(text.encode(), esm_class=4))
    assert (receipt.message_id, receipt.state) == ("77", ReceiptState.FAILED)
    assert receipt.reason == "UNDELIV err:006"


def test_a_receipt_in_optional_parameters() -> None:
    came = pdu(tlvs={0x001E: b"7F0A\0", 0x0427: b"\x02"})
    assert is_receipt(came)
    receipt = parse_receipt(came)
    assert (receipt.message_id, receipt.state) == ("7F0A", ReceiptState.CONFIRMED)


def test_only_the_gsm_network_itself_names_an_unknown_subscriber() -> None:
    text = TEXT.format(id="1", stat="UNDELIV", err="001").encode()
    assert not parse_receipt(pdu(text, esm_class=4)).unknown
    assert parse_receipt(pdu(text, {0x0423: b"\x03\x00\x01"}, esm_class=4)).unknown
    assert not parse_receipt(pdu(text, {0x0423: b"\x03\x00\x1b"}, esm_class=4)).unknown
    assert not parse_receipt(pdu(text, {0x0423: b"\x01\x00\x01"}, esm_class=4)).unknown


def test_a_message_from_a_person_is_no_receipt_whatever_it_says() -> None:
    assert not is_receipt(pdu(b"id:1 stat:DELIVRD err:000"))
    assert not is_receipt(pdu(b"\x05\x00\x03\x01\x02\x01x", esm_class=0x40))
    with pytest.raises(ValueError, match="without a message id"):
        parse_receipt(pdu(b"stat:DELIVRD", esm_class=4))


@pytest.mark.parametrize(
    ("head", "place"),
    [
        (b"\x05\x00\x03\x07\x03\x02", (7, 2, 3)),
        (b"\x06\x08\x04\x12\x34\x03\x02", (0x1234, 2, 3)),
        (b"\x09\x24\x01\x01\x08\x04\x12\x34\x03\x02", (0x1234, 2, 3)),
        (b"\x03\x24\x01\x01", None),
        (b"\x05\x00\x03\x07\x01\x01", None),
        (b"\x05\x00\x03\x07\x03\x00", None),
        (b"\x05\x00\x03\x07", None),
        (b"\xff", None),
    ],
)
def test_the_place_of_a_part(head: bytes, place: tuple[int, int, int] | None) -> None:
    assert part_of(pdu(head + b"text", esm_class=0x40) if place else pdu(head, esm_class=0x40)) == (
        place
    )


def test_the_place_of_a_part_in_optional_parameters() -> None:
    came = pdu(b"text", {0x020C: b"\x12\x34", 0x020F: b"\x01", 0x020E: b"\x02"})
    assert part_of(came) == (0x1234, 1, 2)
    assert decode_text(came) == "text"
    assert part_of(pdu(b"text")) is None


def test_a_long_text_in_message_payload() -> None:
    long = "Đường ngập sâu " * 30
    came = pdu(b"", {0x0424: long.encode("utf-16-be")}, data_coding=8)
    assert decode_text(came) == long


def test_parts_are_joined_in_any_order_and_repeated() -> None:
    text = "Nước ngập tới 0,5m ở phố Phú Thượng, xe chết máy. " * 3
    parts = parts_of(text)
    assert len(parts) == 3
    for order in itertools.permutations(parts):
        assert join_parts([*order, order[0]]) == text
    assert join_parts(parts[:2]) is None
    assert join_parts([]) is None
    assert join_parts([pdu(b"ngan")]) == "ngan"


def test_a_letter_cut_in_half_by_the_phone_is_joined() -> None:
    text = "lụt 🌊".encode("utf-16-be")
    halves = [
        pdu(b"\x05\x00\x03\x07\x02" + bytes((number,)) + half, esm_class=0x40, data_coding=8)
        for number, half in ((1, text[:10]), (2, text[10:]))
    ]
    assert join_parts(halves) == "lụt 🌊"


@given(st.binary(max_size=160), st.sampled_from([0, 1, 3, 4, 8, 0xF5]), st.sampled_from([0, 0x40]))
def test_no_octets_from_outside_break_the_reading(
    message: bytes, data_coding: int, esm_class: int
) -> None:
    came = pdu(message, data_coding=data_coding, esm_class=esm_class)
    decode_text(came)
    part_of(came)
    join_parts([came])


def test_what_the_codes_mean() -> None:
    assert judge(RTHROTTLED) == judge(RMSGQFUL) == (Result.TEMPORARY, Action.NONE)
    assert judge(RINVDSTADR) == (Result.PERMANENT, Action.NONE)
    assert judge(RINVPASWD)[1] is judge(RINVSRCADR)[1] is Action.PAUSE
    assert judge(0x0442) == (Result.TEMPORARY, Action.NONE)
    assert set(MESSAGE_STATE.values()) == set(RECEIPT_STATE)
