"""What a template costs as a text message, and the letter that costs the extra part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from templates.document import Document
from templates.event import Event
from templates.finding import Finding, Place
from templates.pieces import Wording
from templates.sms_text import Costly, measure, strip_diacritics
from templates.source_text import exceeding, literal

_PIECE = "sms.text"


@dataclass(frozen=True, slots=True)
class Figures:
    """One language's text message, filled with the fields' examples."""

    text: str
    """With diacritics."""
    parts: int
    """As it is sent: without diacritics."""
    parts_marked: int
    """If it were sent with diacritics."""
    parts_required: int
    """Without diacritics and without what is optional."""
    costly: Costly | None
    """In the text without diacritics: the letter that is not GSM-7, or opens the last part."""
    costly_marked: Costly | None
    """In the text with diacritics: the first letter that more than halves each part."""


def figures(example: Wording, required: Wording) -> Figures:
    """Measure a filled text message with and without its diacritics."""
    plain, marked = measure(strip_diacritics(example.sms.text)), measure(example.sms.text)
    return Figures(
        text=example.sms.text,
        parts=plain.parts,
        parts_marked=marked.parts,
        parts_required=measure(strip_diacritics(required.sms.text)).parts,
        costly=plain.costly,
        costly_marked=marked.costly,
    )


def lint(written: Document, lang: str, found: Figures) -> Iterator[Finding]:
    """Find letters that double the price, and say which letter opens another part."""
    source = written.words[lang][_PIECE]
    for index, letter in enumerate(literal(source)):
        if letter.isspace() and letter not in "\u00a0\u2007\u2009\u202f":
            continue
        if measure(strip_diacritics(letter)).encoding == "ucs2":
            yield _found(
                "sms.letter", True, written, Place.at(lang, _PIECE, source, index),
                f"SMS không gửi “{letter}” theo bảng chữ rẻ: mỗi phần chỉ còn 67 chữ.",
                f"“{letter}” is outside the cheap alphabet of SMS: 67 letters a part are left.",
                "Bỏ ký tự này hoặc thay bằng chữ thường.", "Remove it or use a plain letter.",
            )  # fmt: skip
    if found.parts_required > 1 and found.costly and found.costly.why == "part":
        at = exceeding(source, found.text, found.costly.index)
        letter = found.costly.character
        yield _found(
            "sms.second_part", False, written, Place.at(lang, _PIECE, source, at),
            f"Chữ “{letter}” (thứ {found.costly.index + 1}) mở phần {found.parts}: giá gấp "
            f"{found.parts}.",
            f"The letter “{letter}” (number {found.costly.index + 1}) opens part {found.parts}: "
            f"{found.parts} times the price.",
            "Viết ngắn lại phần trước chỗ này.", "Shorten what stands before it if you can.",
        )  # fmt: skip


def approvals(event: Event, operators: Sequence[str]) -> Iterator[Finding]:
    """Ask for the id under which each operator that wants it approved the text message."""
    for operator in operators:
        if not event.approvals.get(operator, "").strip():
            yield Finding(
                "sms.approval", True, event.code, Place(),
                f"{operator} chỉ gửi SMS đã đăng ký nội dung; mẫu này chưa có mã.",
                f"{operator} carries registered wording only; this template has no id there.",
                f"Đăng ký nội dung với {operator} rồi ghi mã vào approvals.",
                f"Register the wording with {operator} and write the id under approvals.",
                "sms",
            )  # fmt: skip


def _found(
    code: str, blocking: bool, written: Document, place: Place,
    vi: str, en: str, do_vi: str, do_en: str,
) -> Finding:  # fmt: skip
    return Finding(code, blocking, written.code, place, vi, en, do_vi, do_en, "sms")
