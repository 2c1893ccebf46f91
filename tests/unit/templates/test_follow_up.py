"""The words for what follows an alert: within every channel's limit, and never saying too much."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import get_args

import pytest

from templates import follow_up
from templates.catalogue import LANGS, load
from templates.check import FIRST_SENTENCE_MAX, TITLE_MAX, check
from templates.event import AlertClass
from templates.follow_up import VARIANTS, Said
from templates.render import render
from templates.sms_text import measure

UNTIL = datetime(2026, 9, 10, 11, tzinfo=UTC)
EVERY = [(v, lang, c) for v in VARIANTS for lang in LANGS for c in get_args(AlertClass)]


@pytest.mark.parametrize(("variant", "lang", "alert_class"), EVERY)
def test_the_longest_title_and_order_stay_within_limits_and_in_one_sms(
    variant: follow_up.Variant, lang: str, alert_class: str
) -> None:
    said = Said(alert_class, "Ơ" * TITLE_MAX, "Ơ" * (FIRST_SENTENCE_MAX - 1) + ". Hai.", UNTIL)
    wording = follow_up.render(variant, lang, said)
    assert check(wording, lang, sms_parts=1) == []
    assert measure(wording.sms.text).encoding == "gsm7"
    assert all("Hai" not in text for text in (wording.push.body, wording.email.text))


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("event", load().events)
def test_they_speak_of_every_event_by_its_title_and_order(event: str, lang: str) -> None:
    alert = render(event, lang, load().events[event].examples())
    said = Said("warning", alert.push.title, alert.push.body, UNTIL)
    for variant in VARIANTS:
        wording = follow_up.render(variant, lang, said)
        assert check(wording, lang, sms_parts=1) == []
        if variant != "update":
            assert alert.push.title in wording.push.title + wording.push.body
    short = follow_up.render("update", lang, said)
    assert "18:00" in short.sms.text
    assert short.push.body.startswith(alert.push.body[:20])


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Ở trong nhà", "Cập nhật: Ở trong nhà"),
        ("Rời nhà trước 17:00 tới điểm sơ tán", "Mới: Rời nhà trước 17:00 tới điểm sơ tán"),
        ("Rời nhà trước 17:00 tới điểm sơ tán xã", "Mới: Rời nhà trước 17:00 tới điểm sơ…"),
    ],
)
def test_on_a_lock_screen_an_update_does_not_look_like_what_it_replaces(
    title: str, expected: str
) -> None:
    shown = follow_up.render("update", "vi", Said("warning", title, "Rời nhà.", UNTIL)).push.title
    assert shown == expected
    assert len(shown) <= TITLE_MAX


@pytest.mark.parametrize("variant", ["cancel", "correction", "withdrawn"])
@pytest.mark.parametrize("lang", LANGS)
def test_what_takes_a_message_back_names_it_and_never_speaks_of_itself(
    variant: follow_up.Variant, lang: str
) -> None:
    page = follow_up.render(variant, lang, Said("warning", "Ở trong nhà", "Ở yên.", UNTIL)).page
    assert "Ở trong nhà" in page.description
    said = f"{page.description} {' '.join(page.instructions)}".lower()
    assert not re.search(r"this (warning|notice|message)|(tin|cảnh báo|thông báo) này", said)


@pytest.mark.parametrize(("lang", "alert_class"), [(lang, c) for _, lang, c in EVERY])
def test_who_is_left_out_is_never_told_that_all_is_clear(lang: str, alert_class: str) -> None:
    said = Said(alert_class, "Ở trong nhà", "Ở trong nhà.", UNTIL)
    wording = follow_up.render("left", lang, said)
    text = " ".join(str(piece) for piece in wording.as_dict().values()).lower()
    assert not re.search(r"all.?clear|safe|is over|ended|hết nguy|an toàn|het nguy", text)
    words = "no longer covers your place" if lang == "en" else "không còn áp dụng cho nơi của bạn"
    assert words in text


def test_what_an_official_typed_cannot_break_out_of_the_mail() -> None:
    said = Said("warning", "<b>x</b>", "Ở trong nhà.", UNTIL)
    assert "<b>" not in follow_up.render("cancel", "vi", said).email.html
