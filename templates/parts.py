"""What every wording must say: what to do, where, when, why, who says so, how to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from templates.document import PIECES, Document
from templates.event import LANGS, Event
from templates.finding import Finding, Place
from templates.source_text import literal, names

_KNOWN = frozenset({"contacts"})
_SOURCE_LABEL = re.compile(r"(?i)\b(nguồn|source)\b\s*:?")
_WHOLE = {
    "push": ("push.title", "push.body"),
    "sms": ("sms.text",),
    "page": ("page.headline", "page.description", "page.instructions"),
}
_ONE_LINE = ("push.title", "email.subject", "page.headline")
_FEWEST_STEPS = 2


def shape(written: Document) -> Iterator[Finding]:
    """Find pieces without words, and titles of more than one line."""
    for lang in LANGS:
        for piece, text in written.words[lang].items():
            if not text.strip():
                yield Finding(
                    "wording.empty", True, written.code, Place(lang, piece),
                    "Chưa có chữ.", "There are no words.",
                    "Viết phải làm gì, ở đâu, lúc nào.", "Write what to do, where and when.",
                    piece.partition(".")[0],
                )  # fmt: skip
            elif piece in _ONE_LINE and len(text.strip().splitlines()) > 1:
                yield Finding(
                    "wording.line_break", True, written.code, Place(lang, piece, 2),
                    "Tiêu đề chỉ được một dòng.", "A title is one line.",
                    "Bỏ chỗ xuống dòng.", "Remove the line break.",
                    piece.partition(".")[0],
                )  # fmt: skip


def unknown(written: Document, event: Event) -> Iterator[Finding]:
    """Find placeholders without a field, and fields that one language shows and another not."""
    fields = {field.name for field in event.fields}
    used: dict[str, set[str]] = {}
    for lang in LANGS:
        used[lang] = set()
        for piece in PIECES:
            source = written.words[lang][piece]
            here = names(source)
            used[lang] |= here
            for name in sorted(here - fields - _KNOWN):
                yield Finding(
                    "field.unknown", True, event.code,
                    Place.at(lang, piece, source, max(source.find(name), 0)),
                    f"Không có ô “{name}”.", f"There is no field “{name}”.",
                    "Chọn ô trong danh sách bên cạnh.", "Choose a field of the list.",
                    piece.partition(".")[0],
                )  # fmt: skip
    for lang, other in (("vi", "en"), ("en", "vi")):
        for name in sorted((used[lang] & fields) - used[other] - {"until"}):
            yield Finding(
                "language.fields", True, event.code, Place(other),
                f"Ô “{name}” có ở bản {lang}, không có ở bản {other}.",
                f"The field “{name}” is shown in {lang} and not in {other}.",
                "Hai bản phải nói cùng một điều: thêm ô này.",
                "Both have to say the same: add the field.",
            )  # fmt: skip


def lint(written: Document, event: Event) -> Iterator[Finding]:
    """Find which of the required parts are missing, channel by channel."""
    moments = {field.name for field in event.fields if field.type in ("time", "period")}
    for lang in LANGS:
        words = written.words[lang]
        for pieces in _WHOLE.values():
            said = set().union(*(names(words[piece]) for piece in pieces))
            if "places" not in said:
                yield _missing(event, lang, pieces[-1], "where", "ở đâu", "where",
                               "Thêm {{ places | within(40) }}.",
                               "Add {{ places | within(40) }}.")  # fmt: skip
            if not said & moments:
                yield _missing(event, lang, pieces[-1], "when", "lúc nào", "when",
                               "Thêm ô giờ, hoặc {{ until }}.",
                               "Add a time, or {{ until }}.")  # fmt: skip
        for piece in ("push.body", "page.description"):
            if "source" not in names(words[piece]):
                yield _missing(event, lang, piece, "source", "ai báo (nguồn)", "who says so",
                               "Kết bằng “Nguồn: {{ source }}.”",
                               "End with “Source: {{ source }}.”")  # fmt: skip
        if "contacts" not in names(words["sms.text"]):
            yield _missing(event, lang, "sms.text", "answer", "trả lời vào đâu", "how to answer",
                           "Thêm “nhắn tin tới {{ contacts.reply }}”.",
                           "Add “text {{ contacts.reply }}”.")  # fmt: skip
        yield from _cause_and_steps(event, lang, words["page.description"],
                                    words["page.instructions"])  # fmt: skip


def _cause_and_steps(event: Event, lang: str, cause: str, steps: str) -> Iterator[Finding]:
    plain = _SOURCE_LABEL.sub("", literal(cause))
    if len(re.findall(r"\w+", plain)) < _FEWEST_STEPS:
        yield _missing(event, lang, "page.description", "what", "chuyện gì xảy ra",
                       "what is happening", "Viết một câu: có gì, tới mức nào.",
                       "Write a sentence: what, and how bad.")  # fmt: skip
    if len([line for line in steps.splitlines() if line.strip()]) < _FEWEST_STEPS:
        yield _missing(event, lang, "page.instructions", "what_to_do", "các việc phải làm",
                       "what to do", "Viết ít nhất hai việc, mỗi việc một dòng.",
                       "Write two steps at least, one a line.")  # fmt: skip


def _missing(
    event: Event, lang: str, piece: str, part: str, vi: str, en: str, do_vi: str, do_en: str
) -> Finding:
    return Finding(
        f"part.{part}", True, event.code, Place(lang, piece),
        f"Chưa nói {vi}.", f"It does not say {en}.", do_vi, do_en, piece.partition(".")[0],
    )  # fmt: skip
