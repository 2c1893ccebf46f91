"""Names in the order of the Vietnamese alphabet: Cầu Giấy before Chương Mỹ, Đông Ngạc after D."""

from __future__ import annotations

import unicodedata

_LETTERS = " -0123456789aăâbcdđeêfghijklmnoôơpqrstuưvwxyz"
_PLACE = {letter: number for number, letter in enumerate(_LETTERS)}
_TONES = {mark: number for number, mark in enumerate("\u0300\u0309\u0303\u0301\u0323", 1)}
"""Huyền, hỏi, ngã, sắc, nặng: they decide between names that are spelled alike."""

Key = tuple[tuple[int, ...], tuple[int, ...], str]


def spelled(name: str) -> Key:
    """Return what sorts a name as people look it up; letters of other alphabets come last."""
    letters: list[int] = []
    tones: list[int] = []
    for letter in unicodedata.normalize("NFC", name.casefold()):
        parts = unicodedata.normalize("NFD", letter)
        plain = unicodedata.normalize("NFC", "".join(p for p in parts if p not in _TONES))
        letters.append(_PLACE.get(plain, len(_LETTERS) + ord(plain[:1] or " ")))
        tones.append(max((_TONES.get(part, 0) for part in parts), default=0))
    return tuple(letters), tuple(tones), name
