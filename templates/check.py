"""What is wrong with a wording, whoever wrote it: the catalogue or an official's own hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from templates.exercise import without_mark
from templates.pieces import Problem, Wording
from templates.sms_text import SmsMeasure, measure
from templates.values import GAP_CLOSES, GAP_OPENS

TITLE_MAX = 40
"""Lock screens cut titles here."""
FIRST_SENTENCE_MAX = 120
"""Lock screens cut bodies here."""
PUSH_BODY_MAX = 2000
FCM_PAYLOAD_MAX = 4096
FCM_RESERVE = 640
"""Bytes of the payload kept for the data fields sent beside title and body."""
SUBJECT_MAX = 120
HEADLINE_MAX = 160
"""CAP 1.2: headlines should fit devices that show 160 letters."""
SMS_PARTS_MAX = 3

# An abbreviation's full stop ends no sentence: P. Hồng Hà, TP. Hà Nội, No. 3.
_SENTENCE_END = re.compile(r"(?<!\bP)(?<!\bX)(?<!\bTP)(?<!\bTX)(?<!\bNo)[.!?…](?=\s|$)|\n")
# Neither PostgreSQL's text nor UTF-8 carries these; line ends and tabs are allowed.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_GAP = re.compile(f"{GAP_OPENS}([^{GAP_OPENS}{GAP_CLOSES}]*){GAP_CLOSES}")


def first_sentence(text: str) -> str:
    """Cut a text after its first sentence."""
    end = _SENTENCE_END.search(text)
    return text[: end.end()].strip() if end else text


def check(wording: Wording, lang: str, *, sms_parts: int = SMS_PARTS_MAX) -> list[Problem]:
    """List what keeps a wording from being sent as it stands.

    An exercise's mark is not counted in title and sentence: the wording rehearsed is the real
    one, and the mark stands first, where no phone cuts.
    """
    where = "bản tiếng Anh" if lang == "en" else "bản tiếng Việt"
    where_en = "English" if lang == "en" else "Vietnamese"
    return [
        Problem(p.code, p.field, f"{p.message_vi} ({where})", f"{p.message_en} ({where_en})")
        for found in (
            _empty(wording),
            _gaps(wording),
            _unsendable(wording),
            _push(wording),
            _sms(wording, sms_parts),
            _lines(wording),
        )
        for p in found
    ]


def _pieces(wording: Wording) -> dict[str, str]:
    page = wording.page
    return {
        "push.title": wording.push.title,
        "push.body": wording.push.body,
        "sms.text": wording.sms.text,
        "email.subject": wording.email.subject,
        "email.text": wording.email.text,
        "email.html": wording.email.html,
        "page.headline": page.headline,
        "page.description": page.description,
        "page.instructions": "\n".join(page.instructions),
    }


def _empty(wording: Wording) -> Iterator[Problem]:
    for piece, text in _pieces(wording).items():
        if not without_mark(text.strip()):
            yield Problem(
                "wording.empty",
                piece,
                "Chưa có chữ. Viết phải làm gì, ở đâu, lúc nào.",
                "No words yet. Write what to do, where and when.",
            )
    for number, step in enumerate(wording.page.instructions, 1):
        if wording.page.instructions[1:] and not without_mark(step.strip()):
            yield Problem(
                "wording.empty",
                "page.instructions",
                f"Việc {number} chưa có chữ. Viết vào hoặc bỏ dòng này.",
                f"Step {number} has no words. Write it or remove the line.",
            )


def _gaps(wording: Wording) -> Iterator[Problem]:
    for piece, text in _pieces(wording).items():
        gap = _GAP.search(text)
        if gap:
            yield Problem(
                "wording.gap",
                piece,
                f"Còn chỗ trống “{gap[1]}”. Điền vào ô cùng tên.",
                f"“{gap[1]}” is still to be filled in. Fill in the field of that name.",
            )


def _unsendable(wording: Wording) -> Iterator[Problem]:
    for piece, text in _pieces(wording).items():
        letter = _UNSENDABLE.search(text)
        if letter:
            name = f"U+{ord(letter[0]):04X}"
            yield Problem(
                "wording.character",
                piece,
                f"Ký tự ẩn {name} (thứ {letter.start() + 1}) không gửi được. Xóa ký tự này.",
                f"Hidden character {name} (letter {letter.start() + 1}) cannot be sent. Delete it.",
            )


def _push(wording: Wording) -> Iterator[Problem]:
    title, body = without_mark(wording.push.title), without_mark(wording.push.body)
    yield from _long("push.title", len(title), TITLE_MAX, "Màn hình khóa", "The lock screen")
    yield from _long(
        "push.body.first_sentence",
        len(first_sentence(body)),
        FIRST_SENTENCE_MAX,
        "Câu đầu trên màn hình khóa",
        "The first sentence on the lock screen",
    )
    yield from _long("push.body", len(body), PUSH_BODY_MAX, "Tin đẩy", "The push text")
    payload = {"title": wording.push.title, "body": wording.push.body}
    size = len(json.dumps(payload, ensure_ascii=False).encode(errors="surrogatepass"))
    if size > FCM_PAYLOAD_MAX - FCM_RESERVE:
        yield Problem(
            "wording.push_payload",
            "push.body",
            f"Tin đẩy {size} byte, nhiều nhất {FCM_PAYLOAD_MAX - FCM_RESERVE}. Viết ngắn lại.",
            f"The push is {size} bytes, at most {FCM_PAYLOAD_MAX - FCM_RESERVE}. Shorten it.",
        )


def _long(piece: str, length: int, limit: int, vi: str, en: str) -> Iterator[Problem]:
    if length > limit:
        yield Problem(
            "wording.too_long",
            piece,
            f"{vi}: {length} chữ, nhiều nhất {limit}. Bớt {length - limit} chữ.",
            f"{en}: {length} letters, at most {limit}. Remove {length - limit}.",
        )


def _sms(wording: Wording, most: int) -> Iterator[Problem]:
    measured = measure(wording.sms.text)
    if measured.parts > most:
        yield Problem(
            "wording.sms_parts",
            "sms.text",
            f"SMS {measured.parts} phần, nhiều nhất {most}. {_cheaper_vi(measured)}",
            f"The SMS is {measured.parts} parts, at most {most}. {_cheaper_en(measured)}",
        )


def _cheaper_vi(measured: SmsMeasure) -> str:
    costly = measured.costly
    if costly and costly.why == "ucs2":
        return f"Chữ “{costly.character}” (thứ {costly.index + 1}) làm mỗi phần còn 67. Bỏ dấu."
    return "Viết ngắn lại."


def _cheaper_en(measured: SmsMeasure) -> str:
    costly = measured.costly
    if costly and costly.why == "ucs2":
        place = f"letter {costly.index + 1}"
        return f"“{costly.character}” ({place}) leaves 67 a part. Remove the diacritics."
    return "Shorten it."


def _lines(wording: Wording) -> Iterator[Problem]:
    yield from _long(
        "email.subject", len(without_mark(wording.email.subject)), SUBJECT_MAX,
        "Tiêu đề thư", "The mail's subject",
    )  # fmt: skip
    yield from _long(
        "page.headline", len(without_mark(wording.page.headline)), HEADLINE_MAX,
        "Tiêu đề trang", "The page's headline",
    )  # fmt: skip
    for piece in ("push.title", "email.subject", "page.headline"):
        if len(_pieces(wording)[piece].splitlines()) > 1:
            yield Problem(
                "wording.line_break",
                piece,
                "Tiêu đề chỉ được một dòng. Bỏ chỗ xuống dòng.",
                "A title is one line. Remove the line break.",
            )
