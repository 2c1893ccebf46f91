"""Is a text easy to read? Order first, plain words, short sentences, no shouting, no begging."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from templates.finding import Finding, Place
from templates.source_text import literal

DATA = Path(__file__).parent / "reading.toml"
_ORDERS = ("push.title", "push.body", "sms.text", "page.headline")
"""Pieces that begin with what to do."""
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]?")
_OWN_ORDER = re.compile(r"\s*{{\s*order\b")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of one language."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    longest_sentence: int
    openings: tuple[str, ...]
    begging: tuple[str, ...]
    capitals: frozenset[str]
    """Abbreviations people know, which are no shouting."""
    jargon: Mapping[str, str]
    """A word to avoid, and what to write instead."""


@cache
def rules() -> Mapping[str, Rules]:
    """Return the rules of each language."""
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, Rules]).validate_python(data)


def lint(event: str, lang: str, piece: str, source: str, example: str) -> Iterator[Finding]:
    """Find what makes one piece hard to read.

    `source` has its placeholders, `example` is the piece filled with the fields' examples.
    """
    known = rules()[lang]
    if piece in _ORDERS and not _OWN_ORDER.match(source) and not _opens(example, known):
        first = " ".join(example.split()[:2])
        yield _found(
            "reading.order_first", False, event, Place(lang, piece),
            f"Câu đầu mở bằng “{first}”, không phải một việc phải làm.",
            f"It begins with “{first}”, which is nothing to do.",
            "Mở đầu bằng động từ: Rời, Tránh, Ở trong nhà, Gọi.",
            "Begin with a verb: Leave, Avoid, Stay indoors, Call.",
        )  # fmt: skip
    yield from _words(event, lang, piece, source, known)
    yield from _long_sentences(event, lang, piece, source, example, known)


def _opens(text: str, known: Rules) -> bool:
    lower = text.lower()
    return any(re.match(rf"{re.escape(word)}\b", lower) for word in known.openings)


def _words(event: str, lang: str, piece: str, source: str, known: Rules) -> Iterator[Finding]:
    plain = literal(source)
    lower = plain.lower()
    for word, instead in known.jargon.items():
        for found in re.finditer(rf"\b{re.escape(word)}\b", lower):
            yield _found(
                "reading.jargon", False, event, Place.at(lang, piece, source, found.start()),
                f"“{word}” là từ giấy tờ, nhiều người không hiểu.",
                f"“{word}” is office language that many people do not understand.",
                f"Viết: {instead}.", f"Write: {instead}.",
            )  # fmt: skip
    for word in known.begging:
        for found in re.finditer(rf"\b{re.escape(word)}\b", lower):
            yield _found(
                "reading.begging", True, event, Place.at(lang, piece, source, found.start()),
                f"“{word}” làm mệnh lệnh yếu đi.", f"“{word}” weakens the order.",
                "Bỏ đi, nói thẳng việc phải làm.", "Remove it and say what to do.",
            )  # fmt: skip
    yield from _shouting(event, lang, piece, source, plain, known)


def _shouting(
    event: str, lang: str, piece: str, source: str, plain: str, known: Rules
) -> Iterator[Finding]:
    for found in _WORD.finditer(plain):
        word = found[0]
        if len(word) > 2 and word.isupper() and word not in known.capitals:
            yield _found(
                "reading.shouting", True, event, Place.at(lang, piece, source, found.start()),
                f"“{word}” viết hoa cả từ: đọc chậm và nghe như quát.",
                f"“{word}” is all capitals: slow to read, and it shouts.",
                f"Viết “{word.capitalize()}” hoặc “{word.lower()}”.",
                f"Write “{word.capitalize()}” or “{word.lower()}”.",
            )  # fmt: skip
    for found in re.finditer("!", plain):
        yield _found(
            "reading.shouting", True, event, Place.at(lang, piece, source, found.start()),
            "Dấu chấm than không làm tin khẩn hơn.",
            "An exclamation mark makes nothing more urgent.",
            "Thay bằng dấu chấm.", "Use a full stop.",
        )  # fmt: skip


def _long_sentences(
    event: str, lang: str, piece: str, source: str, example: str, known: Rules
) -> Iterator[Finding]:
    for sentence in _SENTENCE.findall(example):
        count = len(sentence.split())
        if count > known.longest_sentence:
            start = " ".join(sentence.split()[:4])
            yield _found(
                "reading.long_sentence", False, event, _near(lang, piece, source, start),
                f"Câu “{start}…” dài {count} tiếng, nhiều nhất {known.longest_sentence}.",
                f"“{start}…” has {count} words, at most {known.longest_sentence}.",
                "Cắt thành hai câu.", "Make two sentences of it.",
            )  # fmt: skip


def _near(lang: str, piece: str, source: str, start: str) -> Place:
    for words in (start.split(), start.split()[:2], start.split()[:1]):
        index = source.find(" ".join(words))
        if index >= 0:
            return Place.at(lang, piece, source, index)
    return Place(lang, piece)


def _found(
    code: str, blocking: bool, event: str, place: Place, vi: str, en: str, do_vi: str, do_en: str
) -> Finding:
    return Finding(
        code, blocking, event, place, vi, en, do_vi, do_en, place.piece.partition(".")[0]
    )
