"""What a text costs as SMS, and how to make it cheaper.

One letter outside GSM-7 turns the whole message into UCS-2 and more than halves what fits in a
part, so the official is shown which letter that is.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from smsutil import gsm_split, unicode_split  # type: ignore[import-untyped]
from smsutil.codecs import GSM_CHARSET, GSM_EXT_CHARSET  # type: ignore[import-untyped]

# smsutil counts a bare ESC as a letter, but on a phone it swallows the letter behind it.
GSM7 = frozenset(GSM_CHARSET) - {"\x1b"}
GSM7_EXTENSION = frozenset(GSM_EXT_CHARSET)
"""Letters sent as two units: an escape and a code."""

_PLAIN = str.maketrans(
    {
        "đ": "d",
        "Đ": "D",
        "₫": "d",
        "‘": "'",
        "’": "'",
        "‚": "'",
        "′": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "″": '"',
        "«": '"',
        "»": '"',
        "\u2010": "-",
        "\u2011": "-",
        "–": "-",
        "—": "-",
        "−": "-",
        "•": "-",
        "·": "-",
        "…": "...",
        "×": "x",
        "²": "2",
        "³": "3",
        "°": "",
        "\t": " ",
        "\u00a0": " ",
        "\u2007": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u00ad": "",
        "\u200b": "",
        "\u200c": "",
        "\u200d": "",
        "\u2060": "",
        "\ufeff": "",
    }
)
_COMBINING = dict.fromkeys(range(0x0300, 0x0370))


@dataclass(frozen=True, slots=True)
class Costly:
    """The letter that makes a message dearer."""

    index: int
    """Where it stands in the measured (NFC) text."""
    character: str
    why: Literal["ucs2", "part"]
    """It is not in GSM-7, or it is the first letter of the last part."""


@dataclass(frozen=True, slots=True)
class SmsMeasure:
    """How a text travels as SMS."""

    encoding: Literal["gsm7", "ucs2"]
    characters: int
    units: int
    """Septets in GSM-7 (an extension letter is two), 16-bit units in UCS-2."""
    parts: int
    costly: Costly | None
    texts: tuple[str, ...]
    """The text of each part; joined they are the measured text."""


def measure(text: str) -> SmsMeasure:
    """Count a text as an operator bills it, after NFC normalisation."""
    text = unicodedata.normalize("NFC", text)
    forcing = next((i for i, char in enumerate(text) if char not in GSM7), None)
    if forcing is None:
        split, bytes_per_unit = gsm_split(text) if text else None, 1
    else:
        split, bytes_per_unit = unicode_split(text), 2
    texts = tuple(part.content for part in split.parts) if split else ()
    return SmsMeasure(
        encoding="gsm7" if forcing is None else "ucs2",
        characters=len(text),
        units=split.total_bytes // bytes_per_unit if split else 0,
        parts=len(texts),
        costly=_costly(text, forcing, texts),
        texts=texts,
    )


def _costly(text: str, forcing: int | None, texts: tuple[str, ...]) -> Costly | None:
    if forcing is not None:
        return Costly(forcing, text[forcing], "ucs2")
    if len(texts) > 1:
        index = list(accumulate(map(len, texts)))[-2]
        return Costly(index, text[index], "part")
    return None


def strip_diacritics(text: str) -> str:
    """Write Vietnamese without marks, and typographic signs as their keyboard equals.

    Letters of other scripts stay: dropping them silently would change what is said.
    """
    decomposed = unicodedata.normalize("NFD", text.translate(_PLAIN))
    return unicodedata.normalize("NFC", decomposed.translate(_COMBINING))
