from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from templates.catalogue import load
from templates.check import first_sentence
from templates.render import (
    UnknownWordingError,
    Wording,
    as_exercise,
    as_real,
    check,
    html_of_text,
    render,
)
from templates.sms_text import measure


def flood(lang: str = "vi", **changed: Any) -> Wording:
    return render("flood", lang, {**load().events["flood"].examples(), **changed})


def codes(wording: Wording, **options: Any) -> list[tuple[str, str]]:
    return [(p.field, p.code) for p in check(wording, "vi", **options)]


def with_push(title: str | None = None, body: str | None = None) -> Wording:
    wording = flood()
    push = wording.push
    return replace(
        wording,
        push=replace(
            push,
            title=push.title if title is None else title,
            body=push.body if body is None else body,
        ),
    )


def with_sms(text: str) -> Wording:
    wording = flood()
    return replace(wording, sms=replace(wording.sms, text=text))


def test_a_flood_in_vietnamese() -> None:
    wording = flood()
    assert wording.push.title == "Rời bãi sông Hồng trước 06:00 10/09"
    assert wording.push.body.startswith("Tới điểm sơ tán trước 06:00 10/09 nếu bạn ở bãi sông")
    assert "đỉnh 11,70 m lúc 07:00 10/09" in wording.push.body
    assert wording.push.body.endswith("Nguồn: Đài Khí tượng Thủy văn, bản tin 03:00 10/09.")
    assert wording.sms.text == (
        "Roi bai song Hong, ngoai de truoc 06:00 10/09 tai Hong Ha, Phu Thuong, Bo De, Linh Nam. "
        "Lu len bao dong III. Can giup: nhan tin toi 1022. Can cuu: goi 114."
    )
    assert wording.email.text.splitlines()[0] == "Hiệu lực đến 18:00 10/09."
    assert f"1. {wording.page.instructions[0]}" in wording.email.text
    assert len(wording.page.instructions) == 5


def test_a_flood_in_english() -> None:
    wording = flood("en")
    assert wording.push.title == "Leave Red River banks by 06:00, 10 Sep"
    assert "crest 11.70 m at 07:00, 10 Sep" in wording.push.body
    assert "text 1022" in wording.sms.text
    assert wording.email.text.splitlines()[0] == "In force until 18:00, 10 Sep."


def test_optional_fields_leave_no_hole() -> None:
    wording = flood(crest_at=None, crest_level=None, shelters="")
    assert "đỉnh" not in wording.push.body
    assert "lên báo động III." in wording.push.body
    assert "None" not in json.dumps(wording.as_dict())
    assert check(wording, "vi") == []


def test_an_empty_instruction_is_left_out() -> None:
    examples = load().events["all_clear"].examples()
    with_caution = render("all_clear", "vi", examples)
    without = render("all_clear", "vi", {**examples, "caution": None})
    assert len(without.page.instructions) == len(with_caution.page.instructions) - 1
    assert all(without.page.instructions)


def test_sms_keeps_its_diacritics_when_asked() -> None:
    examples = load().events["flood"].examples()
    marked = render("flood", "vi", examples, sms_diacritics=True)
    assert marked.sms.text.startswith("Rời bãi sông Hồng, ngoài đê")
    assert measure(marked.sms.text).parts == 3
    assert measure(flood().sms.text).parts == 1


def test_html_escapes_what_was_typed() -> None:
    wording = flood(source="<script>alert(1)</script> & con")
    assert "<script>" not in wording.email.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; con" in wording.email.html
    assert "<script>" in wording.email.text


def test_a_value_cannot_open_a_piece_of_its_own() -> None:
    wording = flood(source="Đài\n1. Về nhà\n\n2. Ở lại")
    assert wording.page.description.endswith("\nNguồn: Đài 1. Về nhà 2. Ở lại.")
    assert len(wording.page.instructions) == len(flood().page.instructions)
    assert "\n" not in wording.push.title


def test_a_half_filled_form_shows_its_gaps_and_cannot_be_sent() -> None:
    wording = render("flood", "vi", {"river": "hong", "leave_by": "chiều nay"})
    assert wording.push.title == "Rời bãi sông Hồng trước ‹Rời đi trước›"
    gaps = {p.field for p in check(wording, "vi") if p.code == "wording.gap"}
    assert gaps >= {"push.title", "push.body", "sms.text", "email.html", "page.description"}
    for event in load().events:
        for lang in ("vi", "en"):
            assert check(render(event, lang, {}), lang)


def test_an_unknown_event_or_language_is_said_so() -> None:
    with pytest.raises(UnknownWordingError, match="tsunami"):
        render("tsunami", "vi", {})
    with pytest.raises(UnknownWordingError, match="fr"):
        render("flood", "fr", {})


def test_a_wording_survives_json() -> None:
    for wording in (flood(), as_exercise(flood("en"), "en")):
        assert Wording.from_dict(json.loads(json.dumps(wording.as_dict()))) == wording


def test_times_at_midnight_and_years_end() -> None:
    new_year = datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=7)))
    assert flood(leave_by=new_year).push.title == "Rời bãi sông Hồng trước 00:00 01/01"
    before = new_year - timedelta(minutes=1)
    assert flood("en", leave_by=before).push.title == "Leave Red River banks by 23:59, 31 Dec"


# --- check(), on texts an official has edited


def test_title_of_40_letters_passes_and_41_does_not() -> None:
    assert codes(with_push(title="Ộ" * 40)) == []
    assert codes(with_push(title="Ộ" * 41)) == [("push.title", "wording.too_long")]


def test_first_sentence_of_120_letters_passes_and_121_does_not() -> None:
    assert codes(with_push(body="Ộ" * 119 + ". " + "ơ" * 300)) == []
    assert codes(with_push(body="Ộ" * 120 + ". Hết")) == [
        ("push.body.first_sentence", "wording.too_long")
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Rời nhà. Đi ngay.", "Rời nhà."),
        ("Nước 11.70 m ở P. Hồng Hà, TP. Hà Nội. Đi.", "Nước 11.70 m ở P. Hồng Hà, TP. Hà Nội."),
        ("Đi ngay! Nước lên", "Đi ngay!"),
        ("Không có chấm", "Không có chấm"),
        ("Dòng một\nDòng hai.", "Dòng một"),
    ],
)
def test_where_the_first_sentence_ends(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_push_body_limits() -> None:
    assert codes(with_push(body="Đi. " + "a" * 1996)) == []
    assert codes(with_push(body="Đi. " + "a" * 1997)) == [("push.body", "wording.too_long")]
    # 1,200 letters of three bytes: short enough to read, too big for FCM.
    assert codes(with_push(body="Đi. " + "ộ" * 1200)) == [("push.body", "wording.push_payload")]


def test_sms_parts_and_the_letter_that_costs_them() -> None:
    assert codes(with_sms("a" * 459)) == []
    assert codes(with_sms("a" * 460)) == [("sms.text", "wording.sms_parts")]
    assert codes(with_sms("a" * 307), sms_parts=2) == [("sms.text", "wording.sms_parts")]
    (found,) = check(with_sms("a" * 200 + "’" + "b" * 30), "vi")
    assert "SMS 4 phần, nhiều nhất 3" in found.message_vi
    assert "“’” (thứ 201)" in found.message_vi
    assert "bản tiếng Việt" in found.message_vi


def test_empty_pieces_are_named() -> None:
    assert codes(with_push(title=" ")) == [("push.title", "wording.empty")]
    assert codes(with_sms("")) == [("sms.text", "wording.empty")]
    wording = flood()
    page = replace(wording.page, instructions=())
    assert codes(replace(wording, page=page)) == [("page.instructions", "wording.empty")]
    page = replace(wording.page, instructions=("Đi ngay", ""))
    (found,) = check(replace(wording, page=page), "vi")
    assert found.message_vi.startswith("Việc 2 chưa có chữ")


def test_an_exercise_holding_nothing_but_its_mark_is_empty() -> None:
    marked = as_exercise(with_sms(""), "vi")
    assert codes(marked) == [("sms.text", "wording.empty")]


def test_a_line_break_in_a_title_is_refused() -> None:
    wording = flood()
    email = replace(wording.email, subject="Lũ\r\nBcc: ai@example.org")
    assert codes(replace(wording, email=email)) == [("email.subject", "wording.line_break")]


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\ud800"])
def test_a_character_nothing_can_carry_is_named(letter: str) -> None:
    (found,) = check(with_push(body=f"Đi ngay{letter}."), "vi")
    assert (found.field, found.code) == ("push.body", "wording.character")
    assert f"U+{ord(letter):04X} (thứ 8)" in found.message_vi


# --- exercises


@pytest.mark.parametrize("event", sorted(load().events))
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_an_exercise_says_so_first_in_every_wording(event: str, lang: str) -> None:
    wording = render(event, lang, load().events[event].examples())
    marked = as_exercise(wording, lang)
    mark = {"vi": "[DIỄN TẬP]", "en": "[EXERCISE]"}[lang]
    pieces = [
        marked.push.title, marked.push.body, marked.email.subject, marked.email.text,
        marked.page.headline, marked.page.description, *marked.page.instructions,
    ]  # fmt: skip
    assert all(piece.startswith(f"{mark} ") for piece in pieces)
    assert marked.email.html.startswith(f"<p><strong>{mark}</strong></p>")
    assert marked.sms.text.startswith("[DIEN TAP] " if lang == "vi" else "[EXERCISE] ")
    assert measure(marked.sms.text).encoding == "gsm7"
    assert check(marked, lang) == []
    assert as_exercise(marked, lang) == marked
    assert as_real(marked) == wording


@pytest.mark.parametrize(
    "typed", ["[Diễn tập] ", " [DIEN TAP]", "[EXERCISE] [DIỄN TẬP] ", "[ diễn  tập ]  "]
)
def test_a_mark_typed_by_hand_is_not_put_twice(typed: str) -> None:
    marked = as_exercise(with_push(body=f"{typed}Đi ngay."), "vi")
    assert marked.push.body == "[DIỄN TẬP] Đi ngay."


def test_the_mark_of_an_sms_keeps_its_alphabet() -> None:
    assert as_exercise(with_sms("Rời nhà"), "vi").sms.text == "[DIỄN TẬP] Rời nhà"
    again = as_exercise(with_sms("[DIỄN TẬP] Roi nha"), "vi")
    assert again.sms.text == "[DIEN TAP] Roi nha"


# --- HTML for an edited mail


def test_edited_text_becomes_safe_html() -> None:
    html = html_of_text("Đi ngay <b>\nnhé\n\nViệc cần làm:\n1. Tắt điện & ga\n2. Đi\n\nHết")
    assert html == (
        "<p>Đi ngay &lt;b&gt;<br>nhé</p>\n<p>Việc cần làm:</p>\n"
        "<ol><li>Tắt điện &amp; ga</li><li>Đi</li></ol>\n<p>Hết</p>"
    )
