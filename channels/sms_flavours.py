"""How one carrier's receipts differ from another's: data, chosen by the address of its account.

SMPP leaves the error code of a receipt (`err:`) to each carrier, and the same 001 is an unknown
subscriber at one and a phone that is switched off at another. So a number is called dead by such
a code only where the carrier's own documentation says what its codes mean.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit


class Notation(enum.StrEnum):
    """How a message id in a receipt stands to the one the submit was answered with."""

    SAME = "same"
    DECIMAL = "decimal"
    """Answered in hexadecimal, reported in decimal."""
    HEXADECIMAL = "hexadecimal"
    """Answered in decimal, reported in hexadecimal."""
    ANY = "any"
    """Not known: as it was written first, any other way when that finds nothing for a while."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """What must be known of a carrier to read its receipts."""

    errors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names of its error codes, as its documentation gives them."""
    unknown_subscriber: frozenset[str] = frozenset()
    """Codes that say there is no such subscriber: the number may be retired."""


UNKNOWN_SUBSCRIBER: Final = "unknown subscriber"
"""The one error that retires a number, as every table names it."""
_MAP: Final[dict[int, tuple[str, bool]]] = {
    1: (UNKNOWN_SUBSCRIBER, True),
    5: ("unidentified subscriber", False),
    6: ("absent subscriber", False),
    9: ("illegal subscriber", False),
    10: ("bearer service not provisioned", False),
    11: ("teleservice not provisioned", False),
    12: ("illegal equipment", False),
    13: ("call barred", False),
    15: ("closed user group", False),
    21: ("facility not supported", False),
    27: ("absent subscriber", False),
    28: ("incompatible terminal", False),
    31: ("subscriber busy", False),
    32: ("delivery failure", False),
    33: ("waiting list full", False),
    34: ("system failure", False),
    35: ("data missing", False),
    36: ("unexpected data", False),
}
"""Errors of the Mobile Application Part (3GPP TS 29.002): name, and whether nobody has the number.
An unidentified subscriber (5) is known to the register and to no exchange: it may come back."""

_TWILIO: Final[dict[int, tuple[str, bool]]] = {
    1: ("absent subscriber", False),
    2: ("memory full", False),
    3: ("equipment protocol error", False),
    4: ("equipment without SMS", False),
    5: (UNKNOWN_SUBSCRIBER, True),
    6: ("illegal subscriber", False),
    7: ("teleservice not provisioned", False),
    8: ("illegal equipment", False),
    9: ("call barred", False),
    10: ("facility not supported", False),
    11: ("subscriber busy", False),
    12: ("system failure", False),
}


def _flavour(table: Mapping[int, tuple[str, bool]], write: str) -> Flavour:
    return Flavour(
        MappingProxyType({format(code, write): name for code, (name, _) in table.items()}),
        frozenset(format(code, write) for code, (_, dead) in table.items() if dead),
    )


PLAIN: Final = Flavour()
"""Codes are shown as they come and mean nothing; only the optional parameter network_error_code,
whose meaning SMPP defines, can say that nobody has a number."""

FLAVOURS: Final[Mapping[str, Flavour]] = MappingProxyType(
    {
        "plain": PLAIN,
        "map": _flavour(_MAP, "03d"),
        "map-hex": _flavour(_MAP, "03x"),
        "twilio": _flavour(_TWILIO, "03d"),
    }
)


_LONGEST: Final = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """How the receipts of one account are read."""

    flavour: Flavour = PLAIN
    ids: Notation = Notation.ANY

    @classmethod
    def of(cls, url: str) -> Reading:
        """Read `?receipts=FLAVOUR&ids=NOTATION` of an SMPP address; ValueError says what is."""
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
        flavour, ids = asked.get("receipts", "plain"), asked.get("ids", Notation.ANY)
        if flavour not in FLAVOURS:
            raise ValueError(f"receipts={flavour}: known are {', '.join(FLAVOURS)}")
        if ids not in list(Notation):
            raise ValueError(f"ids={ids}: known are {', '.join(Notation)}")
        return cls(FLAVOURS[flavour], Notation(ids))

    @property
    def sure(self) -> int | None:
        """How many of the ids are believed at once; None: all of them.

        Another notation of one id can be the id of another message.
        """
        return 1 if self.ids is Notation.ANY else None

    def message_ids(self, written: str) -> list[str]:
        """Return the ids the submit may have been answered with, the likeliest first."""
        if self.ids is Notation.SAME:
            return [written]
        as_hexadecimal, as_decimal = _number(written, 16), _number(written, 10)
        match self.ids:
            case Notation.DECIMAL:
                return _hexadecimal(as_decimal) or [written]
            case Notation.HEXADECIMAL:
                return _decimal(as_hexadecimal) or [written]
            case _:
                likely = (_hexadecimal(as_hexadecimal), _hexadecimal(as_decimal))
                others = (_decimal(as_hexadecimal), _decimal(as_decimal))
                return list(dict.fromkeys([written, *chain(*likely, *others)]))


def _plain(written: str) -> str:
    return written.strip().lower().removeprefix("0x").lstrip("0") or "0"


def _number(written: str, base: int) -> int | None:
    plain = _plain(written)
    if len(plain) > _LONGEST or set(plain) - set("0123456789abcdef"[:base]):
        return None
    return int(plain, base)


def _hexadecimal(number: int | None) -> list[str]:
    """Write a number as carriers write hexadecimal ids."""
    if number is None:
        return []
    return [f"{number:08x}", f"{number:x}", f"{number:08X}", f"{number:X}", f"0x{number:x}"]


def _decimal(number: int | None) -> list[str]:
    return [] if number is None else [str(number), f"{number:010d}"]
