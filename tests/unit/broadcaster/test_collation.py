"""Names as people look them up."""

from __future__ import annotations

import random
import unicodedata

from broadcaster.web.collation import spelled

IN_ORDER = [
    "Ba Đình", "Bạch Mai", "Bồ Đề", "Cầu Giấy", "Chương Mỹ", "Cửa Nam", "Dân Hòa", "Dương Nội",
    "Đan Phượng", "Đông Ngạc", "Hà Đông", "Hoàn Kiếm", "Ngọc Hà", "Ô Chợ Dừa", "Ô Diên",
    "Phú Thượng", "Sóc Sơn", "Tùng Thiện", "Từ Liêm", "Ứng Hòa", "Xuân Mai", "Yên Bài",
]  # fmt: skip


def test_names_stand_in_the_order_of_the_alphabet_however_they_are_written() -> None:
    mixed = random.Random(7).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(mixed, key=spelled) == IN_ORDER
    split = [unicodedata.normalize("NFD", name) for name in mixed]
    assert [unicodedata.normalize("NFC", one) for one in sorted(split, key=spelled)] == IN_ORDER


def test_tones_decide_between_names_spelled_alike() -> None:
    assert sorted(["Mã", "Má", "Mạ", "Mả", "Ma", "Mà"], key=spelled) == [
        "Ma", "Mà", "Mả", "Mã", "Má", "Mạ",
    ]  # fmt: skip
