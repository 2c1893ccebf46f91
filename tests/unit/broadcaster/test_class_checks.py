"""The class of an alert beside its kind, with one button; gaps make no text message dearer."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.alerts.class_checks import check_class
from broadcaster.alerts.content import Content
from broadcaster.web.console import remedies
from broadcaster.web.console.preview import measured
from templates import catalogue
from tests.unit.broadcaster.city import NOW


def flood(alert_class: str, **values: Any) -> Content:
    return Content.model_validate({"event": "flood", "class": alert_class, "values": values})


@pytest.mark.parametrize(
    ("alert_class", "alarm", "found"),
    [
        ("information", "I", [("class_too_low", True)]),
        ("information", "III", [("class_too_low", True), ("class_unusual", False)]),
        ("warning", "II", []),
        ("warning", "above_III", [("class_unusual", False)]),
        ("emergency", "III", []),
    ],
)
def test_a_flood_goes_out_as_a_warning_at_least(
    alert_class: str, alarm: str, found: list[tuple[str, bool]]
) -> None:
    event = catalogue.load().events["flood"]
    content = flood(alert_class, alarm=alarm)
    told = list(check_class(content, event))
    assert [(one.code, one.blocking) for one in told] == found
    for one in told:
        way = remedies.remedy(one, content, event, NOW)
        assert way is not None
        assert way.path == "class"
        assert way.value is not None
        assert list(check_class(flood(way.value, alarm=alarm), event)) == []


def test_what_is_usual_names_a_choice_of_its_event() -> None:
    for event in catalogue.load().events.values():
        for usual in event.usual_classes:
            field = event.field(usual.field)
            assert field is not None
            assert set(usual.codes) <= {option.code for option in field.options}


def test_a_gap_makes_no_text_message_dearer() -> None:
    plain = "Roi bai song ‹Sông› truoc ‹Rời đi trước›. Tra loi 1022."
    found = measured(plain)
    assert (found.encoding, found.parts) == ("gsm7", 1)
    assert found.characters == len(plain) - 4
    assert measured("Rời ‹Sông›").encoding == "ucs2"
