"""Words: every message in both languages, numbers and times by language, on Hanoi's clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from broadcaster.web import formats, i18n
from broadcaster.web.render import PAGES

WEB = PAGES.parent
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "mark": None}
METHODS = [("**.py", "python"), ("pages/**.html", "jinja2")]
OPTIONS = {"pages/**.html": {"newstyle_gettext": "true", "extensions": "jinja2.ext.do"}}


@pytest.fixture(autouse=True)
def _vietnamese() -> Iterator[None]:
    i18n.use("vi")
    yield
    i18n.use("vi")


def _messages() -> set[str | tuple[str, ...]]:
    found = extract_from_dir(
        WEB, method_map=METHODS, options_map=OPTIONS, keywords=KEYWORDS, strip_comment_tags=True
    )
    return {message for _, _, message, _, _ in found}


def _translated(lang: str) -> dict[str | tuple[str, ...], object]:
    known: dict[str | tuple[str, ...], object] = {}
    for path in sorted((WEB / "locale" / lang / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as file:
            known |= {entry.id: entry.string for entry in read_po(file, locale=lang) if entry.id}
    return known


def test_every_message_is_translated_and_none_is_left_over() -> None:
    messages, known = _messages(), _translated("vi")
    assert len(messages) > 300
    assert sorted(map(str, messages - known.keys())) == []
    assert sorted(map(str, known.keys() - messages)) == []
    assert [message for message, text in known.items() if not text or not all(text)] == []


def test_english_counts_with_the_messages_themselves() -> None:
    i18n.use("en")
    assert i18n.ngettext("%(num)d hour", "%(num)d hours", 1) == "%(num)d hour"
    assert i18n.ngettext("%(num)d hour", "%(num)d hours", 2) == "%(num)d hours"
    assert _translated("en") == {}


def test_placeholders_survive_translation() -> None:
    placeholder = re.compile(r"%\((\w+)\)[sd]")
    for message, text in _translated("vi").items():
        source = message if isinstance(message, str) else message[-1]
        shown = text if isinstance(text, str) else " ".join(text)  # type: ignore[arg-type]
        assert set(placeholder.findall(shown)) == set(placeholder.findall(source)), source


def test_nothing_compiled_is_kept() -> None:
    assert list(Path(WEB / "locale").rglob("*.mo")) == []


@pytest.mark.parametrize(
    ("lang", "number", "share", "moment"),
    [("vi", "78.940", "66,5%", "03:17 10/09"), ("en", "78,940", "66.5%", "03:17, 10 Sept")],
)
def test_figures_follow_the_language(lang: str, number: str, share: str, moment: str) -> None:
    i18n.use(lang)
    at = datetime(2026, 9, 9, 20, 17, tzinfo=UTC)
    assert formats.number(78_940) == number
    assert formats.percent(0.665) == share
    assert formats.moment(at) == moment


def test_a_share_is_all_only_when_it_is_all() -> None:
    assert formats.percent(0.9999) == "99,9%"
    assert formats.percent(1) == "100%"
    assert formats.percent(0.0012) == "0,12%"
    assert formats.percent(0) == "0%"


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 12, 31, 16, 59, 59, tzinfo=UTC), "23:59 ngày 31/12/2026"),
        (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), "00:00 ngày 01/01/2027"),
    ],
)
def test_the_day_changes_at_hanois_midnight(at: datetime, shown: str) -> None:
    assert formats.moment_long(at) == shown


@pytest.mark.parametrize(
    ("length", "vietnamese", "english"),
    [
        (timedelta(seconds=59), "59 giây", "59 seconds"),
        (timedelta(minutes=1), "1 phút", "1 minute"),
        (timedelta(hours=5, minutes=12), "5 giờ 12 phút", "5 hours 12 minutes"),
        (timedelta(hours=-2), "2 giờ", "2 hours"),
        (timedelta(hours=71, minutes=59), "71 giờ 59 phút", "71 hours 59 minutes"),
        (timedelta(days=3, hours=4), "3 ngày 4 giờ", "3 days 4 hours"),
    ],
)
def test_a_length_of_time_has_its_unit(length: timedelta, vietnamese: str, english: str) -> None:
    assert formats.span(length) == vietnamese
    i18n.use("en")
    assert formats.span(length) == english


@pytest.mark.parametrize(
    ("cookie", "preferred", "accept", "chosen"),
    [
        ("en", "vi", "vi", "en"),
        ("xx", "en", "vi", "en"),
        (None, None, "fr;q=0.9, en-GB;q=0.8", "en"),
        (None, None, "", "vi"),
    ],
)
def test_what_was_chosen_comes_first(
    cookie: str | None, preferred: str | None, accept: str, chosen: str
) -> None:
    assert i18n.choose(cookie, preferred, accept) == chosen
