"""The whole demo as anybody starts it, and one Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from broadcaster.demo.seed import PASSWORD
from broadcaster.embedded import fresh_data_dir
from tests.browser.city import ADMIN, APPROVER, AUTHOR, City, prepare

REPOSITORY = Path(__file__).resolve().parents[2]
PEOPLE = 2_000
STARTS_WITHIN_S = 200.0
STOPS_WITHIN_S = 90.0
PATIENCE_MS = 45_000
"""How long a page is waited for: a busy machine may need it, a free one never does."""
expect.set_options(timeout=PATIENCE_MS)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Watch:
    """What went wrong on any page: whatever its console calls an error, and requests that left."""

    problems: list[str] = field(default_factory=list)
    provoked: str | None = None
    """Part of an error that the test brings about on purpose."""

    def over(self, page: Page) -> Page:
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: (
                self.problems.append(f"console: {said.text}")
                if said.type == "error" and not (self.provoked and self.provoked in said.text)
                else None
            ),
        )
        page.on(
            "request",
            lambda sent: (
                self.problems.append(f"left the machine: {sent.url}")
                if urlsplit(sent.url).hostname not in {"127.0.0.1", None}
                else None
            ),
        )
        return page


@pytest.fixture(scope="session")
def demo_folder() -> Iterator[Path]:
    """Where the demo keeps its data; its carriers' files are in `lab`."""
    with fresh_data_dir() as directory:
        yield directory


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> Iterator[str]:
    """The address of a running demo: servers, carriers, workers and web, each its own process."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BROADCASTER_")}
    with (demo_folder / "log").open("w+") as log:
        port = _free_port()
        process = subprocess.Popen(
            [sys.executable, "run.py", "demo", "--people", str(PEOPLE), "--port", str(port)],
            cwd=REPOSITORY,
            env={**environ, "BROADCASTER_DATA_DIR": str(demo_folder)},
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, Path(log.name))
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOPS_WITHIN_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{address}/console/sign-in", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the demo did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The run's one Chromium: the system's where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=found, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test when any of its pages had a problem."""
    watching = Watch()
    yield watching
    assert watching.problems == []


SignIn = Callable[..., Page]


def _entered(browser: Browser, demo: str, login: str | None, width: int, height: int) -> Page:
    """Open the console in a profile of its own, signed in unless it is nobody's."""
    context = browser.new_context(
        base_url=demo, viewport={"width": width, "height": height}, locale="vi-VN"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    if login is not None:
        page.goto("/console")
        page.fill("#login", login)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url("**/console")
    return page


@pytest.fixture
def sign_in(browser: Browser, demo: str, watch: Watch) -> Iterator[SignIn]:
    """Sign in as one of the demo's officials, in a browser profile of their own."""
    contexts: list[BrowserContext] = []

    def enter(login: str | None, width: int = 1440, height: int = 900) -> Page:
        page = _entered(browser, demo, login, width, height)
        contexts.append(page.context)
        return watch.over(page)

    yield enter
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def city(browser: Browser, demo: str, demo_folder: Path) -> City:
    """One of everything the screens show, made once for the tests that only look."""
    pages = [_entered(browser, demo, login, 1440, 900) for login in (AUTHOR, APPROVER, ADMIN)]
    made = prepare(*pages, demo_folder)
    for page in pages:
        page.context.close()
    return made
