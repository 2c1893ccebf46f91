"""Speaking to the person at the terminal: on standard error, since results own standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm


def say(text: str = "") -> None:
    """Say one line."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(title: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; gives the function that is told how many more are done."""
    with _shown(title, unit, total) as shown:

        def advance(number: int) -> None:
            shown.n += number
            shown.update(0)

        yield advance


@contextmanager
def level(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar whose end is not known at first; the function is told (done, total)."""
    with _shown(title, unit) as shown:

        def stand(done: int, total: int) -> None:
            shown.total, shown.n = total, done
            shown.refresh()

        yield stand


@contextmanager
def _shown(title: str, unit: str, total: int | None = None) -> Iterator[tqdm[Never]]:
    """Draw a bar at a terminal; in a log say one line at the start and one at the end."""
    drawn = sys.stderr.isatty()
    if not drawn:
        say(f"{title} …")
    with tqdm(
        total=total, desc=title, unit=f" {unit}", file=sys.stderr, disable=not drawn
    ) as shown:
        yield shown
    if not drawn:
        say(f"{title}: {shown.n} {unit}")
