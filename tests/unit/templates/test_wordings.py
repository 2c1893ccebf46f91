"""No wording of the catalogue exceeds a channel's limit, whatever legal values fill it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from templates.catalogue import LANGS, WORDING, load
from templates.render import check, render, validate
from templates.sms_text import measure
from tests.unit.templates.legal import any_legal, anything, longest

LONG = {"epidemic", "missing_person", "public_notice"}
"""Events whose free text is required: two parts."""
EVERY = [(code, lang) for code in load().events for lang in LANGS]
URGENT = ["storm", "flood", "heat", "landslide"]
"""Events whose example, which has every optional field, fits one SMS part."""


@pytest.mark.parametrize(("code", "lang"), EVERY)
def test_the_example_is_legal_and_within_limits(code: str, lang: str) -> None:
    values = load().events[code].examples()
    assert validate(code, lang, values) == []
    wording = render(code, lang, values)
    assert check(wording, lang, sms_parts=2) == []
    assert measure(wording.sms.text).encoding == "gsm7"


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("code", URGENT)
def test_the_example_of_an_urgent_event_is_one_sms(code: str, lang: str) -> None:
    wording = render(code, lang, load().events[code].examples())
    assert measure(wording.sms.text).parts == 1


@pytest.mark.parametrize(("code", "lang"), EVERY)
def test_the_required_fields_alone_make_one_sms(code: str, lang: str) -> None:
    event = load().events[code]
    values = {f.name: f.example for f in event.fields if f.required}
    most = 2 if code in LONG else 1
    assert measure(render(code, lang, values).sms.text).parts <= most


@pytest.mark.parametrize(("code", "lang"), EVERY)
def test_the_longest_legal_values_stay_within_limits(code: str, lang: str) -> None:
    for values in longest(load().events[code]):
        assert validate(code, lang, values) == []
        wording = render(code, lang, values)
        assert check(wording, lang, sms_parts=2) == [], wording
        assert measure(wording.sms.text).encoding == "gsm7"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_legal_values_stay_within_limits(data: st.DataObject) -> None:
    code, lang = data.draw(st.sampled_from(EVERY))
    values = data.draw(any_legal(load().events[code]))
    assert validate(code, lang, values) == []
    wording = render(code, lang, values)
    assert check(wording, lang, sms_parts=2) == []
    assert measure(wording.sms.text).encoding == "gsm7"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_input_raises_and_what_is_wrong_never_passes(data: st.DataObject) -> None:
    code, lang = data.draw(st.sampled_from(EVERY))
    fields = load().events[code].fields
    values = data.draw(st.fixed_dictionaries({field.name: anything() for field in fields}))
    wrong = {problem.field for problem in validate(code, lang, values)}
    codes = [problem.code for problem in check(render(code, lang, values), lang)]
    if wrong & {field.name for field in fields if field.required}:
        assert "wording.gap" in codes


@pytest.mark.parametrize(("code", "lang"), EVERY)
def test_order_first_source_last_and_a_way_to_answer(code: str, lang: str) -> None:
    values: dict[str, Any] = {**load().events[code].examples(), "source": "Nguon Thu Nghiem"}
    wording = render(code, lang, values)
    assert wording.push.body.endswith("Nguon Thu Nghiem.")
    assert wording.page.description.endswith("Nguon Thu Nghiem.")
    answer = "nhan tin toi 1022" if lang == "vi" else "text 1022"
    assert answer in wording.sms.text.lower()
    assert "1022" in " ".join(wording.page.instructions)


@pytest.mark.parametrize(("code", "lang"), EVERY)
def test_the_wording_neither_shouts_nor_begs(code: str, lang: str) -> None:
    for path in (WORDING / code / lang).iterdir():
        text = re.sub(r"{[{%].*?[%}]}", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"!|\bplease\b|\bxin\b|\bvui lòng\b", text, re.IGNORECASE), path
