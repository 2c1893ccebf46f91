"""What one of the languages would not say: a field without its twin, places that are counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from templates.event import Event

_LANGS = {"vi": ("tiếng Việt", "Vietnamese"), "en": ("tiếng Anh", "English")}
_COUNTED = re.compile(r"và \d+ nơi khác|and \d+ more|va \d+ noi khac")
_PIECES = {"push.body": ("thông báo đẩy", "the push"), "sms.text": ("SMS", "the SMS")}


def check_left_out(content: Content, event: Event | None) -> Iterator[Problem]:
    """Advise on an optional field written in one language only, and on places a message counts."""
    for field in event.fields if event else ():
        value = content.values.get(field.name)
        if field.type == "text" and not field.required and isinstance(value, dict):
            yield from _untold(content, field.name, field.label.vi, field.label.en, value)
    counted = _counted(content)
    if counted:
        vi, en = zip(*counted, strict=True)
        yield Problem(
            "places_counted", False, "values.places",
            f"Chỉ đếm, không nêu tên mọi nơi: {'; '.join(vi)}. Muốn nêu đủ, dùng một tên chung cho"
            " cả vùng.",
            f"Places are counted and not all named: {'; '.join(en)}. To name them all, use one"
            " name for the whole area.",
        )  # fmt: skip


def _counted(content: Content) -> list[tuple[str, str]]:
    """Return each message that counts places, with what it says of them, in both languages."""
    found = []
    for lang in content.languages:
        wording = content.wording.get(lang)
        texts = {"push.body": wording.push.body, "sms.text": wording.sms.text} if wording else {}
        for piece, text in texts.items():
            said = _COUNTED.search(text)
            if said and piece.partition(".")[0] in content.channels:
                (vi, en), (lang_vi, lang_en) = _PIECES[piece], _LANGS[lang]
                found.append((f"{vi} {lang_vi} “{said[0]}”", f"{en} in {lang_en} “{said[0]}”"))
    return found


def _untold(
    content: Content, name: str, label_vi: str, label_en: str, value: dict[str, Any]
) -> Iterator[Problem]:
    if not any(str(value.get(lang) or "").strip() for lang in content.languages):
        return
    for lang in content.languages:
        if not str(value.get(lang) or "").strip():
            vi, en = _LANGS[lang]
            yield Problem(
                "language_left_out", False, f"values.{name}",
                f"“{label_vi}” chưa có {vi}: người đọc {vi} không biết điều này. Viết thêm.",
                f"“{label_en}” has no {en}: readers of {en} are not told. Write it.",
            )  # fmt: skip
