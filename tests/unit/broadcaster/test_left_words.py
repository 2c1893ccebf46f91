"""Who is left out of an update is never told that all is clear, whoever writes the words."""

from __future__ import annotations

import pytest

from broadcaster.alerts import left_words, sent_words, wordings
from broadcaster.alerts.content import Content, parse
from templates.catalogue import load
from tests.unit.broadcaster.city import NOW
from tests.unit.broadcaster.site import content

CLAIMS = [
    "Nơi của bạn đã an toàn.",
    "Noi cua ban da an toan",
    "Khu vực này đã hết nguy hiểm, cảm ơn bà con",
    "Nguy hiểm đã qua. Cảnh báo không còn áp dụng.",
    "Không còn nguy hiểm ở chỗ bạn",
    "Bà con yên tâm đi lại bình thường",
    "Bạn có thể về nhà từ 18:00",
    "All clear for your place.",
    "Your place is safe now",
    "It's safe to return home.",
    "The danger has passed; this warning no longer covers your place.",
    "You are out of danger",
    "This is not a drill, the danger is over",
]
FINE = [
    "Cảnh báo không còn áp dụng cho nơi của bạn. Vẫn cẩn thận: thấy nguy hiểm thì tránh xa.",
    "Đây không phải tin hết nguy hiểm.",
    "Chưa hết nguy hiểm: vẫn ở nơi an toàn.",
    "Đưa trẻ em tới nơi an toàn, giữ khoảng cách an toàn.",
    "Không có nghĩa là nơi bạn đã an toàn.",
    "Đường chưa an toàn.",
    "This is not an all-clear: other warnings you received still hold.",
    "Stay safe. It may not be safe outside.",
    "The danger is not over.",
    "The warning no longer covers your place.",
]


@pytest.mark.parametrize("text", CLAIMS)
def test_a_claim_of_safety_is_found_in_both_languages_with_and_without_marks(text: str) -> None:
    assert left_words.claimed(text) is not None


@pytest.mark.parametrize("text", FINE)
def test_care_and_denials_are_no_claim(text: str) -> None:
    assert left_words.claimed(text) is None


@pytest.mark.parametrize("event", [one for one in load().events if one != "all_clear"])
def test_the_words_every_update_begins_with_pass(event: str) -> None:
    assert list(left_words.check(wordings.update_of(parse(content(NOW, event))))) == []


@pytest.mark.parametrize(("lang", "text"), [("vi", CLAIMS[0]), ("en", CLAIMS[8])])
def test_an_update_that_claims_it_is_held_back(lang: str, text: str) -> None:
    document = wordings.update_of(parse(content(NOW))).to_json()
    document["left_wording"][lang]["sms"]["text"] = text
    found = list(sent_words.check_follow_ups(Content.model_validate(document), "update"))
    [one] = [problem for problem in found if problem.code == "left_says_safe"]
    assert (one.blocking, one.field) == (True, f"left_wording.{lang}.sms.text")
    assert text.rstrip(".") in one.message_vi
