"""The sentences of an explanation, in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping

from targeting.outlines import Outlines
from targeting.shapes import Shapes

Words = tuple[str, str]
"""Vietnamese, English."""

BECAUSE: Mapping[str, Words] = {
    "place": (
        "Có trong danh sách nhận tin, vì nơi dưới đây nằm trong vùng của tin.",
        "Among the people of this alert, because the place below lies in its area.",
    ),
    "no_longer": (
        (
            "Có trong danh sách nhận tin, nhưng không nơi nào hôm nay giải thích được: từ lúc phát"
            " tin người này đã đổi nơi ở, bỏ một nơi theo dõi, hoặc vị trí gần nhất đã hết hạn."
        ),
        (
            "Among the people of this alert, but none of today's places explains it: since it was"
            " sent this person has moved, dropped a watched place, or their last position expired."
        ),
    ),
    "registered_later": (
        (
            "Không có trong danh sách nhận tin: người này đăng ký sau khi danh sách đã chốt, dù nơi"
            " dưới đây nằm trong vùng."
        ),
        (
            "Not among the people of this alert: this person registered after they were"
            " frozen, though the place below lies in the area."
        ),
    ),
    "moved_in": (
        (
            "Không có trong danh sách nhận tin: nơi dưới đây nay nằm trong vùng, nhưng lúc chốt"
            " danh sách thì chưa có."
        ),
        (
            "Not among the people of this alert: the place below lies in the area today, but"
            " not when they were frozen."
        ),
    ),
    "outside": (
        "Không có trong danh sách nhận tin: không nơi nào của người này nằm trong vùng.",
        "Not among the people of this alert: none of this person's places lies in the area.",
    ),
    "left": (
        (
            "Tin trước ({earlier}) đã tới người này, nhưng nơi của họ không còn trong vùng mới và"
            " không trong vùng cảnh báo nào khác: họ được báo rằng tin không còn áp dụng nơi họ."
        ),
        (
            "Was reached by the earlier alert ({earlier}), and none of their places lies in the new"
            " area or in that of another alert in force: they are told that it leaves them out."
        ),
    ),
    "kept": (
        (
            "Tin trước ({earlier}) đã tới người này, và nơi dưới đây vẫn nằm trong vùng: nhận bản"
            " ngắn."
        ),
        (
            "Was reached by the earlier alert ({earlier}), and the place below still lies in the"
            " area: gets the short update."
        ),
    ),
    "held_elsewhere": (
        (
            "Tin trước ({earlier}) đã tới người này và nơi của họ không còn trong vùng mới, nhưng"
            " lúc đó một cảnh báo khác vẫn bao gồm nơi của họ, hoặc họ đã được báo từ trước: không"
            " báo nữa."
        ),
        (
            "Was reached by the earlier alert ({earlier}) and is outside the new area, but another"
            " alert in force covered a place of theirs then, or they had been told before: not told"
            " again."
        ),
    ),
    "reached_before": (
        "Tin trước ({earlier}) đã tới người này, nên tin này gửi tới họ, dù hôm nay họ ở đâu.",
        (
            "Was reached by the earlier alert ({earlier}): this one goes to them for that, wherever"
            " their places are today."
        ),
    ),
    "not_reached": (
        (
            "Không có trong danh sách: tin này chỉ gửi tới những người tin trước ({earlier}) đã tới"
            " và đang còn giá trị với họ."
        ),
        (
            "Not among the people of this alert: it goes only to those whom the earlier alert"
            " ({earlier}) reached and for whom it still held."
        ),
    ),
    "would_be_told": (
        "Tin trước ({earlier}) đã tới người này; nếu gửi lúc này, người này sẽ nhận.",
        "Was reached by the earlier alert ({earlier}); sent now, this one would reach them.",
    ),
    "would_not_be_told": (
        "Chưa tin nào trước đó ({earlier}) tới người này, nên tin này sẽ không gửi tới họ.",
        "No earlier alert ({earlier}) has reached this person, so this one would not either.",
    ),
    "would_leave": (
        (
            "Tin trước ({earlier}) đã tới người này và không nơi nào của họ nằm trong vùng mới; nếu"
            " phát lúc này, họ sẽ được báo là ra khỏi vùng, trừ khi cảnh báo khác bao gồm họ."
        ),
        (
            "Was reached by the earlier alert ({earlier}) and is outside the new area; sent now,"
            " they would be told that it leaves them out, unless another alert covers them."
        ),
    ),
    "would_be": (
        "Danh sách chưa chốt vì tin chưa phát; nếu phát lúc này, người này sẽ nhận.",
        "Nobody is frozen yet, because it is not being sent; sent now, it would reach them.",
    ),
    "would_not_be": (
        "Danh sách chưa chốt vì tin chưa phát; nếu phát lúc này, người này sẽ không nhận.",
        "Nobody is frozen yet, because it is not being sent; sent now, it would not reach them.",
    ),
}
NOBODY: Mapping[str, Words] = {
    "unknown": (
        "Không ai đăng ký địa chỉ này. Kiểm tra lại từng chữ số, hoặc hỏi người dân dùng số nào.",
        "Nobody has registered this address. Check each digit, or ask which one they use.",
    ),
    "nobody_behind": (
        "Không còn ai dùng địa chỉ này: người đăng ký đã rời đi, hoặc chưa xác nhận địa chỉ.",
        "Nobody is behind this address: whoever registered it has left, or has not verified it.",
    ),
}
NOT_SENT: Mapping[str, Words] = {
    "channel": ("Tin này không phát qua kênh đó.", "This alert does not use the channel."),
    "retired": ("Địa chỉ đã ngừng dùng.", "The address is retired."),
    "unverified": ("Địa chỉ chưa được xác nhận.", "The address is not verified."),
    "not_in": ("Không gửi: người này không có trong danh sách.", "Not sent: not in the audience."),
    "not_reached": (
        "Không gửi: tin trước không tới địa chỉ này, nên không có gì để báo tiếp ở đây.",
        "Not sent: the earlier alert did not reach this address, so there is nothing to follow.",
    ),
    "later": (
        "Không gửi: lúc gửi tin chưa có địa chỉ này, hoặc tin đang được ghi.",
        "Not sent: the address was not there yet, or the deliveries are still being written.",
    ),
}
PLACE: Mapping[int, Words] = {0: ("Nơi ở", "Home"), 9: ("Vị trí gần nhất", "Last position")}
WATCHED: Words = ("Nơi theo dõi", "Watched place")


def place_name(place_no: int, *, with_number: bool) -> Words:
    """Name a kind of place; a watched one by its number where nothing else tells it apart."""
    if place_no in PLACE:
        return PLACE[place_no]
    vietnamese, english = WATCHED
    number = f" {place_no}" if with_number else ""
    return f"{vietnamese}{number}", f"{english}{number}"


def part_name(where: str, shapes: Shapes, outlines: Outlines) -> Words:
    """Name a part of an area, given as Area.parts does (`units[0]`, `polygons[2]`)."""
    kind, _, rest = where.rstrip("]").partition("[")
    number = int(rest)
    match kind:
        case "units":
            unit = outlines.units[shapes.units[number]]
            return unit.name, unit.name_en
        case "groups":
            group = outlines.groups[shapes.groups[number]]
            return group.name, group.name_en
        case "circles":
            metres = f"{shapes.circles[number].metres:.0f}"
            return (f"vòng tròn {number + 1}, bán kính {metres} m",
                    f"circle {number + 1}, {metres} m around")  # fmt: skip
        case "lines":
            metres = f"{shapes.lines[number].metres:.0f}"
            return (f"tuyến {number + 1}, mỗi bên {metres} m",
                    f"line {number + 1}, {metres} m to each side")  # fmt: skip
        case _:
            return f"hình vẽ {number + 1}", f"drawn shape {number + 1}"
