"""How much a correct warning costs two tired people: actions counted, seconds told.

An action is one press, or one field filled together with the Enter that sends it; those of both
people count, from the sign-in of the author to the approval. The seconds of the run are the
machine's; those of a person are reckoned from the same run by the keystroke-level model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page

from broadcaster.demo.seed import PASSWORD
from tests.browser import phone
from tests.browser.city import HANOI
from tests.browser.conftest import SignIn
from tests.browser.test_broadcast import saved
from tests.browser.test_follow_ups import code_of

MOST_OF_A_SCENARIO = 12
MOST_OF_A_TEMPLATE = 20
KEY_S, POINT_S, THINK_S = 0.28, 1.1, 1.35
"""Of an average typist: a key, a hand moved to its aim, a decision before it."""


@dataclass
class Hands:
    """What both people did so far."""

    actions: int = 0
    keys: int = 0
    began: float = field(default_factory=time.monotonic)

    def press(self, page: Page, selector: str) -> None:
        self.actions += 1
        page.locator(selector).first.click()

    def fill(self, page: Page, selector: str, text: str, *, enter: bool = False) -> None:
        self.actions += 1
        self.keys += len(text) + enter
        page.fill(selector, text)
        if enter:
            page.press(selector, "Enter")

    def choose(self, page: Page, selector: str, value: str) -> None:
        self.actions += 1
        page.select_option(selector, value)

    def enter(self, page: Page, login: str) -> None:
        """Sign in: two actions."""
        page.goto("/console")
        self.fill(page, "#login", login)
        self.fill(page, "#password", PASSWORD, enter=True)
        page.wait_for_url("**/console")

    def approve(self, page: Page, code: str) -> None:
        """Sign in as the approver, open what waits on Today, type the phone's code."""
        self.enter(page, "tuan")
        self.press(page, f'a[href="/console/alerts/{code}/review"]')
        page.wait_for_selector("#approve")
        self.fill(page, "#code", phone.code(), enter=True)
        assert code_of(page) == code

    def told(self, name: str) -> str:
        """Return the figures in one line."""
        run = time.monotonic() - self.began
        person = self.keys * KEY_S + self.actions * (POINT_S + THINK_S)
        return (
            f"{name}: {self.actions} actions, {self.keys} keys; the run took {run:.0f} s,"
            f" a person's hands take about {person:.0f} s"
        )


def _soon(hours: int) -> str:
    return (datetime.now(HANOI) + timedelta(hours=hours)).strftime("%H:%M %d/%m")


@pytest.mark.slow
def test_a_prepared_scenario_is_approved_in_few_actions(sign_in: SignIn) -> None:
    author, approver, hands = sign_in(None), sign_in(None), Hands()
    hands.enter(author, "ha")
    hands.press(author, "a[href='/console/scenarios']:visible")
    hands.press(author, "li:has-text('Lũ sông Hồng mức III') a[href$='/use']")
    hands.fill(author, "[name='v.leave_by']", _soon(4), enter=True)
    author.wait_for_selector("#compose[data-ready]")
    saved(author)
    hands.press(author, "#submit")
    hands.approve(approver, code_of(author))
    print(hands.told("\na prepared scenario"))
    assert hands.actions <= MOST_OF_A_SCENARIO


@pytest.mark.slow
def test_a_fresh_alert_from_a_template_is_approved_in_few_actions(sign_in: SignIn) -> None:
    author, approver, hands = sign_in(None), sign_in(None), Hands()
    hands.enter(author, "ha")
    hands.press(author, "a[href='/console/alerts/new']:visible")
    hands.press(author, "button[value=flood]")
    author.wait_for_selector("#compose[data-ready]")
    hands.choose(author, "#f-river", "hong")
    hands.choose(author, "#f-alarm", "III")
    hands.fill(author, "#f-leave_by", _soon(4))
    hands.fill(author, "#f-source-vi", "Đài Khí tượng Thủy văn, bản tin 03:00")
    hands.fill(author, "#f-source-en", "Hydro-Met Service, bulletin of 03:00")
    hands.fill(author, "#by-name", "phu thuong", enter=True)
    saved(author)
    hands.press(author, "#submit")
    hands.approve(approver, code_of(author))
    print(hands.told("\na fresh alert from a template"))
    assert hands.actions <= MOST_OF_A_TEMPLATE
