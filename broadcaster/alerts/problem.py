"""One thing the checks found in a draft."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend (blocking) or to look at (advisory)."""

    code: str
    blocking: bool
    field: str
    """Where in the content: `wording.vi.push.title`, `area`, `expires`."""
    message_vi: str
    message_en: str
    repair: str | None = None
    """The repair of `targeting.repairs` that would mend it, for a problem of the area."""
    alert: str | None = None
    """The code of another alert that it is about."""

    def message(self, lang: str) -> str:
        """Return the sentence in a language: `vi`, else English."""
        return self.message_vi if lang == "vi" else self.message_en
