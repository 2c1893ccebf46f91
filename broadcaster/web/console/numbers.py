"""Numbers as forms post them: read, or refused by name; never more than the database holds."""

from __future__ import annotations

from broadcaster.errors import Refused

MOST = 2**31 - 1
"""Of PostgreSQL's integer: versions and the ids of units."""


def posted_number(text: str, field: str) -> int:
    """Read a whole number from 0 on; raises Refused naming the field."""
    # isascii: isdecimal alone takes every script's digits.
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else -1
    if not 0 <= number <= MOST:
        raise Refused(
            "bad_number",
            f"“{field}” phải là số từ 0 đến {MOST}. Tải lại trang rồi làm lại.",
            f"“{field}” must be a number from 0 to {MOST}. Reload the page and do it again.",
            where=field,
        )
    return number
