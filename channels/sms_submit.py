"""Submits by splicing: of all the octets of a submit_sm only the number changes in a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from channels.sms_link import SUBMIT_SM, build
from channels.sms_text import encode

_URGENT: Final = 1
"""priority_flag of emergencies. 2 and 3 mean "urgent" and "emergency" on some networks only and
are refused (RINVPRTFLG) on others; 1 is above normal everywhere."""
_NUMBER: Final = re.compile(r"\+?[0-9]{3,20}")
"""What fits destination_addr. The octets are written as they are: a NUL would shift every later
field."""
_INTERNATIONAL: Final = bytes((1, 1))
BRAND: Final = 5


@dataclass(frozen=True, slots=True)
class SmsContent:
    """What a phone shows."""

    text: str


@dataclass(frozen=True, slots=True)
class Submit:
    """One wording ready for the wire: what stands before the number, and after it in each part."""

    head: bytes
    tails: tuple[bytes, ...]

    def wire(self, number: str, part: int, sequence: int) -> bytes:
        """Return the submit_sm of one part; `number` as `destination` gave it."""
        return build(SUBMIT_SM, 0, sequence, self.head + number.encode() + self.tails[part])


def destination(address: str) -> str | None:
    """Return the digits of a number, None for what is no number."""
    return address.removeprefix("+") if _NUMBER.fullmatch(address) else None


def validity_period(expires: datetime) -> str:
    """Return SMPP's absolute time, in UTC, to the second below."""
    return expires.astimezone(UTC).strftime("%y%m%d%H%M%S") + "000+"


def address_type(address: str) -> tuple[int, int]:
    """Return (type of number, numbering plan) of a sender: brand name, short code or number."""
    digits = address.removeprefix("+")
    if not digits.isdigit():
        return BRAND, 0
    return (3, 0) if len(digits) <= 6 else (1, 1)


def submits(
    contents: Mapping[str, SmsContent], source: str, expires: datetime, *, urgent: bool
) -> dict[str, Submit | None]:
    """Encode every wording once; None for one that no number of parts can carry."""
    head = (
        b"\0"  # service_type
        + bytes(address_type(source))
        + source.removeprefix("+").encode("ascii")
        + b"\0"
        + _INTERNATIONAL
    )
    times = b"\0" + validity_period(expires).encode() + b"\0"  # at once, and until then
    ready: dict[str, Submit | None] = {}
    for key, content in contents.items():
        try:
            text = encode(content.text)
        except ValueError:
            ready[key] = None
            continue
        before = b"\0" + bytes((text.esm_class, 0, _URGENT if urgent else 0)) + times
        ready[key] = Submit(
            head,
            tuple(
                before + bytes((1, 0, text.data_coding, 0, len(part))) + part for part in text.parts
            ),
        )
    return ready
