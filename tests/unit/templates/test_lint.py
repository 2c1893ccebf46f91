"""The linter: what ships is clean, and each thing that may be wrong is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from templates import document
from templates.catalogue import load
from templates.document import PIECES, Document
from templates.files import CatalogueError
from templates.finding import Finding
from templates.lint import lint
from templates.render import render


def changed(piece: str, text: str, lang: str = "vi", code: str = "storm") -> Document:
    """A template of the catalogue with one piece written anew."""
    written = document.shipped(code)
    return written.with_words({**written.words, lang: {**written.words[lang], piece: text}})


def with_event(code: str = "storm", **fields: Any) -> Document:
    written = document.shipped(code)
    return replace(written, event={**written.event, **fields})


def found(written: Document, code: str) -> Finding:
    """The one finding of a code; there is exactly one."""
    findings = [one for one in lint(written).findings if one.code == code]
    assert len(findings) == 1, [(one.code, str(one.place)) for one in lint(written).findings]
    return findings[0]


SMS = document.shipped("storm").words["vi"]["sms.text"]
BODY = document.shipped("storm").words["vi"]["push.body"]


@pytest.mark.parametrize("code", sorted(load().events))
def test_what_ships_is_clean(code: str) -> None:
    report = lint(document.shipped(code))
    assert [one for one in report.findings if one.blocking] == []
    assert {one.code for one in report.findings} <= {"sms.second_part"}


@pytest.mark.parametrize(
    ("piece", "text", "code", "place"),
    [
        ("push.title", "Ở trong nhà từ {{ start }} để tránh bão lớn", "wording.too_long", "1:41"),
        ("push.title", "Bão số 3 sắp vào Hà Nội", "reading.order_first", "1:1"),
        ("push.title", "Ở TRONG nhà từ {{ start }}", "reading.shouting", "1:3"),
        ("push.title", "Ở trong nhà từ {{ start }}!", "reading.shouting", "1:27"),
        ("push.title", "Xin ở trong nhà từ {{ start }}", "reading.begging", "1:1"),
        ("push.title", "Ở trong nhà từ {{ stat }}", "field.unknown", "1:19"),
        ("push.title", "Ở trong nhà từ {{ start }", "wording.construct", "1:1"),
        ("push.title", "{% for x in places %}a{% endfor %}", "wording.construct", "1:1"),
        ("push.title", "{{ start * 9 }}", "wording.construct", "1:1"),
        ("push.title", "{{ start.__class__ }}", "wording.construct", "1:1"),
        ("push.title", "{{ start | upper }}", "wording.construct", "1:1"),
        ("push.title", "Ở trong nhà, {% include 'common.toml' %}", "wording.construct", "1:1"),
        ("sms.text", SMS.replace("Ở", "★ Ở"), "sms.letter", "1:1"),
        ("sms.text", SMS.replace(" từ ", "\u00a0từ ") + "\n🌀", "sms.letter", "2:1"),
        ("sms.text", SMS.replace("{{ places | within(40) }}", "xã"), "part.where", "1:1"),
        ("sms.text", SMS.replace("{{ contacts.reply }}", "số này")
         .replace("{{ contacts.rescue }}", "114"), "part.answer", "1:1"),
        ("sms.text", SMS + " " + "Nghe đài, xem tin. " * 12, "wording.sms_parts", None),
        ("push.body", BODY.replace("{{ source }}", "Đài"), "part.source", "1:1"),
        ("push.body", BODY.replace(" tại", " rồi ở yên trong đó cùng với cả nhà mình tại"),
         "wording.too_long", None),
        ("page.headline", "", "wording.empty", "1:1"),
        ("push.title", "Ở trong nhà\ntừ {{ start }}", "wording.line_break", "2:1"),
        ("page.instructions", "Ở trong nhà.", "part.what_to_do", "1:1"),
        ("page.description", "Nguồn: {{ source }}.", "part.what", "1:1"),
        ("page.instructions", "Ở trong nhà.\nCần chủ động phòng tránh.", "reading.jargon", "2:5"),
        ("page.instructions", "Ở nhà.\n" + "đi về nhà ngay " * 12, "reading.long_sentence", "2:1"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(
    piece: str, text: str, code: str, place: str | None
) -> None:
    one = found(changed(piece, text), code)
    assert (one.place.lang, one.place.piece) == ("vi", piece)
    if place is not None:
        assert f"{one.place.line}:{one.place.column}" == place
    for sentence in (one.message_vi, one.message_en, one.remedy_vi, one.remedy_en):
        assert sentence.endswith((".", ")", "”"))


def test_both_languages_say_the_same() -> None:
    text = document.shipped("storm").words["en"]
    without = {piece: words.replace("{{ gust }}", "strong") for piece, words in text.items()}
    without = {piece: words.replace("{% if gust %}", "{% if wind %}")
               for piece, words in without.items()}  # fmt: skip
    written = document.shipped("storm")
    one = found(written.with_words({**written.words, "en": without}), "language.fields")
    assert "gust" in one.message_en
    assert one.place.lang == "en"


def test_an_operator_that_wants_wording_registered_gets_its_id() -> None:
    written = document.shipped("storm")
    assert [one.code for one in lint(written, operators=["Viettel"]).findings] == ["sms.approval"]
    registered = with_event(approvals={"Viettel": "HN-2026-0113"})
    assert lint(registered, operators=["Viettel"]).findings == ()
    both = lint(registered, operators=["Viettel", "MobiFone"]).findings
    assert ["MobiFone" in one.message_vi for one in both] == [True]


def test_the_letter_that_opens_the_second_part_is_named() -> None:
    report = lint(document.shipped("public_notice"))
    one = next(one for one in report.findings if one.code == "sms.second_part")
    figures = report.sms[one.place.lang]
    assert (figures.parts, figures.parts_marked) == (2, 3)
    assert figures.costly is not None
    assert (figures.costly.why, figures.costly.index) == ("part", 153)
    assert figures.costly_marked is not None
    assert figures.costly_marked.why == "ucs2"
    assert not one.blocking


def test_a_wrong_event_is_named_with_its_field() -> None:
    one = found(with_event(severity="Terrible"), "document.unreadable")
    assert "severity" in one.message_en


@pytest.mark.parametrize("code", sorted(load().events))
def test_a_document_says_what_its_files_say(code: str) -> None:
    """Out as JSON, back in, compiled: the same words as from the files."""
    back = document.from_json(document.shipped(code).as_json())
    overlaid = document.overlaid(back)
    values = load().events[code].examples()
    for lang in ("vi", "en"):
        assert render(code, lang, values, catalogue=overlaid) == render(code, lang, values)
    assert back.digest() == document.shipped(code).digest()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ([], "is an object"),
        ({"event": {}, "words": {}, "more": 1}, "is an object"),
        ({"event": {}, "words": {"vi": {}}}, "needs these pieces"),
        ({"event": {}, "words": {"vi": {**dict.fromkeys(PIECES, ""), "sms.text": 3}}}, "no text"),
    ],
)
def test_what_is_no_document_is_refused(data: Mapping[str, Any], what: str) -> None:
    with pytest.raises(CatalogueError, match=what):
        document.from_json(data)


def test_words_that_loop_are_never_filled() -> None:
    with pytest.raises(CatalogueError, match="for is not allowed"):
        document.overlaid(changed("sms.text", "{% for x in places.names %}a{% endfor %}"))
