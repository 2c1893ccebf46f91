from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.sms_text import GSM7, GSM7_EXTENSION, Costly, measure, strip_diacritics

SENTENCE = "Lũ sông Hồng lên báo động III. Ai ở ngoài đê rời đi trước 06:00, tới điểm sơ tán ngay"


def expected_parts(units: list[int], lone: int, chained: int) -> int:
    """Count parts by hand; a letter is never torn between two of them."""
    if sum(units) <= lone:
        return 1 if units else 0
    parts, room = 1, chained
    for unit in units:
        if unit > room:
            parts, room = parts + 1, chained
        room -= unit
    return parts


@pytest.mark.parametrize(
    ("letter", "count", "parts"),
    [
        ("a", 160, 1), ("a", 161, 2), ("a", 306, 2), ("a", 307, 3),
        ("ệ", 70, 1), ("ệ", 71, 2), ("ệ", 134, 2), ("ệ", 135, 3),
        ("€", 80, 1), ("€", 81, 2), ("€", 152, 2), ("€", 153, 3),
        ("😀", 35, 1), ("😀", 36, 2), ("😀", 66, 2), ("😀", 67, 3),
    ],
)  # fmt: skip
def test_parts_at_the_seams(letter: str, count: int, parts: int) -> None:
    assert measure(letter * count).parts == parts


def test_a_sentence_of_85_letters_is_two_parts_or_one() -> None:
    assert len(SENTENCE) == 85
    assert measure(SENTENCE).parts == 2
    assert measure(SENTENCE).encoding == "ucs2"
    plain = measure(strip_diacritics(SENTENCE))
    assert (plain.encoding, plain.units, plain.parts) == ("gsm7", 85, 1)


def test_decomposed_text_costs_no_more_than_composed() -> None:
    decomposed = unicodedata.normalize("NFD", SENTENCE)
    assert len(decomposed) > len(SENTENCE)
    assert measure(decomposed) == measure(SENTENCE)


@pytest.mark.parametrize("letter", ["\u00a0", "’", "–", "đ", "\x1b"])
def test_one_letter_makes_it_ucs2_and_is_named(letter: str) -> None:
    measured = measure("Tranh duong ngap" + letter + "." * 60)
    assert measured.encoding == "ucs2"
    assert measured.parts == 2
    assert measured.costly == Costly(16, letter, "ucs2")


def test_the_letter_that_opens_the_last_part_is_named() -> None:
    assert measure("a" * 160).costly is None
    assert measure("a" * 153 + "bcdefghi").costly == Costly(153, "b", "part")
    # The euro sign takes two units and cannot be split over the seam at 153.
    assert measure("a" * 152 + "€" + "b" * 10).costly == Costly(152, "€", "part")


def test_empty_text_is_no_message() -> None:
    assert (measure("").encoding, measure("").parts, measure("").texts) == ("gsm7", 0, ())


@given(st.text(st.sampled_from(sorted(GSM7)), max_size=700))
def test_gsm7_counts_agree_with_counting_by_hand(text: str) -> None:
    units = [2 if letter in GSM7_EXTENSION else 1 for letter in text]
    measured = measure(text)
    assert measured.encoding == "gsm7"
    assert measured.units == sum(units)
    assert measured.parts == expected_parts(units, 160, 153)
    assert "".join(measured.texts) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_any_text_is_counted_and_split_without_loss(text: str) -> None:
    normal = unicodedata.normalize("NFC", text)
    measured = measure(text)
    assert "".join(measured.texts) == normal
    assert measured.characters == len(normal)
    assert (measured.encoding == "gsm7") == (set(normal) <= GSM7)
    if measured.encoding == "ucs2":
        units = [len(letter.encode("utf-16-be")) // 2 for letter in normal]
        assert measured.units == sum(units)
        assert measured.parts == expected_parts(units, 70, 67)


def test_strip_takes_marks_off_every_vietnamese_letter() -> None:
    marks = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]
    letters = "aăâeêioôơuưyAĂÂEÊIOÔƠUƯY"
    every = [unicodedata.normalize("NFC", letter + mark) for letter in letters for mark in marks]
    stripped = strip_diacritics("".join(every) + "đĐ")
    assert stripped == "".join(c * 6 for c in "aaaeeiooouuyAAAEEIOOOUUY") + "dD"


def test_strip_turns_typography_into_keyboard_signs() -> None:
    assert strip_diacritics("“Văn Miếu – Quốc Tử Giám”…\u00a0‘5\u202f°’") == (
        "\"Van Mieu - Quoc Tu Giam\"... '5 '"
    )
    assert strip_diacritics("\u200bngập\ufeff") == "ngap"


def test_strip_leaves_other_scripts_alone() -> None:
    assert strip_diacritics("Ö 中 й") == "O 中 и"
    assert strip_diacritics("中文 हिन्दी") == "中文 हिन्दी"


@given(st.text(max_size=200))
def test_strip_is_stable_and_never_dearer_in_encoding(text: str) -> None:
    once = strip_diacritics(text)
    assert strip_diacritics(once) == once
    if measure(text).encoding == "gsm7":
        assert measure(once).encoding == "gsm7"
