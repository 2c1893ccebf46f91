"""The whole matrix: every screen, on a desk, on a phone, enlarged, in the dark, by Tab."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broadcaster.web.security import LANGUAGE_COOKIE
from tests.browser import looks
from tests.browser.city import City
from tests.browser.conftest import REPOSITORY, SignIn, Watch
from tests.browser.looks import PHONE
from tests.browser.pictures import describe, keep
from tests.browser.screens import ALONE, SCREENS
from tests.browser.walk import walk

DOCS = REPOSITORY / "docs"
ENLARGED = 720
"""A window of 1,440 px at 200 %."""


@pytest.fixture(autouse=True)
def one_page_is_missing(watch: Watch) -> None:
    watch.provoked = "404"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), (1440, "dark"), (PHONE, "light"), (ENLARGED, "light")]
)
def test_no_screen_overflows_or_speaks_the_other_language(
    sign_in: SignIn, city: City, width: int, scheme: looks.Scheme
) -> None:
    kept = os.environ.get("SCREENS")
    found = []
    for screen, page in walk(sign_in, city, width, scheme):
        if looks.overflow(page):
            found.append(f"{screen.name}: {looks.overflow(page)} px wider than {width}")
        found += [f"{screen.name}: says “{phrase}”" for phrase in looks.foreign(page)]
        found += [f"{screen.name}: twice: #{name}" for name in looks.twice(page)]
        if width == PHONE:
            found += [f"{screen.name}: small: {one}" for one in looks.small(page)]
        if kept and width != ENLARGED:
            keep(page, screen, width, scheme, Path(kept))
    if kept:
        Path(kept).with_suffix(".md").write_text(describe(Path(kept)))
    assert found == []


@pytest.mark.slow
def test_no_screen_speaks_vietnamese_to_who_reads_english(sign_in: SignIn, city: City) -> None:
    found = []
    spoken = set()
    for screen, page in walk(sign_in, city, 1440, "light"):
        if screen.login not in spoken:
            spoken.add(screen.login)
            page.context.add_cookies([{"name": LANGUAGE_COOKIE, "value": "en", "url": page.url}])
            page.reload()
        assert page.get_attribute("html", "lang") == "en", screen.name
        found += [f"{screen.name}: says “{phrase}”" for phrase in looks.foreign(page)]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, PHONE])
def test_everything_on_every_screen_is_reached_by_tab(
    sign_in: SignIn, city: City, width: int
) -> None:
    found = [
        f"{screen.name}: {one}"
        for screen, page in walk(sign_in, city, width, "light")
        for one in looks.unreached(page)
    ]
    assert found == []


def test_the_page_of_pictures_shows_every_screen() -> None:
    shown = (DOCS / "screens.md").read_text()
    assert shown == describe(DOCS / "screens")
    for screen in SCREENS:
        assert (screen.name in ALONE) != (f"screens/{screen.name}-1440.png" in shown), screen.name
