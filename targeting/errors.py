"""What can be wrong with an area or a file of units, said so that an official understands it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AreaProblem:
    """One thing wrong: a stable code, the place in the geometry, a sentence in each language."""

    code: str
    where: str
    message_vi: str
    message_en: str


class TargetingError(Exception):
    """Something given to this package cannot be used; `problems` says what and where."""

    def __init__(self, problems: Iterable[AreaProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.where}: {p.message_en}" for p in self.problems))


class AreaError(TargetingError):
    """An area that cannot be read or drawn."""


class UnitsFileError(TargetingError):
    """A file of units that cannot be imported; nothing of it was taken."""


# code -> (Vietnamese, English); the {names} are filled from the facts of the case.
MESSAGES: dict[str, tuple[str, str]] = {
    "malformed": (
        "Dữ liệu vùng không đúng dạng: {detail_vi}.",
        "The area is not in the expected form: {detail}.",
    ),
    "too_few_points": (
        "Một vùng vẽ cần ít nhất ba điểm khác nhau, không thẳng hàng.",
        "A drawn area needs at least three different points that are not in one line.",
    ),
    "unclosed_ring": (
        "Đường biên chưa khép kín: điểm cuối phải trùng với điểm đầu.",
        "The border is not closed: the last point must equal the first.",
    ),
    "self_crossing": (
        "Đường biên tự cắt hoặc đi trùng chính nó gần {at}; hãy kéo các điểm ở đó ra.",
        "The border crosses or retraces itself near {at}; move the points there apart.",
    ),
    "bad_hole": (
        "Phần khoét gần {at} nằm ngoài vùng hoặc chồng lên phần khoét khác.",
        "The hole near {at} lies outside the area or overlaps another hole.",
    ),
    "out_of_range": (
        "Toạ độ {at} không có trên bản đồ (kinh độ -180 đến 180, vĩ độ -90 đến 90).",
        "The point {at} is not on the map (longitude -180 to 180, latitude -90 to 90).",
    ),
    "swapped": (
        "Kinh độ và vĩ độ có vẻ bị đổi chỗ tại {at}; thứ tự đúng là kinh độ trước, vĩ độ sau.",
        "Longitude and latitude look swapped at {at}; longitude comes first.",
    ),
    "bad_circle": (
        "Bán kính {metres} m không hợp lệ: phải lớn hơn 0 và không quá {limit} m.",
        "A radius of {metres} m is not possible: more than 0 and at most {limit} m.",
    ),
    "empty_area": (
        "Chưa chọn vùng nào, hoặc phần loại trừ đã bỏ hết vùng đã chọn.",
        "No area is chosen, or the exclusions remove all of it.",
    ),
    "unknown_unit": (
        "Không có đơn vị hành chính mã {unit} (có hiệu lực từ {vintage}).",
        "There is no administrative unit {unit} (in force from {vintage}).",
    ),
    "unknown_group": (
        "Không có nhóm đơn vị mã {group}.",
        "There is no group of units {group}.",
    ),
    "outside_jurisdiction": (
        "{percent} % vùng này ({km2} km²) nằm ngoài địa bàn bạn phụ trách, ví dụ gần {at}.",
        "{percent} % of this area ({km2} km²) lies outside your jurisdiction, e.g. near {at}.",
    ),
    "too_many_polygons": (
        "Vùng có {count} hình, nhiều hơn mức {limit}; hãy gộp hoặc đơn giản bớt.",
        "The area has {count} shapes, more than {limit}; merge or simplify them.",
    ),
    "too_many_points": (
        "Vùng có {count} điểm, nhiều hơn mức {limit}; hãy đơn giản bớt đường biên.",
        "The area has {count} points, more than {limit}; simplify its border.",
    ),
    "not_geojson": (
        "Dữ liệu không phải GeoJSON dùng được: {detail}.",
        "This is not usable GeoJSON: {detail}.",
    ),
    "missing_property": (
        "Thiếu thuộc tính bắt buộc “{name}”.",
        "The required property “{name}” is missing.",
    ),
    "bad_property": (
        "Thuộc tính “{name}” có giá trị không dùng được: {value}.",
        "The property “{name}” has a value that cannot be used: {value}.",
    ),
    "duplicate_unit": (
        "Mã đơn vị {unit} xuất hiện hơn một lần (đã có ở {first}).",
        "The unit code {unit} appears more than once (first in {first}).",
    ),
    "bad_geometry": (
        "Đường ranh giới phải là Polygon hoặc MultiPolygon, tệp có: {value}.",
        "An outline must be a Polygon or MultiPolygon, the file has: {value}.",
    ),
}


def problem(code: str, where: str, **facts: object) -> AreaProblem:
    """Return the problem `code` at `where`, its sentences filled from `facts`."""
    vietnamese, english = MESSAGES[code]
    return AreaProblem(code, where, vietnamese.format(**facts), english.format(**facts))
