"""One submitted part in the lab's SMSC: read from the wire, written back as a receipt."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import smpp34

from channels.sms_errors import MESSAGE_STATE
from channels.sms_pdu import (
    MESSAGE_STATE_TLV,
    NETWORK_ERROR_CODE_TLV,
    RECEIPTED_MESSAGE_ID_TLV,
    RawPdu,
    e164,
)

_DEFAULT_VALIDITY = timedelta(days=2)
_STATE_CODE = {word: code for code, word in MESSAGE_STATE.items()}
_GSM_UNKNOWN_SUBSCRIBER = b"\x03\x00\x01"


@dataclass(slots=True, eq=False)
class Part:
    """One accepted submit_sm and what became of it."""

    id: int
    account: str
    pdu: RawPdu
    """Read like any short message; its wire is the submit_sm."""
    priority: int
    registered: bool
    validity: str
    expires: float
    received_at: float
    state: str = "ENROUTE"
    settled_at: float | None = None
    receipt: str = "none"
    shown: bool = False
    stored: bool = False


def expiry(validity: str, now: datetime) -> datetime:
    """Read SMPP's absolute (`YYMMDDhhmmsstnn±`) or relative (`…R`) time; ValueError if neither."""
    if not validity:
        return now + _DEFAULT_VALIDITY
    if len(validity) != 16 or not validity[:15].isdigit():
        raise ValueError(f"not an SMPP time: {validity!r}")
    fields = [int(validity[at : at + 2]) for at in range(0, 12, 2)]
    if validity[15] == "R":
        years, months, days, hours, minutes, seconds = fields
        days += 365 * years + 30 * months
        return now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    local = datetime(2000 + fields[0], *fields[1:], tzinfo=UTC)  # type: ignore[arg-type,misc]
    quarters = timedelta(minutes=15 * int(validity[13:15]))
    return local + (quarters if validity[15] == "-" else -quarters)


def read_submit(wire: bytes, part_id: int, account: str, now: datetime) -> Part:
    """Read a submit_sm; ValueError (SmppError) when the PDU or its validity cannot be read."""
    pdu = smpp34.decode(wire)
    if not isinstance(pdu, smpp34.SubmitSm):
        raise ValueError("not a submit_sm")
    raw = RawPdu(
        source=e164(pdu.source_addr, pdu.source_addr_ton),
        destination=e164(pdu.destination_addr, pdu.dest_addr_ton),
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        short_message=pdu.short_message,
        tlvs=tuple((tlv.tag, tlv.value) for tlv in pdu.tlvs),
        received_at=now,
        sequence=pdu.sequence_number,
        wire=wire,
    )
    return Part(
        part_id,
        account,
        raw,
        pdu.priority_flag,
        bool(pdu.registered_delivery & 1),
        pdu.validity_period,
        expiry(pdu.validity_period, now).timestamp(),
        now.timestamp(),
    )


def _typed(address: str) -> tuple[str, int]:
    return (address[1:], 1) if address.startswith("+") else (address, 0)


def receipt_pdu(part: Part, sequence: int, *, decimal: bool) -> bytes:
    """Return the deliver_sm that tells the sender what became of a part.

    `decimal` is how many real SMSCs do it: hexadecimal in the answer to the submit, decimal in
    the receipt's text, and no optional parameters.
    """
    written = f"{part.id:010d}" if decimal else f"{part.id:08x}"
    failed = part.state == "UNDELIV"
    submitted, done = (
        datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")
        for at in (part.received_at, part.settled_at or part.received_at)
    )
    text = (
        f"id:{written} sub:001 dlvrd:{int(part.state == 'DELIVRD'):03d} submit date:{submitted}"
        f" done date:{done} stat:{part.state} err:{int(failed):03d} text:"
    )
    tlvs = [
        smpp34.Tlv(RECEIPTED_MESSAGE_ID_TLV, written.encode() + b"\0"),
        smpp34.Tlv(MESSAGE_STATE_TLV, struct.pack("B", _STATE_CODE[part.state])),
    ]
    if failed:
        tlvs.append(smpp34.Tlv(NETWORK_ERROR_CODE_TLV, _GSM_UNKNOWN_SUBSCRIBER))
    return _deliver(
        part.pdu.destination, part.pdu.source, text.encode(), sequence, 0x04, 0,
        [] if decimal else tlvs,
    )  # fmt: skip


def originated_pdu(
    number: str, to: str, part: bytes, sequence: int, esm_class: int, data_coding: int
) -> bytes:
    """Return the deliver_sm that carries (a part of) what a person wrote."""
    return _deliver(number, to, part, sequence, esm_class, data_coding, [])


def _deliver(
    source: str,
    destination: str,
    payload: bytes,
    sequence: int,
    esm_class: int,
    data_coding: int,
    tlvs: list[smpp34.Tlv],
) -> bytes:
    source, source_ton = _typed(source)
    destination, destination_ton = _typed(destination)
    return smpp34.DeliverSm(
        source,
        destination,
        payload,
        source_addr_ton=source_ton,
        source_addr_npi=1,
        dest_addr_ton=destination_ton,
        dest_addr_npi=1,
        esm_class=esm_class,
        data_coding=data_coding,
        tlvs=tlvs,
        sequence_number=sequence,
    ).encode()
