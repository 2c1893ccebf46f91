"""What an SMSC sends us (deliver_sm), kept raw and read by pure functions.

A `RawPdu` is stored exactly as it came; receipts are matched and long messages joined later,
from what was stored, so that nothing is lost to a mistake in reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import smpp34

from channels.sms_errors import MESSAGE_STATE, RECEIPT_STATE, ReceiptState
from channels.sms_flavours import PLAIN, UNKNOWN_SUBSCRIBER, Flavour
from channels.sms_text import UDHI, decode

SAR_MSG_REF_NUM_TLV: Final = 0x020C
SAR_TOTAL_SEGMENTS_TLV: Final = 0x020E
SAR_SEGMENT_SEQNUM_TLV: Final = 0x020F
RECEIPTED_MESSAGE_ID_TLV: Final = 0x001E
NETWORK_ERROR_CODE_TLV: Final = 0x0423
MESSAGE_PAYLOAD_TLV: Final = 0x0424
MESSAGE_STATE_TLV: Final = 0x0427

_INTERNATIONAL: Final = 1
_RECEIPT_TYPES: Final = 0x3C
_DELIVERY_RECEIPT: Final = 0x04
_INTERMEDIATE: Final = 0x20
_GSM_NETWORK: Final = 3
_UNKNOWN_SUBSCRIBER: Final = 1
_CONCATENATED_8: Final = 0x00
_CONCATENATED_16: Final = 0x08
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def e164(address: str, ton: int) -> str:
    """Write an SMPP address in E.164 when its type of number says it is one."""
    return f"+{address.removeprefix('+')}" if ton == _INTERNATIONAL else address


class RawPdu(NamedTuple):
    """One deliver_sm as it came."""

    source: str
    """E.164 with + when the SMSC says it is an international number, else as it came."""
    destination: str
    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: tuple[tuple[int, bytes], ...]
    received_at: datetime
    sequence: int
    wire: bytes
    """The whole PDU, header included."""

    @classmethod
    def from_wire(cls, wire: bytes, received_at: datetime) -> RawPdu:
        """Read a deliver_sm; ValueError when it is not one."""
        try:
            pdu = smpp34.decode(wire)
        except smpp34.SmppError as error:
            raise ValueError(f"unreadable PDU: {error}") from error
        if not isinstance(pdu, smpp34.DeliverSm):
            raise ValueError("not a deliver_sm")
        return cls(
            source=e164(pdu.source_addr, pdu.source_addr_ton),
            destination=e164(pdu.destination_addr, pdu.dest_addr_ton),
            esm_class=pdu.esm_class,
            data_coding=pdu.data_coding,
            short_message=pdu.short_message,
            tlvs=tuple((tlv.tag, tlv.value) for tlv in pdu.tlvs),
            received_at=received_at,
            sequence=pdu.sequence_number,
            wire=wire,
        )

    def to_bytes(self) -> bytes:
        """Return a form to store: the time in microseconds, then the PDU."""
        return struct.pack(">q", (self.received_at - _EPOCH) // timedelta(microseconds=1)) + (
            self.wire
        )

    @classmethod
    def from_bytes(cls, stored: bytes) -> RawPdu:
        """Read back what `to_bytes` gave."""
        (micros,) = struct.unpack_from(">q", stored)
        return cls.from_wire(stored[8:], _EPOCH + timedelta(microseconds=micros))

    def tlv(self, tag: int) -> bytes | None:
        """Return the value of an optional parameter."""
        for found, value in self.tlvs:
            if found == tag:
                return value
        return None


class SmsReceipt(NamedTuple):
    """What an SMSC says became of one part we submitted."""

    message_id: str
    """As the SMSC writes it here: not always as it answered the submit (`sms_flavours.Reading`)."""
    state: ReceiptState
    reason: str
    """The SMSC's words, and what its code means where that is known: `UNDELIV err:006 absent
    subscriber`."""
    at: datetime
    """When it reached us: the text form's own times name no zone."""
    unknown: bool = False
    """The network itself says the subscriber does not exist: the number may be retired."""


def is_receipt(pdu: RawPdu) -> bool:
    """Tell a delivery receipt (or intermediate notification) from a message a person wrote."""
    kind = pdu.esm_class & _RECEIPT_TYPES
    return (
        kind in (_DELIVERY_RECEIPT, _INTERMEDIATE) or pdu.tlv(RECEIPTED_MESSAGE_ID_TLV) is not None
    )


def _payload(pdu: RawPdu) -> bytes:
    return pdu.short_message or pdu.tlv(MESSAGE_PAYLOAD_TLV) or b""


def _field(text: str, name: str) -> str:
    """Return what a receipt's text says of `id`, `stat` or `err`, "" for nothing.

    Of two the first: behind `text:` stands the message itself. Searched for by hand, because an
    expression that looks for all three at every letter was half of reading a receipt.
    """
    lowered, mark = text.lower(), f"{name}:"
    at = lowered.find(mark)
    while at > 0 and (lowered[at - 1].isalnum() or lowered[at - 1] == "_"):
        at = lowered.find(mark, at + 1)
    if at < 0:
        return ""
    said = text[at + len(mark) :].split(None, 1)
    return said[0] if said else ""


def parse_receipt(pdu: RawPdu, flavour: Flavour = PLAIN) -> SmsReceipt:
    """Read a receipt from its optional parameters, else from its text.

    `flavour` says what this carrier's error codes mean. Raises ValueError when neither names a
    message.
    """
    text = _payload(pdu).decode("latin-1")
    named = pdu.tlv(RECEIPTED_MESSAGE_ID_TLV)
    message_id = named.split(b"\0")[0].decode("latin-1") if named else _field(text, "id")
    if not message_id:
        raise ValueError("a receipt without a message id")
    state = pdu.tlv(MESSAGE_STATE_TLV)
    word = MESSAGE_STATE.get(state[0], "UNKNOWN") if state else _field(text, "stat") or "UNKNOWN"
    word = word.upper()[:7]
    network = pdu.tlv(NETWORK_ERROR_CODE_TLV) or b""
    error = int.from_bytes(network[1:3], "big") if len(network) == 3 else None
    code = _field(text, "err") or ("" if error is None else f"{error:03d}")
    said = code.lower().rjust(3, "0")
    told = RECEIPT_STATE.get(word, ReceiptState.NO_NEWS)
    by_network = error == _UNKNOWN_SUBSCRIBER and network[0] == _GSM_NETWORK
    unknown = told is ReceiptState.FAILED and (by_network or said in flavour.unknown_subscriber)
    # What retires a number is said in the reason, also where the carrier has no word for its code.
    name = UNKNOWN_SUBSCRIBER if unknown else flavour.errors.get(said, "")
    return SmsReceipt(
        message_id=message_id,
        state=told,
        reason=f"{word} err:{code} {name}".rstrip() if code else word,
        at=pdu.received_at,
        unknown=unknown,
    )


def _header_parts(payload: bytes) -> tuple[int, int, int] | None:
    """Find the concatenation element among the elements of a user data header."""
    end, at = min(1 + payload[0], len(payload)), 1
    while at + 2 <= end:
        element, length = payload[at], payload[at + 1]
        value = payload[at + 2 : at + 2 + length]
        if element == _CONCATENATED_8 and len(value) == 3:
            return value[0], value[2], value[1]
        if element == _CONCATENATED_16 and len(value) == 4:
            return int.from_bytes(value[:2], "big"), value[3], value[2]
        at += 2 + length
    return None


def part_of(pdu: RawPdu) -> tuple[int, int, int] | None:
    """Return (reference, number, total) of one part of a long message, None for a whole one."""
    payload = _payload(pdu)
    if pdu.esm_class & UDHI and payload:
        found = _header_parts(payload)
    else:
        sar = [
            int.from_bytes(pdu.tlv(tag) or b"", "big")
            for tag in (
                SAR_MSG_REF_NUM_TLV,
                SAR_SEGMENT_SEQNUM_TLV,
                SAR_TOTAL_SEGMENTS_TLV,
            )
        ]
        found = (sar[0], sar[1], sar[2]) if sar[2] else None
    if found is None or not 1 <= found[1] <= found[2] or found[2] == 1:
        return None
    return found


def _body(pdu: RawPdu) -> bytes:
    payload = _payload(pdu)
    return payload[1 + payload[0] :] if pdu.esm_class & UDHI and payload else payload


def decode_text(pdu: RawPdu) -> str:
    """Return the text of one PDU, without its user data header; never raises."""
    return decode(pdu.data_coding, _body(pdu))


def join_parts(pdus: Iterable[RawPdu]) -> str | None:
    """Join the parts of one long message, in any order and repeated or not; None while some miss.

    The caller groups by (source, destination, reference, total). Octets are joined before they
    are decoded: some phones cut a letter of two units in half.
    """
    parts = {}
    total = 1
    for pdu in pdus:
        place = part_of(pdu)
        total = place[2] if place else 1
        parts[place[1] if place else 1] = pdu
    if len(parts) < total:
        return None
    ordered = [parts[number] for number in sorted(parts)]
    if len({pdu.data_coding for pdu in ordered}) > 1:
        return "".join(map(decode_text, ordered))
    return decode(ordered[0].data_coding, b"".join(map(_body, ordered)))
