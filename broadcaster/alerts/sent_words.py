"""Are there words for everybody they go to, and do they fit? In each language, on each channel."""

from __future__ import annotations

from collections.abc import Iterator

from broadcaster.alerts import left_words
from broadcaster.alerts.content import Content, Words
from broadcaster.alerts.content import Wording as ContentWording
from broadcaster.alerts.problem import Problem
from templates import check, pieces

_NOT_PREPARED = {
    "cancel": (
        "Chưa có lời hủy chuẩn bị sẵn: sau này dừng tin sẽ không báo được cho người đã nhận.",
        "No cancel is prepared: whoever stops this alert later cannot tell those it reached.",
    ),
    "correction": (
        "Chưa có lời đính chính chuẩn bị sẵn: nếu gửi nhầm sẽ không đính chính ngay được.",
        "No correction is prepared: if this alert is sent in error, nobody can say so at once.",
    ),
}
_LANG_NAMES = {"vi": ("tiếng Việt", "Vietnamese"), "en": ("tiếng Anh", "English")}
_MISSING = {
    (where, lang): (
        f"Chưa có lời {vi} cho {whom_vi}. Viết ở mục “{at_vi}”.",
        f"There are no {en} words for {whom_en}. Write them under “{at_en}”.",
    )
    for lang, (vi, en) in _LANG_NAMES.items()
    for where, whom_vi, at_vi, whom_en, at_en in (
        (
            "update_wording",
            "người đã nhận tin trước", "Tới người đã nhận: bản cập nhật ngắn",
            "those whom the earlier alert reached", "To those reached before: the short update",
        ),
        (
            "left_wording",
            "người không còn trong vùng", "Tới người không còn trong vùng",
            "those it covers no longer", "To those it covers no longer",
        ),
    )
}  # fmt: skip
"""By where it is missing: whom the words are for, and under which heading of the form they go."""
_CHANNEL_OF_PIECE = {"push": "push", "sms": "sms", "email": "email"}


def check_wording(content: Content, sms_parts: int = check.SMS_PARTS_MAX) -> Iterator[Problem]:
    """Every language that is to be sent, on every channel that is used."""
    for lang in content.languages:
        wording = content.wording.get(lang)
        if wording is not None:
            yield from _check_words(content, wording, lang, "wording", sms_parts)
        else:
            yield Problem(
                "language_missing", lang == "vi", f"wording.{lang}",
                "Chưa có bản tiếng Việt. Soạn bản tiếng Việt." if lang == "vi" else
                "Chưa có bản tiếng Anh: người đọc tiếng Anh sẽ nhận bản tiếng Việt.",
                "There is no Vietnamese wording. Write one." if lang == "vi" else
                "There is no English wording: readers of English will get the Vietnamese.",
            )  # fmt: skip


def _check_words(
    content: Content, wording: ContentWording, lang: str, where: str, sms_parts: int
) -> Iterator[Problem]:
    for found in check.check(_pieces(wording), lang, sms_parts=sms_parts):
        channel = _CHANNEL_OF_PIECE.get(found.field.partition(".")[0])
        if channel is None or channel in content.channels:
            yield Problem(
                found.code, True, f"{where}.{lang}.{found.field}",
                found.message_vi, found.message_en,
            )  # fmt: skip


def check_follow_ups(
    content: Content, kind: str, sms_parts: int = check.SMS_PARTS_MAX
) -> Iterator[Problem]:
    """Check what goes out beside the alert's own words, or later by one click.

    Those reached before get the short words of an update, those it covers no longer theirs, so
    both are required. What is prepared need not be: without it there is nothing to click.
    """
    if any(found.code == "wording.gap" for found in check_wording(content)):
        return  # They quote the alert: its gaps are named once.
    if kind == "update":
        yield from _check_variant(content, content.update_wording, "update_wording", sms_parts)
        yield from _check_variant(content, content.left_wording, "left_wording", sms_parts)
        yield from left_words.check(content)
    prepared = {"cancel": content.prepared.cancel, "correction": content.prepared.correction}
    for name, words in prepared.items():
        if not set(content.languages) <= set(words):
            yield Problem(
                f"no_{name}_prepared", False, f"prepared.{name}",
                *_NOT_PREPARED[name],
            )  # fmt: skip
        else:
            yield from _check_variant(content, words, f"prepared.{name}", sms_parts)


def _check_variant(content: Content, words: Words, where: str, sms_parts: int) -> Iterator[Problem]:
    for lang in content.languages:
        if lang in words:
            yield from _check_words(content, words[lang], lang, where, sms_parts)
        else:
            yield Problem(
                "variant_missing", True, f"{where}.{lang}", *_MISSING[where, lang],
            )  # fmt: skip


def _pieces(wording: ContentWording) -> pieces.Wording:
    return pieces.Wording.from_dict(wording.model_dump())
