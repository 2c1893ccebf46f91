"""What differs from carrier to carrier: the meaning of error codes, the notation of ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from channels.sms_flavours import FLAVOURS, PLAIN, Notation, Reading
from channels.sms_pdu import RawPdu, parse_receipt

BASE = "smpp://city:word@smsc.example:2775"


def receipt(stat: str, err: str) -> RawPdu:
    text = (
        f"id:1 sub:001 dlvrd:000 submit date:2611210000 done date:2611210001 stat:{stat} err:{err}"
    )
    pdu = smpp34.DeliverSm("84912345678", "HANOI", text.encode(), esm_class=4, sequence_number=1)
    return RawPdu.from_wire(pdu.encode(), datetime(2026, 11, 21, tzinfo=UTC))


@pytest.mark.parametrize(
    ("flavour", "err", "dead", "reason"),
    [
        ("plain", "001", False, "UNDELIV err:001"),
        ("map", "001", True, "UNDELIV err:001 unknown subscriber"),
        ("map", "1", True, "UNDELIV err:1 unknown subscriber"),
        ("map", "005", False, "UNDELIV err:005 unidentified subscriber"),
        ("map", "027", False, "UNDELIV err:027 absent subscriber"),
        ("map", "01b", False, "UNDELIV err:01b"),
        ("map-hex", "01B", False, "UNDELIV err:01B absent subscriber"),
        ("map-hex", "001", True, "UNDELIV err:001 unknown subscriber"),
        ("twilio", "001", False, "UNDELIV err:001 absent subscriber"),
        ("twilio", "005", True, "UNDELIV err:005 unknown subscriber"),
        ("twilio", "999", False, "UNDELIV err:999"),
    ],
)
def test_one_code_means_something_else_at_each_carrier(
    flavour: str, err: str, dead: bool, reason: str
) -> None:
    told = parse_receipt(receipt("UNDELIV", err), FLAVOURS[flavour])
    assert (told.unknown, told.reason) == (dead, reason)


@pytest.mark.parametrize("stat", ["DELIVRD", "ENROUTE", "ACCEPTD", "EXPIRED", "UNKNOWN"])
def test_only_a_failure_calls_a_number_dead(stat: str) -> None:
    assert not parse_receipt(receipt(stat, "001"), FLAVOURS["map"]).unknown


def test_every_flavour_names_the_codes_that_retire() -> None:
    for flavour in FLAVOURS.values():
        assert flavour.unknown_subscriber <= set(flavour.errors)
        assert {flavour.errors[code] for code in flavour.unknown_subscriber} <= {
            "unknown subscriber"
        }
    assert not PLAIN.unknown_subscriber


@pytest.mark.parametrize(
    ("submitted", "reported"),
    [
        ("1a2b", "6699"),
        ("1A2B", "0000006699"),
        ("0x10000000", "268435456"),
        ("0000beef", "BEEF"),
        ("BEEF", "0000beef"),
        ("12345", "12345"),
        ("0000012345", "12345"),
        ("6699", "1a2b"),
        ("a-uuid-like-id", "a-uuid-like-id"),
    ],
)
def test_one_id_in_two_notations(submitted: str, reported: str) -> None:
    assert submitted in Reading().message_ids(reported)


@given(st.integers(0, 2**63), st.sampled_from(["{:x}", "{:08x}", "{:08X}", "{:X}"]))
def test_a_carrier_that_reports_in_decimal_is_understood(number: int, write: str) -> None:
    ids = Reading.of(f"{BASE}?ids=decimal").message_ids(str(number))
    assert write.format(number) in ids
    assert not {str(number), f"{number:010d}"} & (set(ids) - {f"{number:x}", f"{number:08x}"})


def test_where_the_notation_is_known_no_other_is_tried() -> None:
    assert Reading.of(f"{BASE}?ids=same").message_ids("10000000") == ["10000000"]
    assert Reading.of(f"{BASE}?ids=hexadecimal").message_ids("1a2b") == ["6699", "0000006699"]
    assert "10000000" not in Reading.of(f"{BASE}?ids=decimal").message_ids("10000000")
    known = [Reading.of(f"{BASE}?ids={one}").sure for one in Notation]
    assert known == [None, None, None, 1], "only where it is not known are others a guess"


def test_an_address_says_how_its_carrier_reports() -> None:
    assert Reading.of(BASE) == Reading(PLAIN, Notation.ANY)
    assert Reading.of(f"{BASE}?receipts=map&ids=decimal") == Reading(
        FLAVOURS["map"], Notation.DECIMAL
    )
    with pytest.raises(ValueError, match="receipts=mapp: known are plain, map"):
        Reading.of(f"{BASE}?receipts=mapp")
    with pytest.raises(ValueError, match="ids=hex: known are same"):
        Reading.of(f"{BASE}?ids=hex")
