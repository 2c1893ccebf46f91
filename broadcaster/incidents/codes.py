"""Codes that people read over the telephone: short, and no two letters that look or sound alike."""

from __future__ import annotations

import secrets

ALPHABET = "2345679CDFGHJKMNPQRTVWX"
REPORT_PREFIX = "HN"
INCIDENT_PREFIX = "SC"
_LENGTH = 5
_TRIES_A_LENGTH = 3


def tracking_code(prefix: str, tries: int = 0) -> str:
    """Return a random code; after a few collisions, a longer one.

    Five letters make 6.4 million codes, and nobody guesses a neighbour's from their own.
    """
    length = _LENGTH + tries // _TRIES_A_LENGTH
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))
