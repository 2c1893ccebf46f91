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
_PIECES = {"push.body": ("Thông báo đẩy", "The push"), "sms.text": ("SMS", "The SMS")}


def check_left_out(content: Content, event: Event | None) -> Iterator[Problem]:
    """Advise on an optional field written in one language only, and on places a message counts."""
    for field in event.fields if event else ():
        value = content.values.get(field.name)
        if field.type == "text" and not field.required and isinstance(value, dict):
            yield from _untold(content, field.name, field.label.vi, field.label.en, value)
    for lang in content.languages:
        wording = content.wording.get(lang)
        texts = {"push.body": wording.push.body, "sms.text": wording.sms.text} if wording else {}
        for piece, text in texts.items():
            counted = _COUNTED.search(text)
            if counted and piece.partition(".")[0] in content.channels:
                vi, en = _PIECES[piece]
                yield Problem(
                    "places_counted", False, f"wording.{lang}.{piece}",
                    f"{vi} {_LANGS[lang][0]} chỉ ghi “{counted[0]}”, không nêu tên các nơi đó."
                    " Viết ngắn lại rồi ghi đủ tên, hoặc dùng tên chung của cả vùng.",
                    f"{en} in {_LANGS[lang][1]} says “{counted[0]}” and does not name them. Write"
                    " shorter words with every name, or one name for the whole area.",
                )  # fmt: skip


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
