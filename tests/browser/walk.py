"""Every screen one after the other, each as somebody who may see it."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from tests.browser.city import City
from tests.browser.conftest import SignIn
from tests.browser.looks import PHONE, Scheme
from tests.browser.screens import SCREENS, Screen


def walk(sign_in: SignIn, city: City, width: int, scheme: Scheme) -> Iterator[tuple[Screen, Page]]:
    """Open every screen in a window of `width` px; who is signed in stays it."""
    pages: dict[str | None, Page] = {}
    for screen in SCREENS:
        page = pages.get(screen.login)
        if page is None:
            page = sign_in(screen.login, width, 780 if width == PHONE else 900)
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            pages[screen.login] = page
        answer = page.goto(screen.at(city))
        assert answer is not None
        assert answer.status == (404 if screen.name == "not-found" else 200), screen.at(city)
        yield screen, page
