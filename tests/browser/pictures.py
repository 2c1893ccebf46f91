"""Pictures of the screens for the documentation, small enough to be kept with it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.browser.looks import PHONE, Scheme
from tests.browser.screens import ALONE, SCREENS, Screen

COLOURS, SCALE = 40, 0.75
SETTLES_MS = 800
"""Maps and curves are drawn after the page: long-lived questions keep the network busy."""
PHONE_TOO = {
    "today", "compose", "review", "live", "exercise-live", "public-alert", "incidents", "sign-in",
}  # fmt: skip
AT_NIGHT = {"today", "compose", "review", "live"}


def keep(page: Page, screen: Screen, width: int, scheme: Scheme, folder: Path) -> None:
    """Keep a picture of what is in the window, where the documentation shows this screen so."""
    if screen.name in ALONE or screen.name not in _shown(width, scheme):
        return
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.wait_for_timeout(SETTLES_MS)
    shot = Image.open(io.BytesIO(page.screenshot()))
    small = shot.convert("RGB")
    if width > PHONE:
        small = small.resize(
            (round(small.width * SCALE), round(small.height * SCALE)), Image.Resampling.LANCZOS
        )
    small = small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(folder / _file(screen, width, scheme), optimize=True)


def _shown(width: int, scheme: Scheme) -> set[str]:
    if scheme == "dark":
        return AT_NIGHT
    return {one.name for one in SCREENS} if width > PHONE else PHONE_TOO


def _file(screen: Screen, width: int, scheme: Scheme) -> str:
    return f"{screen.name}-{width}{'-dark' if scheme == 'dark' else ''}.png"


def describe(folder: Path) -> str:
    """Return the page that shows every picture in `folder`, with one line each."""
    lines = ["# Every screen", "", "Drawn by `make screens` out of the demo's city.", ""]
    for screen in SCREENS:
        kept = [
            _file(screen, width, scheme)
            for width, scheme in ((1440, "light"), (360, "light"), (1440, "dark"))
            if (folder / _file(screen, width, scheme)).exists()
        ]
        if kept:
            lines += [f"## {screen.says}", ""]
            lines += [f"![{screen.says}]({folder.name}/{one})" for one in kept] + [""]
    return "\n".join(lines).rstrip() + "\n"
