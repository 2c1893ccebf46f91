"""What can be wrong with what people give us, said in both languages with the field named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.errors import Refused


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field."""

    field: str
    code: str
    message_vi: str
    message_en: str


class InvalidRegistration(Refused):
    """Every problem of a registration at once; nothing was stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "invalid_registration",
            " ".join(f"{p.field}: {p.message_vi}" for p in problems),
            " ".join(f"{p.field}: {p.message_en}" for p in problems),
            problems=tuple(problems),
        )
        self.problems = tuple(problems)


class Unusable(ValueError):  # noqa: N818 - caught where it is raised and told as a Problem
    """A value that cannot be used; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def at(self, field: str) -> Problem:
        """Say it of a field."""
        return Problem(field, self.code, *MESSAGES[self.code])


# code -> (Vietnamese, English)
MESSAGES: dict[str, tuple[str, str]] = {
    "phone_invalid": (
        "Số điện thoại không đúng; hãy nhập như 0912345678 hoặc +84912345678.",
        "This is no telephone number; write it like 0912345678 or +84912345678.",
    ),
    "phone_landline": (
        "Số máy bàn không nhận được tin nhắn; hãy nhập số di động.",
        "A landline receives no text messages; give a mobile number.",
    ),
    "phone_short": (
        "Đây là số ngắn của tổng đài, không phải số của bạn; hãy nhập số di động.",
        "This is a service number, not a person's; give a mobile number.",
    ),
    "email_invalid": (
        "Địa chỉ thư điện tử không đúng; hãy nhập như ten@vidu.vn.",
        "This is no mail address; write it like name@example.vn.",
    ),
    "push_invalid": (
        "Mã thiết bị không đúng; hãy mở lại ứng dụng rồi đăng ký lại.",
        "This is no device address; open the app again and register anew.",
    ),
    "channel_unknown": (
        "Kênh nhận tin phải là push, sms hoặc email.",
        "The channel is one of push, sms and email.",
    ),
    "endpoint_missing": (
        "Cần ít nhất một cách liên lạc: điện thoại, thư điện tử hoặc ứng dụng.",
        "Give at least one way to reach you: telephone, mail or the app.",
    ),
    "point_invalid": (
        "Toạ độ không đúng; kinh độ trước, vĩ độ sau, đơn vị độ.",
        "These are no coordinates; longitude first, then latitude, in degrees.",
    ),
    "point_outside": (
        "Vị trí nằm ngoài địa bàn thành phố; hãy chọn lại trên bản đồ.",
        "The place lies outside the city; choose it again on the map.",
    ),
    "unit_unknown": (
        "Không có phường, xã mã này; hãy chọn trong danh sách.",
        "There is no ward or commune of this code; choose one from the list.",
    ),
    "place_missing": (
        "Hãy cho biết nơi ở: vị trí trên bản đồ hoặc phường, xã.",
        "Say where you live: a point on the map, or the ward or commune.",
    ),
    "label_missing": (
        "Hãy đặt tên cho nơi này, ví dụ: nhà mẹ, trường của con.",
        "Give this place a name, such as: mother's home, the school.",
    ),
    "label_too_long": (
        "Tên nơi này dài quá 60 ký tự; hãy rút ngắn.",
        "The name of this place is longer than 60 characters; shorten it.",
    ),
    "label_unreadable": (
        "Tên nơi này có ký tự không đọc được; hãy gõ lại.",
        "The name of this place has characters that cannot be read; type it again.",
    ),
    "label_taken": (
        "Bạn đã có một nơi tên này; hãy chọn tên khác.",
        "You have a place of this name already; choose another.",
    ),
    "position_ahead": (
        "Thời điểm định vị nằm trong tương lai; hãy kiểm tra đồng hồ và múi giờ.",
        "The moment of the position lies in the future; check the clock and the zone.",
    ),
    "position_old": (
        "Vị trí này đã quá thời hạn bạn cho phép lưu; hãy định vị lại.",
        "This position is older than you allow it to be kept; take a new one.",
    ),
    "hours_unfit": (
        "Thời hạn lưu vị trí là từ 1 đến 72 giờ.",
        "A position is kept for 1 to 72 hours.",
    ),
    "too_many_places": (
        "Chỉ theo dõi được tối đa 5 nơi; hãy bớt đi.",
        "At most 5 places can be watched; take some away.",
    ),
    "lang_unknown": (
        "Ngôn ngữ phải là vi hoặc en.",
        "The language is vi or en.",
    ),
    "consent_missing": (
        "Thiếu sự đồng ý: cần thời điểm (kèm múi giờ) và nguồn đồng ý.",
        "Consent is missing: give the moment (with its zone) and where it was given.",
    ),
    "consent_ahead": (
        "Thời điểm đồng ý nằm trong tương lai; hãy kiểm tra đồng hồ và múi giờ.",
        "The moment of consent lies in the future; check the clock and the zone.",
    ),
    "consent_withdrawn": (
        "Người này đã rút lại sự đồng ý sau thời điểm đó; cần sự đồng ý mới.",
        "This person withdrew consent after that moment; a new consent is needed.",
    ),
    "external_id_missing": (
        "Thiếu external_id, mã riêng của mỗi dòng.",
        "external_id is missing, the row's own id.",
    ),
    "row_repeated": (
        "external_id này đã có ở một dòng trước trong cùng tệp.",
        "An earlier row of this file has the same external_id.",
    ),
}
