"""What a person is told about each entry of a pasted list of places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anyascii import anyascii

from targeting.former import FormerUnit
from targeting.names import Place, PlaceNames
from targeting.units import Group, Unit

# code -> (Vietnamese, English); an entry's first code in this order is the one it is known by.
MESSAGES: dict[str, tuple[str, str]] = {
    "unknown": (
        "Không tìm thấy địa danh “{text}”; dòng này chưa được lấy.",
        "No place is called “{text}”; this entry is not taken.",
    ),
    "ambiguous": (
        "“{text}” có thể là nhiều nơi: {others}. Hãy ghi rõ; dòng này chưa được lấy.",
        "“{text}” may be several places: {others}. Say which; this entry is not taken.",
    ),
    "code_conflict": (
        "Mã {code} không phải là mã của “{text}”; dòng này chưa được lấy.",
        "{code} is not the code of “{text}”; this entry is not taken.",
    ),
    "not_understood": (
        "Không hiểu phần ghi thêm “{note}”; dòng này chưa được lấy.",
        "The remark “{note}” is not understood; this entry is not taken.",
    ),
    "not_within": (
        "{place} không thuộc {others}; dòng này chưa được lấy.",
        "{place} is not in {others}; this entry is not taken.",
    ),
    "whole_city": ("Toàn bộ {place}.", "All of {place}."),
    "split_commune": (
        "{place} đã chia vào {successors}; lấy tất cả.",
        "{place} was split among {successors}; all are taken.",
    ),
    "former_commune": ("{place} nay thuộc {successors}.", "{place} is now part of {successors}."),
    "former_district": (
        "{place} không còn từ 1/7/2025; lấy cả {count} phường, xã ngày nay trên địa bàn cũ.",
        "{place} ended on 1 July 2025; the {count} wards and communes on its ground are taken.",
    ),
    "spelling": (
        "“{text}” có vẻ viết nhầm; hiểu là {place}.",
        "“{text}” looks misspelt; it is read as {place}.",
    ),
    "other_kind": (
        "Không có nơi nào đúng tên “{text}”; hiểu là {place}.",
        "No place is exactly “{text}”; it is read as {place}.",
    ),
    "code_reused": (
        "Mã {code} nay là {place}; trước 7/2025 là mã của {others}.",
        "{code} is {place} today; before July 2025 it was the code of {others}.",
    ),
    "address": (
        "Đọc như một địa chỉ: {place}; nếu cần cả {within}, hãy ghi ở dòng riêng.",
        "Read as an address: {place}; if you need all of {within}, write it on its own line.",
    ),
    "today_unit": (
        "Hiểu là {place} ngày nay; nếu ý bạn là {others}, hãy ghi rõ.",
        "Read as {place} of today; if you mean {others}, write that.",
    ),
    "namesake": (
        "Nếu ý bạn là {others}, hãy ghi rõ.",
        "If you mean {others}, write that.",
    ),
    "no_marks": (
        "Viết không đủ dấu; hiểu là {place}.",
        "Some marks are missing; it is read as {place}.",
    ),
    "taken": ("{place}.", "{place}."),
    "nearest": ("Gần giống: {others}.", "The nearest are: {others}."),
}
_MOST_NAMED = 6
_ENGLISH_KINDS = {"ward": "Ward", "commune": "Commune", "township": "Township"}


def sentences(
    codes: Iterable[str], names: PlaceNames, places: dict[str, Sequence[Place]], **facts: object
) -> tuple[str, str]:
    """Return the sentences of `codes` in Vietnamese and English, filled from places and facts."""
    known = list(codes)
    told = []
    for language, name_of in enumerate((vietnamese_name, english_name)):
        lists = {
            key: _listed([name_of(place, names) for place in some], language)
            for key, some in places.items()
        }
        told.append(" ".join(MESSAGES[code][language].format(**lists, **facts) for code in known))
    return told[0], told[1]


def vietnamese_name(place: Place, names: PlaceNames) -> str:
    """Return the name, with what tells a former place from one of today."""
    if isinstance(place, Unit):
        return place.name
    if isinstance(place, Group):
        return f"{place.name} (cũ)"
    district = names.groups.get(place.district_code)
    return f"{place.name} (trước 7/2025{f', {district.name}' if district else ''})"


def english_name(place: Place, names: PlaceNames) -> str:
    """Return the English name, with what tells a former place from one of today."""
    if not isinstance(place, FormerUnit):
        return place.name_en
    district = names.groups.get(place.district_code)
    where = f", {anyascii(district.short_name)}" if district else ""
    kind = _ENGLISH_KINDS[place.kind]
    return f"{anyascii(place.short_name)} {kind} (before July 2025{where})"


def _listed(names: list[str], language: int) -> str:
    shown, more = names[:_MOST_NAMED], len(names) - _MOST_NAMED
    rest = ("và {} nơi khác", "and {} more")[language].format(more) if more > 0 else ""
    return ", ".join([*shown, rest] if rest else shown)
