"""Every word of an exercise says so first, whatever its author writes or takes away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import exercise, exercise_checks, wordings
from broadcaster.alerts.content import Content, Lang, Wording, parse
from broadcaster.errors import Refused
from templates import catalogue
from templates.render import render
from templates.sms_text import measure

NOW = datetime(2026, 9, 10, 3, 0, tzinfo=UTC)
LANGS: tuple[Lang, ...] = ("vi", "en")
EVENTS = sorted(catalogue.load().events)
MARKS = {"vi": ("[DIỄN TẬP] ", "[DIEN TAP] "), "en": ("[EXERCISE] ",)}
PIECES = (
    ("push", "title"), ("push", "body"), ("sms", "text"), ("email", "subject"), ("email", "text"),
    ("page", "headline"), ("page", "description"),
)  # fmt: skip
TYPED = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["", "[DIỄN TẬP]", "[diễn tập] Đi ngay", "[EXERCISE][DIEN TAP] Go", "DIỄN TẬP: đi", "[DIỄN"]
    ),
)


@cache
def _of(event: str) -> Content:
    known = catalogue.load().events[event]
    values = known.examples()
    document: dict[str, Any] = {
        "event": event,
        "class": known.default_class,
        "values": values,
        "wording": {lang: render(event, lang, values).as_dict() for lang in catalogue.LANGS},
        "expires": (NOW + timedelta(hours=3)).isoformat(),
    }
    return wordings.with_difference(
        wordings.with_prepared(parse(document), "alert"), parse(document)
    )


def _all(content: Content) -> list[tuple[str, Wording]]:
    words = (
        content.wording, content.update_wording, content.left_wording,
        content.prepared.cancel, content.prepared.correction,
    )  # fmt: skip
    return [(lang, one) for said in words for lang, one in said.items()]


def _typed(content: Content, lang: str, channel: str, part: str, text: str) -> Content:
    document = content.to_json()
    document["wording"][lang][channel][part] = text
    return parse(document)


def _is_marked(lang: str, wording: Wording) -> bool:
    said = wording.model_dump()
    texts = [said[channel][part] for channel, part in PIECES]
    texts += wording.page.instructions
    html = wording.email.html.startswith(f"<p><strong>{MARKS[lang][0].strip()}</strong></p>")
    return html and all(text.startswith(MARKS[lang]) for text in texts)


@pytest.mark.parametrize("event", EVENTS)
def test_every_wording_of_every_event_says_so_first(event: str) -> None:
    content = _of(event)
    marked = exercise.with_mark(content, exercise.EXERCISE)
    assert _all(marked)
    assert all(_is_marked(lang, one) for lang, one in _all(marked))
    assert exercise.with_mark(marked, exercise.EXERCISE) == marked
    for lang, said in marked.wording.items():
        before, after = content.wording[lang].sms.text, said.sms.text
        assert len(after) == len(before) + len(MARKS[lang][-1])
        assert measure(after).encoding == measure(before).encoding
    # A real alert begun as its copy says nothing of it, and what is real stays as it is.
    assert exercise.for_new(marked, exercise.ACTUAL) == content
    assert exercise.with_mark(content, exercise.ACTUAL) is content


@given(
    event=st.sampled_from(EVENTS),
    lang=st.sampled_from(LANGS),
    piece=st.sampled_from(PIECES),
    text=TYPED,
)
def test_its_author_cannot_take_the_mark_away(
    event: str, lang: Lang, piece: tuple[str, str], text: str
) -> None:
    marked = exercise.with_mark(_of(event), exercise.EXERCISE)
    saved = exercise.with_mark(_typed(marked, lang, *piece, text), exercise.EXERCISE)
    assert all(_is_marked(one, wording) for one, wording in _all(saved))
    said = saved.wording[lang].model_dump()[piece[0]][piece[1]]
    assert (
        not exercise.bare(saved.wording[lang])
        .model_dump()[piece[0]][piece[1]]
        .startswith(MARKS[lang])
    )
    assert exercise.with_mark(saved, exercise.EXERCISE) == saved
    assert said.startswith(MARKS[lang])


@given(piece=st.sampled_from(PIECES), lang=st.sampled_from(["vi", "en"]))
def test_a_real_alert_that_calls_itself_an_exercise_is_held_back(
    piece: tuple[str, str], lang: str
) -> None:
    content = _of("storm")
    assert list(exercise_checks.check_nature(content, None)) == []
    typed = _typed(content, lang, *piece, "[Diễn tập] Đi ngay")
    (found,) = exercise_checks.check_nature(typed, None)
    assert (found.code, found.blocking) == ("real_but_marked", True)


def test_what_does_not_fit_with_its_mark_is_refused_by_name() -> None:
    long = _typed(_of("storm"), "vi", "push", "title", "x" * 200)
    with pytest.raises(Refused) as refused:
        exercise.with_mark(long, exercise.EXERCISE)
    assert refused.value.code == "too_long_with_mark"
    assert "title" in str(refused.value.details["where"])
