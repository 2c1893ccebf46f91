from __future__ import annotations

import unicodedata

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from channels.sms_text import GSM, UCS2, UDHI, decode, encode

GSM_LETTERS = sorted(set(smsutil.codecs.GSM_CHARSET) - {"\x1b"})
VIETNAMESE = "Nước ngập tới 0,5m ở phố Phú Thượng, quận Tây Hồ; xe chết máy, đừng đi qua hầm 🌊. "


def whole(text: str) -> str:
    message = encode(text)
    bodies = [part[6:] if message.esm_class else part for part in message.parts]
    return decode(message.data_coding, b"".join(bodies))


@given(st.text(st.sampled_from(GSM_LETTERS), min_size=1, max_size=700))
def test_gsm_text_is_split_as_an_independent_library_splits_it(text: str) -> None:
    message = encode(text)
    assert message.data_coding == GSM
    bodies = [part[6:] if message.esm_class else part for part in message.parts]
    peer = smsutil.split(text)
    assert [decode(GSM, body) for body in bodies] == [part.content for part in peer.parts]
    assert bodies == [part.content.encode("gsm0338") for part in peer.parts]
    assert all(len(part) + (message.esm_class == 0) <= 161 for part in message.parts)


@given(st.text(st.sampled_from(VIETNAMESE), min_size=1, max_size=500).map(lambda t: t + "ữ"))
def test_other_text_is_ucs2_and_comes_back_whole(text: str) -> None:
    message = encode(text)
    assert message.data_coding == UCS2
    assert all(len(part) <= 140 for part in message.parts)
    assert whole(text) == unicodedata.normalize("NFC", text)
    for part in message.parts:
        decode(UCS2, part[6:] if message.esm_class else part).encode("utf-8")  # no half letters
    assert len(message.parts) == len(smsutil.split(unicodedata.normalize("NFC", text)).parts)


@pytest.mark.parametrize(
    ("text", "data_coding", "parts"),
    [
        ("a" * 160, GSM, 1),
        ("a" * 161, GSM, 2),
        ("a" * 306, GSM, 2),
        ("a" * 307, GSM, 3),
        ("€" * 80, GSM, 1),
        ("€" * 81, GSM, 2),
        ("ư" * 70, UCS2, 1),
        ("ư" * 71, UCS2, 2),
        ("ư" * 134, UCS2, 2),
        ("ư" * 135, UCS2, 3),
        ("a" * 69 + "\u00a0", UCS2, 1),
        ("", GSM, 1),
    ],
)
def test_part_counts(text: str, data_coding: int, parts: int) -> None:
    message = encode(text)
    assert (message.data_coding, len(message.parts)) == (data_coding, parts)
    assert message.esm_class == (UDHI if parts > 1 else 0)


def test_decomposed_vietnamese_costs_no_more_than_composed() -> None:
    composed = "Đề nghị người dân không ra ngoài khi bão đổ bộ, ở yên trong nhà kiên cố."
    assert encode(unicodedata.normalize("NFD", composed)) == encode(composed)


def test_an_unknown_letter_never_becomes_a_question_mark() -> None:
    text = "Muc nuoc bao dong III, da vuot – 11,5 m"
    assert encode(text).data_coding == UCS2
    assert "?" not in whole(text)
    assert encode("\x1b escape").data_coding == UCS2


def test_parts_carry_one_reference_number_and_total() -> None:
    message = encode("x" * 400)
    heads = [tuple(part[:6]) for part in message.parts]
    reference = heads[0][3]
    assert heads == [(5, 0, 3, reference, 3, number) for number in (1, 2, 3)]
    assert encode("x" * 400) == message


def test_a_text_of_more_than_255_parts_is_refused() -> None:
    assert len(encode("x" * 153 * 255).parts) == 255
    with pytest.raises(ValueError, match="256 parts"):
        encode("x" * (153 * 255 + 1))


@pytest.mark.parametrize(
    ("data_coding", "data", "text"),
    [
        (0, b"\x00 \x1b\x65 \x1b\x3c \x02", "@ € [ $"),
        (0, b"a\xffb\x1b", "a b"),
        (1, b"plain", "plain"),
        (3, "phở".encode("latin-1", "replace"), "ph?"),
        (3, b"caf\xe9", "café"),
        (8, "ngập".encode("utf-16-be"), "ngập"),
        (8, b"\x00a\x00", "a\ufffd"),
        (0x18, "lụt".encode("utf-16-be"), "lụt"),
        (4, b"\xff\x00", "ÿ\x00"),
    ],
)
def test_reading_what_phones_send(data_coding: int, data: bytes, text: str) -> None:
    assert decode(data_coding, data) == text
