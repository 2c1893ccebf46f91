"""One city for all scenarios: small in `make test`, 200,000 recipients in `make chaos`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import report
from tests.chaos.account import Figures
from tests.chaos.city import FULL, City, scale
from tests.chaos.city import city as started

_FIGURES = pytest.StashKey[list[Figures]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the whole its time: five minutes a scenario, and the people made before the first."""
    for item in items:
        if scale() is FULL and "chaos" in item.path.parts:
            item.add_marker(pytest.mark.timeout(600))


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    async with started(tmp_path_factory.mktemp("chaos"), scale()) as made:
        yield made


@pytest.fixture
def holds(request: pytest.FixtureRequest) -> object:
    """Book a scenario's figures, then assert what must be true of each."""
    rows = request.config.stash.setdefault(_FIGURES, [])

    def book(figures: Figures) -> None:
        rows.append(figures)
        print(f"\n{report.table([figures])}")
        assert figures.lost == 0, "lost"
        assert figures.wrong == 0, "a wrong person, or wrong words"
        assert figures.visible_twice == 0, "two notifications on one phone"
        assert figures.unsettled == 0, "left open"
        for channel, most in figures.may_be_twice.items():
            assert figures.twice[channel] <= most, f"{channel}: more came twice than may"
        for channel, most in figures.limit.items():
            assert figures.most_in_a_second[channel] <= most, f"{channel}: over its limit"

    return book


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table; the whole is kept in the docs."""
    rows = terminalreporter.config.stash.get(_FIGURES, [])
    if rows:
        terminalreporter.write_line(report.table(rows))
    if rows and scale() is FULL:
        report.write(rows)
