"""The form of a push address: loads nothing of Firebase, whoever only asks has no need of it."""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(r"fid:[A-Za-z0-9_-]{8,64}|token:[A-Za-z0-9_:.-]{8,512}", re.ASCII)


def valid_address(address: str) -> bool:
    """Say whether this is a push address that may be spliced into JSON."""
    return _ADDRESS.fullmatch(address) is not None
