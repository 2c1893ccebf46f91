"""One of everything the screens show: a draft, alerts in every state, an incident, a copy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import APIResponse, BrowserContext, Page

from tests.browser.carriers import slow_carriers
from tests.browser.phone import code as next_code

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
AUTHOR, APPROVER, ADMIN = "ha", "tuan", "anna"
SENT_WITHIN_S = 150.0
_CODE = re.compile(r"(HN|DT)-[0-9-]+")


@dataclass(frozen=True, slots=True)
class City:
    """Where each thing is; alerts by their codes."""

    draft: str
    submitted: str
    live: str
    stopped: str
    update: str
    exercise: str
    incident: str
    scenario: str
    template: str
    """A unit's own copy, still a draft."""
    phone: str
    number: str
    box: str


class Official:
    """Somebody signed in who posts forms as their pages would, with nothing drawn."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.context: BrowserContext = page.context
        page.goto("/console/account")
        self.csrf = page.locator("input[name=csrf]").first.input_value()

    def post(self, path: str, **form: str) -> APIResponse:
        """Post a form and follow where it leads; anything but a page is a failure."""
        answer = self.context.request.post(path, form={"csrf": self.csrf, **form})
        assert answer.ok, f"{path}: {answer.status} {answer.text()[:400]}"
        return answer

    def read(self, path: str) -> str:
        """Return a page's text."""
        answer = self.context.request.get(path)
        assert answer.ok, f"{path}: {answer.status}"
        return answer.text()

    def alert_of(self, answer: APIResponse) -> str:
        """Return the code of the alert whose page a post led to."""
        found = _CODE.search(answer.url)
        assert found, answer.url
        return found[0]

    def submit(self, code: str) -> str:
        """Send the newest version for approval."""
        version = _hidden(self.read(f"/console/alerts/{code}/edit"), "version")
        self.post(f"/console/alerts/{code}/submit", version=version)
        return code

    def approve(self, code: str) -> str:
        """Approve what waits, with a code of the phone where one is asked for."""
        page = self.read(f"/console/alerts/{code}/review")
        factor = {"code": next_code()} if 'id="code"' in page else {}
        self.post(f"/console/alerts/{code}/approve", version=_hidden(page, "version"), **factor)
        return code


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"the page has no field {name}"
    return found[1]


def _rain(now: datetime) -> Mapping[str, str]:
    return {
        "v.start": (now + timedelta(hours=1)).strftime("%H:%M %d/%m"),
        "v.rain": "120",
        "v.depth": "40",
        "v.roads.vi": "Nguyễn Trãi, Phạm Hùng",
        "v.roads.en": "Nguyen Trai, Pham Hung",
    }


def prepare(author: Page, approver: Page, admin: Page, folder: Path) -> City:
    """Make the city of the screens out of the demo whose data is in `folder`."""
    writes, decides = Official(author), Official(approver)
    scenario = _scenario(writes)

    def rain() -> str:
        answer = writes.post(f"/console/scenarios/{scenario}/use", **_rain(datetime.now(HANOI)))
        return writes.alert_of(answer)

    with slow_carriers(folder):
        stopped = decides.approve(writes.submit(rain()))
        stop = f"/console/alerts/{stopped}/stop"
        _until(lambda: f'action="{stop}"' in decides.read(f"/console/alerts/{stopped}"))
        decides.post(stop, reason="nhầm vùng", then="stop")
    live = decides.approve(writes.submit(rain()))
    _until(lambda: 'data-state="sent"' in decides.read(f"/console/alerts/{live}"))
    update = writes.alert_of(writes.post(f"/console/alerts/{live}/update"))
    with _rehearsal(Official(admin)):
        exercise = decides.approve(writes.submit(rain()))
    draft, submitted = rain(), writes.submit(rain())
    number = _first(writes, "/lab/sms")
    answer = author.context.request.post(
        "/lab/answer",
        data={"channel": "sms", "address": number, "text": "ngap nua met, phuong bo de"},
    )
    assert answer.ok, answer.text()
    return City(
        draft=draft, submitted=submitted, live=live, stopped=stopped, update=update,
        exercise=exercise, incident=_incident(decides), scenario=scenario,
        template=_copied(writes), phone=_first(writes, "/lab/phones"), number=number,
        box=_first(writes, "/lab/mail"),
    )  # fmt: skip


@contextmanager
def _rehearsal(admin: Official) -> Iterator[None]:
    """Open a session of exercises for the whole city while the block lasts."""
    page, now = admin.read("/console/exercises"), datetime.now(HANOI)
    city = re.search(r'id="units".*?<option value="(\d+)"', page, re.DOTALL)
    assert city, "no unit to rehearse with"
    admin.post(
        "/console/exercises/sessions", name="Diễn tập mùa mưa", unit=city[1], begins_at="",
        ends_at=(now + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
    )  # fmt: skip
    page = admin.read("/console/exercises")
    running = re.search(r'"(/console/exercises/sessions/\d+/close)"', page)
    assert running, "the session did not open"
    try:
        yield
    finally:
        admin.post(running[1])


def _scenario(official: Official) -> str:
    found = re.findall(r"/console/scenarios/(\d+)", official.read("/console/scenarios"))
    for one in dict.fromkeys(found):
        if 'name="v.roads.vi"' in official.read(f"/console/scenarios/{one}/use"):
            return one
    raise AssertionError("the demo has no scenario of rain")


def _copied(official: Official) -> str:
    """A unit's own copy of a template; the demo's one when it was made before."""
    page = official.read("/console/templates/cold")
    made = re.search(r"/console/templates/own/(\d+)", page)
    if made:
        return made[1]
    unit = re.search(r'<option value="(\d+)"', page)
    assert unit, "no unit may copy"
    address: str = official.post("/console/templates/cold/copy", unit=unit[1]).url
    return address.split("/own/")[1].split("/")[0]


def _first(official: Official, path: str) -> str:
    found = re.search(rf'href="{path}/([^"]+)"', official.read(path))
    assert found, f"{path} is empty"
    return found[1]


def _incident(official: Official) -> str:
    def board() -> list[str]:
        return re.findall(r'data-code="([^"]+)"', official.read("/console/incidents"))

    _until(lambda: bool(board()))
    return board()[0]


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SENT_WITHIN_S
    while not holds():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.4)
