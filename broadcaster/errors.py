"""What a domain function raises when it will not do what was asked.

Each error carries a stable code, for programs and translations of their own, and one sentence in
Vietnamese and in English that says what is wrong and then what to do. No web types here: the
console, the API and the command line each decide how to show a refusal.
"""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - the word the whole service uses
    """The request is understood and is not done; nothing was changed."""

    def __init__(self, code: str, message_vi: str, message_en: str, **details: object) -> None:
        super().__init__(message_en)
        self.code = code
        self.message_vi = message_vi
        self.message_en = message_en
        self.details = details

    def message(self, lang: str) -> str:
        """Return the sentence in the language asked for; English where it is neither."""
        return self.message_vi if lang == "vi" else self.message_en

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message_en!r}, {self.details!r})"


class Conflict(Refused):
    """Somebody else was faster, or the thing is no longer in the state this step starts from."""


class NotFound(Refused):
    """There is no such thing, or not for this actor."""


class NotAllowed(Refused):
    """The actor's roles do not cover this."""
