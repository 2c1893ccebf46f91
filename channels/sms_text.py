"""Text to SMS parts and back: GSM 03.38 where every letter fits, UCS-2 otherwise.

GSM text travels one septet to an octet (SMPP's unpacked form). A letter that does not fit is
never replaced by "?": the whole message becomes UCS-2, which costs parts but says what was meant.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

GSM: Final = 0x00
UCS2: Final = 0x08
UDHI: Final = 0x40
"""esm_class bit: the text starts with a user data header."""
MOST_PARTS: Final = 255

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\",
    0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€",
}  # fmt: skip
_ESCAPE: Final = 0x1B
_ENCODE: Final = {
    letter: bytes((code,)) for code, letter in enumerate(_BASIC) if code != _ESCAPE
} | {letter: bytes((_ESCAPE, code)) for code, letter in _EXTENDED.items()}

_LONE: Final = {GSM: 160, UCS2: 140}
_CHAINED: Final = {GSM: 153, UCS2: 134}
_CHARSETS: Final = {1: "ascii", 3: "latin-1", 6: "iso8859-5", 7: "iso8859-8"}
"""data_coding values with an alphabet of their own; 0 and 8 are handled by name."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message ready for SMPP: what goes into each submit_sm."""

    data_coding: int
    esm_class: int
    parts: tuple[bytes, ...]


def _units(text: str) -> tuple[int, list[bytes]]:
    """Return the data_coding and one indivisible run of octets per letter."""
    septets = [_ENCODE.get(letter) for letter in text]
    known = [unit for unit in septets if unit is not None]
    if len(known) == len(septets):
        return GSM, known
    return UCS2, [letter.encode("utf-16-be", "replace") for letter in text]


def _pack(units: list[bytes], room: int) -> Iterator[bytes]:
    part = bytearray()
    for unit in units:
        if len(part) + len(unit) > room:
            yield bytes(part)
            part.clear()
        part += unit
    yield bytes(part)


def encode(text: str) -> Encoded:
    """Normalise to NFC, choose the alphabet and split; long messages carry a concatenation header.

    The 8-bit reference comes from the text: a repeated try completes what the handset already
    holds of the first one instead of starting a second half message. Raises ValueError for a
    text longer than 255 parts.
    """
    composed = unicodedata.normalize("NFC", text)
    data_coding, units = _units(composed)
    if sum(map(len, units)) <= _LONE[data_coding]:
        return Encoded(data_coding, 0, (b"".join(units),))
    parts = list(_pack(units, _CHAINED[data_coding]))
    if len(parts) > MOST_PARTS:
        raise ValueError(f"{len(parts)} parts, SMS carries at most {MOST_PARTS}")
    reference = zlib.crc32(composed.encode("utf-8", "replace")) & 0xFF
    head = bytes((5, 0, 3, reference, len(parts)))
    return Encoded(
        data_coding, UDHI, tuple(head + bytes((n,)) + part for n, part in enumerate(parts, 1))
    )


def _decode_gsm(data: bytes) -> str:
    out: list[str] = []
    escaped = False
    for octet in data:
        if octet == _ESCAPE and not escaped:
            escaped = True
            continue
        plain = _BASIC[octet] if octet < len(_BASIC) and octet != _ESCAPE else " "
        out.append(_EXTENDED.get(octet, plain) if escaped else plain)
        escaped = False
    return "".join(out)


def decode(data_coding: int, data: bytes) -> str:
    """Decode the octets of a message (without header) for reading; never raises."""
    if data_coding in _CHARSETS:
        return data.decode(_CHARSETS[data_coding], "replace")
    if data_coding in (2, 4):
        return data.decode("latin-1")
    if data_coding & 0x0C == UCS2:
        return data.decode("utf-16-be", "replace")
    return _decode_gsm(data)
