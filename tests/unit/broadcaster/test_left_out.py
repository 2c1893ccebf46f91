"""What one language would not say is named: an optional field's twin, places that are counted."""

from __future__ import annotations

from broadcaster.alerts.content import Content
from broadcaster.alerts.left_out import check_left_out
from templates import catalogue
from templates.render import render


def flood(**values: object) -> Content:
    event = catalogue.load().events["flood"]
    filled = {**event.examples(), **values}
    words = {lang: render("flood", lang, filled).as_dict() for lang in ("vi", "en")}
    document = {"event": "flood", "class": "warning", "values": filled, "wording": words}
    return Content.model_validate(document)


def codes(content: Content) -> list[tuple[str, str]]:
    event = catalogue.load().events["flood"]
    return [(one.code, one.field) for one in check_left_out(content, event)]


def test_an_optional_field_in_one_language_is_named() -> None:
    few = {"places": {"vi": ["Hồng Hà"], "en": ["Hong Ha"]}}
    assert codes(flood(**few, shelters={"vi": "Trường Mạc Đĩnh Chi", "en": " "})) == [
        ("language_left_out", "values.shelters")
    ]
    assert codes(flood(**few, shelters={"vi": "", "en": ""})) == []
    assert codes(flood(**few)) == []


def test_places_that_are_counted_are_told() -> None:
    wards = [f"Phường số {number} Long Biên" for number in range(6)]
    event = catalogue.load().events["flood"]
    (found,) = check_left_out(flood(places={"vi": wards, "en": wards}), event)
    assert (found.code, found.field, found.blocking) == ("places_counted", "values.places", False)
    assert "thông báo đẩy tiếng Việt “và" in found.message_vi
    assert "the push in English “and" in found.message_en
