"""Values of the command line, read with a sentence about what would be right."""

from __future__ import annotations

import argparse
from datetime import date


def positive(text: str) -> int:
    """Read a number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return number


def day(text: str) -> date:
    """Read a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date like 2025-07-01") from None
