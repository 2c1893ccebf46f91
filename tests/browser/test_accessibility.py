"""axe-core on every page of the console, of the public and of the lab: nothing it calls wrong."""

from __future__ import annotations

import pytest

from tests.browser import looks
from tests.browser.city import City
from tests.browser.conftest import SignIn, Watch
from tests.browser.walk import walk


def test_axe_finds_nothing_on_any_page(sign_in: SignIn, city: City, watch: Watch) -> None:
    watch.provoked = "404"
    found = [
        f"{screen.name}: {one}"
        for screen, page in walk(sign_in, city, 1440, "light")
        for one in looks.broken(page)
    ]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (360, "light"), (360, "dark")])
def test_axe_finds_nothing_at_night_and_on_a_phone(
    sign_in: SignIn, city: City, watch: Watch, width: int, scheme: looks.Scheme
) -> None:
    watch.provoked = "404"
    found = [
        f"{screen.name}: {one}"
        for screen, page in walk(sign_in, city, width, scheme)
        for one in looks.broken(page)
    ]
    assert found == []
