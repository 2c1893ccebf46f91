"""The pieces of one alert's wording in one language, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, then what to do about it, in both languages of the console."""

    code: str
    field: str
    """A field's name (`leave_by`) or a piece of wording (`push.title`)."""
    message_vi: str
    message_en: str


@dataclass(frozen=True, slots=True)
class PushText:
    """A notification on a lock screen."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class SmsText:
    """A text message."""

    text: str


@dataclass(frozen=True, slots=True)
class MailText:
    """A mail: the HTML is a fragment, the channel wraps it."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class PageText:
    """The public page and CAP's headline, description and instruction."""

    headline: str
    description: str
    instructions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """Everything one alert says in one language."""

    push: PushText
    sms: SmsText
    email: MailText
    page: PageText

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Give plain values for JSON: a draft's version, a snapshot."""
        return {
            "push": asdict(self.push),
            "sms": asdict(self.sms),
            "email": asdict(self.email),
            "page": asdict(self.page) | {"instructions": list(self.page.instructions)},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Any]]) -> Wording:
        """Read what as_dict gave."""
        page = data["page"]
        return cls(
            push=PushText(**data["push"]),
            sms=SmsText(**data["sms"]),
            email=MailText(**data["email"]),
            page=PageText(page["headline"], page["description"], tuple(page["instructions"])),
        )
