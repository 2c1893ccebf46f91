import pytest

from broadcaster.incidents.codes import ALPHABET, REPORT_PREFIX, tracking_code
from broadcaster.incidents.messages import clean, is_stop
from broadcaster.incidents.understand import word_list


@pytest.mark.parametrize(
    ("text", "category", "urgency"),
    [
        ("p. phu thuong ngap 0,5m, xe chet may", "flood", "normal"),
        ("Đường Âu Cơ ngập sâu 60cm, nước đang dâng nhanh", "flood", "urgent"),
        ("Cứu với, cả nhà mắc kẹt trên tầng 2", "trapped", "life_threatening"),
        ("cuu voi nha em bi ket trong nha co tre em", "trapped", "life_threatening"),
        ("Xin cứu! nước vào nhà", "flood", "life_threatening"),
        ("cây xà cừ bật gốc chắn ngang đường Láng", "fallen_tree", "normal"),
        ("cay do o ngo 12", "fallen_tree", "normal"),
        ("dây điện đứt rơi xuống vũng nước", "power_line", "urgent"),
        ("Sạt lở đất sau nhà, nguy hiểm", "landslide", "urgent"),
        ("Nhà bên đang cháy, khói nhiều", "fire", "urgent"),
        ("de bi vo de roi, nuoc tran vao lang", "dyke", "urgent"),
        ("mái tôn nhà hàng xóm bay mái sang", "roof", "normal"),
        ("tắc cống nước không thoát được", "drain", "normal"),
        ("mất điện từ 2h sáng", "power_cut", "normal"),
        ("bố em khó thở cần cấp cứu", "medical", "life_threatening"),
        ("Tree fell across the road, nobody is trapped", "fallen_tree", "normal"),
        ("Water rising, two elderly people trapped", "trapped", "life_threatening"),
        ("đường ngập nhưng không ai mắc kẹt", "flood", "normal"),
        ("Cảm ơn thông báo", "other", "normal"),
        ("đã nhận được, xin cảm ơn", "other", "normal"),
        ("con cừu nhà tôi chạy mất", "other", "normal"),
        ("nước chảy xiết qua đường", "other", "normal"),
        ("", "other", "normal"),
    ],
)
def test_words_tell_what_it_is_and_how_urgent(text: str, category: str, urgency: str) -> None:
    told = word_list().read(text)
    assert (told.category, told.urgency) == (category, urgency), told.found


def test_a_missed_cry_for_help_costs_more_than_a_look() -> None:
    """ "Không" before a comma denies something else."""
    told = word_list().read("điện thoại không, mắc kẹt trên mái")
    assert told.urgency == "life_threatening"


@pytest.mark.parametrize(
    "text", ["STOP", " stop. ", "Hủy", "HUY", "Dừng!", "dung", "TC", "từ chối"]
)
def test_a_stop_word_alone_stops(text: str) -> None:
    assert is_stop(clean(text))


@pytest.mark.parametrize(
    "text",
    ["dung lai di, nguoi ket o day", "nước chưa dừng", "huy dong nguoi", "stop the flood", ""],
)
def test_a_stop_word_in_a_report_does_not(text: str) -> None:
    assert not is_stop(clean(text))


def test_text_is_composed_and_free_of_control_characters() -> None:
    assert clean("nga\u0323\u0302p\x00 \ud800nặng\r\n\x1b[2J ") == "ngập nặng\n[2J"


def test_codes_hold_no_letters_that_look_alike_and_grow_after_collisions() -> None:
    made = {tracking_code(REPORT_PREFIX) for _ in range(500)}
    assert len(made) > 490
    assert all(len(code) == 7 and set(code[2:]) <= set(ALPHABET) for code in made)
    assert not set(ALPHABET) & set("0O1ILB8SAEUY")
    assert len(tracking_code(REPORT_PREFIX, tries=4)) == 8
