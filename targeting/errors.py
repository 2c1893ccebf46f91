"""What can be wrong with an area or a file of units, said so that an official understands it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AreaProblem:
    """One thing wrong: a stable code, the place in the geometry, a sentence in each language.

    `at` is (lon, lat) to look at on a map; `repair` names what would mend it; what is not
    `blocking` is worth knowing and keeps nobody from using the area.
    """

    code: str
    where: str
    message_vi: str
    message_en: str
    at: tuple[float, float] | None = None
    repair: str | None = None
    blocking: bool = True


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
        "Hình vẽ ở đây chỉ là một điểm hoặc một vạch; cần ít nhất ba điểm không thẳng hàng.",
        "This shape is only a point or a line; it needs three points that are not in one line.",
    ),
    "unclosed_ring": (
        "Đường biên chưa khép kín gần {at}: nối điểm cuối với điểm đầu.",
        "The border is not closed near {at}: join the last point to the first.",
    ),
    "self_crossing": (
        "Đường biên tự cắt hoặc đi trùng chính nó gần {at}; hãy kéo các điểm ở đó ra.",
        "The border crosses or retraces itself near {at}; move the points there apart.",
    ),
    "bad_hole": (
        "Phần khoét gần {at} nằm ngoài vùng hoặc trong phần khoét khác; hãy bỏ nó.",
        "The hole near {at} lies outside the area or inside another hole; drop it.",
    ),
    "out_of_range": (
        "{count} điểm như {at} không có trên bản đồ. Cần kinh độ, vĩ độ (WGS 84), không phải mét.",
        "{count} points such as {at} are not on the map. Degrees (WGS 84) are needed, not metres.",
    ),
    "metres": (
        "{count} điểm như {at} giống mét của phép chiếu (VN-2000); hãy lưu tệp kèm hệ toạ độ.",
        "{count} points such as {at} look like metres (VN-2000); save with the coordinate system.",
    ),
    "swapped": (
        "Kinh độ và vĩ độ có vẻ bị đổi chỗ tại {at}; hãy ghi kinh độ trước, vĩ độ sau.",
        "Longitude and latitude look swapped at {at}; put longitude first.",
    ),
    "bad_circle": (
        "Bán kính {metres} m không dùng được: hãy chọn trên 0, tối đa {limit} m.",
        "A radius of {metres} m is not possible: choose over 0, at most {limit} m.",
    ),
    "empty_area": (
        "Vùng đang trống: chưa chọn gì, hoặc đã loại trừ hết. Hãy chọn đơn vị hoặc vẽ vùng.",
        "The area is empty: nothing is chosen, or all is excluded. Choose units or draw.",
    ),
    "unknown_unit": (
        "Không có đơn vị hành chính mã {unit} (có hiệu lực từ {vintage}); hãy chọn lại đơn vị.",
        "There is no administrative unit {unit} (in force from {vintage}); choose it again.",
    ),
    "ended_unit": (
        "{name} (mã {unit}) đã kết thúc ngày {ended}; nay là {heirs}.",
        "{name_en} (code {unit}) ended on {ended_en}; today it is {heirs_en}.",
    ),
    "ended_unit_without_heir": (
        "{name} (mã {unit}) đã kết thúc ngày {ended}; hãy bỏ ra và chọn đơn vị hiện nay.",
        "{name_en} (code {unit}) ended on {ended_en}; take it out and choose a unit of today.",
    ),
    "unknown_group": (
        "Không có nhóm đơn vị mã {group}; hãy chọn lại nhóm.",
        "There is no group of units {group}; choose it again.",
    ),
    "outside_jurisdiction": (
        "{percent} % vùng này ({km2_vi} km²) ngoài địa bàn của bạn, như gần {at}; hãy cắt bớt.",
        "{percent} % of this area ({km2} km²) is outside your jurisdiction, as at {at}; cut it.",
    ),
    "beyond_jurisdiction": (
        "Vùng này không chạm địa bàn bạn phụ trách (nó ở gần {at}); hãy chọn nơi trong địa bàn.",
        "This area does not touch your jurisdiction (it is near {at}); choose places inside it.",
    ),
    "too_many_polygons": (
        "Vùng có {count} hình vẽ, quá mức {limit}; hãy gộp các hình lại.",
        "The area has {count} drawn shapes, more than {limit}; merge them.",
    ),
    "too_many_points": (
        "Vùng có {count} điểm, quá mức {limit}; hãy đơn giản bớt đường biên.",
        "The area has {count} points, more than {limit}; simplify its border.",
    ),
    "fewest_points": (
        "Không thể ít tới {wanted} điểm: các hình này cần ít nhất {count} điểm. Hãy gộp bớt hình.",
        "{wanted} points are too few: these shapes need {count} at least. Merge some of them.",
    ),
    "lines_too_long": (
        "Các đường vẽ có {count} khúc, quá mức {limit}; hãy vẽ ngắn hơn hoặc bớt gấp khúc.",
        "The lines have {count} stretches, more than {limit}; draw shorter ones, fewer bends.",
    ),
    "too_tangled": (
        "Các đường biên cắt nhau quá nhiều, như gần {at}; hãy vẽ ít hình chồng nhau hơn.",
        "The borders cross one another too often, as near {at}; draw fewer overlapping shapes.",
    ),
    "duplicate_points": (
        "{count} điểm của đường vẽ bị lặp liền nhau, bắt đầu gần {at}. Vùng vẫn dùng được; nên bỏ.",
        "{count} points are repeated in a row, first near {at}. The area can be used; drop them.",
    ),
    "wrong_winding": (
        "Đường biên gần {at} vẽ ngược chiều quy ước. Vùng vẫn dùng được; nên đảo lại chiều.",
        "The border near {at} runs the other way than agreed. The area can be used; turn it round.",
    ),
    "nested_polygon": (
        "Hình gần {at} nằm trọn trong hình khác nên không thêm gì; muốn bỏ ra, hãy loại trừ nó.",
        "The shape near {at} lies inside another and adds nothing; to leave it out, exclude it.",
    ),
    "bad_line": (
        "Đường vẽ cần ít nhất hai điểm khác nhau; hãy vẽ tiếp, hoặc dùng hình tròn.",
        "A line needs at least two different points; draw on, or use a circle.",
    ),
    "bad_distance": (
        "Khoảng cách {metres} m hai bên đường không dùng được: hãy chọn trên 0, tối đa {limit} m.",
        "A distance of {metres} m along a line is not possible: choose over 0, at most {limit} m.",
    ),
    "no_one_inside": (
        "Không có người đăng ký nào trong vùng này; hãy xem lại vị trí và độ rộng của vùng.",
        "Nobody registered is inside this area; look again at its place and size.",
    ),
    "needs_distance": (
        "Đây chỉ là {kind_vi}, chưa có vùng quanh nó: thêm cột “metres” (số mét) hoặc tự vẽ vùng.",
        "This is only a {kind} with no area around it: add a column “metres”, or draw the area.",
    ),
    "not_cap": (
        "Tệp không phải bản tin CAP đọc được: {detail_vi}. Hãy xin nơi gửi tệp khác.",
        "The file is no readable CAP message: {detail}. Ask its sender for another.",
    ),
    "bad_cap_shape": (
        "Hình ở dòng {line} của bản tin CAP không đọc được; cần “vĩ độ,kinh độ”.",
        "The shape on line {line} of the CAP message is unreadable; “lat,lon” is needed.",
    ),
    "cap_without_shape": (
        "Khu vực ở dòng {line} của bản tin CAP chỉ có tên hoặc mã lạ; hãy tự chọn đơn vị.",
        "The area on line {line} of the CAP message has only a name or unknown codes; pick units.",
    ),
    "unknown_repair": (
        "Không có cách sửa tên “{name}”.",
        "There is no repair “{name}”.",
    ),
    "not_geojson": (
        "Dữ liệu không phải GeoJSON dùng được: {detail_vi}.",
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
    "text_too_long": (
        "Danh sách quá dài: tối đa {limit} mục trong một lần dán.",
        "The list is too long: at most {limit} entries may be pasted at once.",
    ),
    "not_a_file_we_read": (
        "Không đọc được “{name}”; gửi GeoJSON, TopoJSON, Shapefile (.zip), GPKG, KML, KMZ hay CAP.",
        "“{name}” cannot be read; send GeoJSON, TopoJSON, Shapefile (.zip), GPKG, KML, KMZ or CAP.",
    ),
    "empty_file": (
        "Tệp “{name}” trống; hãy xuất lại từ bản đồ rồi gửi.",
        "The file “{name}” is empty; export it from the map again.",
    ),
    "too_much_inside": (
        "Tệp “{name}” có quá {limit} {what_vi}; hãy chia nhỏ.",
        "The file “{name}” has more than {limit} {what}; split it.",
    ),
    "missing_part": (
        "Shapefile “{name}” thiếu {parts}; hãy nén cả .shp, .shx, .dbf và .prj vào một tệp .zip.",
        "The Shapefile “{name}” lacks {parts}; put .shp, .shx, .dbf and .prj into one .zip file.",
    ),
    "damaged_file": (
        "Tệp “{name}” bị hỏng hoặc bị cắt giữa chừng; hãy xuất và gửi lại.",
        "The file “{name}” is damaged or cut off; export and send it again.",
    ),
    "unsafe_file": (
        "Tệp “{name}” có khai báo DOCTYPE, không được chấp nhận; hãy xuất lại từ bản đồ.",
        "The file “{name}” declares a DOCTYPE, which is not accepted; export it again.",
    ),
    "several_files": (
        "Tệp nén “{name}” chứa nhiều tệp bản đồ: {files}; hãy gửi từng tệp một.",
        "The archive “{name}” holds several map files: {files}; send them one at a time.",
    ),
    "locked_file": (
        "Tệp nén “{name}” có mật khẩu; hãy nén lại không đặt mật khẩu.",
        "The archive “{name}” has a password; pack it again without one.",
    ),
    "too_big": (
        "Tệp “{name}” quá lớn (tối đa {limit}); hãy đơn giản hoặc chia nhỏ.",
        "The file “{name}” is too big (at most {limit}); simplify or split it.",
    ),
    "too_slow": (
        "Đọc tệp “{name}” mất quá {seconds} giây; hãy đơn giản hoặc chia nhỏ.",
        "Reading “{name}” takes more than {seconds} seconds; simplify or split it.",
    ),
    "no_shapes": (
        "Tệp “{name}” không có hình nào trên bản đồ.",
        "There is no shape in the file “{name}”.",
    ),
    "unknown_coordinates": (
        "Không rõ hệ toạ độ của “{name}” ({crs}); hãy xuất lại theo WGS 84 (EPSG:4326).",
        "The coordinate system of “{name}” ({crs}) is not known; export it in WGS 84 (EPSG:4326).",
    ),
}


# code -> the repair that mends it, see `targeting.repairs`.
REPAIRS: dict[str, str] = {
    "swapped": "swap",
    "out_of_range": "drop_points",
    "unclosed_ring": "close_ring",
    "duplicate_points": "drop_duplicates",
    "too_few_points": "drop_empty",
    "bad_hole": "drop_hole",
    "self_crossing": "uncross",
    "wrong_winding": "rewind",
    "too_many_polygons": "merge_polygons",
    "too_many_points": "simplify",
    "outside_jurisdiction": "clip",
}

# An area with nothing else wrong can be drawn, only not used.
OVERSIZED = frozenset({"too_many_points", "too_many_polygons"})

# An area with these can be used as it is.
ADVISORY = frozenset({"fewest_points", "duplicate_points", "wrong_winding", "nested_polygon"})


def problem(
    code: str, where: str, look_at: tuple[float, float] | None = None, /, **facts: object
) -> AreaProblem:
    """Return the problem `code` at `where`, its sentences filled from `facts`.

    `look_at` is where it is on the map, (lon, lat).
    """
    vietnamese, english = MESSAGES[code]
    return AreaProblem(
        code,
        where,
        vietnamese.format(**facts),
        english.format(**facts),
        at=look_at,
        repair=REPAIRS.get(code),
        blocking=code not in ADVISORY,
    )
