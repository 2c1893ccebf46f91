"""What a scenario's form holds: a text for every input, also where nothing was filled in."""

from __future__ import annotations

import pytest

from broadcaster.web.console import scenario_fields
from templates import catalogue
from templates.event import Field

FIELDS = [field for event in catalogue.load().events.values() for field in event.fields]
INPUTS = {"period": {"from", "to"}, "text": {"vi", "en"}, "places": {"vi", "en"}}


@pytest.mark.parametrize("value", [None, {}, {"vi": "Cấm đi"}])
def test_every_input_of_a_field_has_its_text(value: dict[str, str] | None) -> None:
    for field in FIELDS:
        given = value if field.type in ("text", "places") else None
        assert scenario_fields.shown(field, given).keys() >= INPUTS.get(field.type, {"vi"}), field


def test_names_of_places_stand_on_one_line() -> None:
    (places,) = {field.type: field for field in FIELDS if field.type == "places"}.values()
    assert isinstance(places, Field)
    shown = scenario_fields.shown(places, {"vi": ["Ba Đình", "Hồng Hà"]})
    assert shown == {"vi": "Ba Đình, Hồng Hà", "en": ""}
