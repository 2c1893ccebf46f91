"""What an official writes: the content of one version of a draft, CAP 1.2-shaped.

The same shape is stored with every version, shown by the console, hashed at approval and read by
the senders, so there is one model for it and nothing is translated in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import rfc8785
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Lang = Literal["vi", "en"]
ChannelName = Literal["push", "sms", "email"]
AlertClass = Literal["emergency", "warning", "information"]

LANES: dict[AlertClass, int] = {"emergency": 0, "warning": 1, "information": 2}
"""Lane of each class: a lower lane is always served first."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PushWording(_Frozen):
    """What a lock screen shows: a title of about 40 characters, the order in the first sentence."""

    title: str = Field("", max_length=200)
    body: str = Field("", max_length=4000)


class SmsWording(_Frozen):
    """One text, cut into parts by the channel."""

    text: str = Field("", max_length=2000)


class EmailWording(_Frozen):
    """A mail in text and HTML."""

    subject: str = Field("", max_length=300)
    text: str = Field("", max_length=20_000)
    html: str = Field("", max_length=60_000)


class PageWording(_Frozen):
    """The public page and CAP's headline, description and instruction."""

    headline: str = Field("", max_length=300)
    description: str = Field("", max_length=10_000)
    instructions: tuple[str, ...] = Field((), max_length=40)


class Wording(_Frozen):
    """The words of an alert in one language, per channel."""

    push: PushWording = Field(default_factory=PushWording)
    sms: SmsWording = Field(default_factory=SmsWording)
    email: EmailWording = Field(default_factory=EmailWording)
    page: PageWording = Field(default_factory=PageWording)


Words = dict[Lang, Wording]
"""One text of an alert in every language it is written in."""


class Prepared(_Frozen):
    """What goes out later by one click, because it is approved with the alert itself."""

    cancel: Words = Field(default_factory=dict)
    """Said to those reached when the alert is stopped or called off."""
    correction: Words = Field(default_factory=dict)
    """Said to those reached when it was sent in error."""


class Source(_Frozen):
    """The bulletin the alert relays: who issued it, its number, its time."""

    issuer: str = Field("", max_length=200)
    number: str = Field("", max_length=60)
    time: AwareDatetime | None = None


class TemplateUsed(_Frozen):
    """The very template the words were made from: whose, which version, and what it said."""

    code: str = Field(max_length=60)
    id: int | None = None
    """None: the one that ships with the service."""
    version: int = Field(ge=1)
    digest: str = Field(max_length=64)
    """SHA-256 of the template's document."""


class ScenarioUsed(_Frozen):
    """The scenario a draft was made from."""

    id: int
    version: int = Field(ge=1)


class Content(_Frozen):
    """One version of a draft. Times are aware; the area is targeting's JSON form."""

    event: str = Field(max_length=60)
    alert_class: AlertClass = Field(alias="class")
    values: dict[str, Any] = Field(default_factory=dict)
    area: dict[str, Any] = Field(default_factory=dict)
    languages: tuple[Lang, ...] = ("vi", "en")
    wording: Words = Field(default_factory=dict)
    update_wording: Words = Field(default_factory=dict)
    """Of an update: the short one, for those whom an earlier message reached."""
    left_wording: Words = Field(default_factory=dict)
    """Of an update: for those who were reached and are covered no longer."""
    prepared: Prepared = Field(default_factory=Prepared)
    expires: AwareDatetime | None = None
    scheduled_for: AwareDatetime | None = None
    risk_level: int | None = Field(None, ge=1, le=5)
    river_alarm: int | None = Field(None, ge=1, le=3)
    source: Source = Field(default_factory=Source)
    urgency: Literal["Immediate", "Expected", "Future", "Past", "Unknown"] = "Unknown"
    severity: Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"] = "Unknown"
    certainty: Literal["Observed", "Likely", "Possible", "Unlikely", "Unknown"] = "Unknown"
    channels: tuple[ChannelName, ...] = ("push", "sms", "email")
    template: TemplateUsed | None = None
    """None in what was written before templates were kept in versions."""
    scenario: ScenarioUsed | None = None
    unread: dict[str, str] = Field(default_factory=dict)
    """Times of the alert itself as somebody typed them, by their field, where they are no time.

    The checks block while one stands here, so no approved content has any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def title(self) -> str:
        """What lists call the alert: the Vietnamese headline, or whatever is written so far."""
        for lang in ("vi", "en"):
            wording = self.wording.get(lang)
            if wording and (text := wording.page.headline or wording.push.title):
                return text
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, keys as the model's aliases; times in ISO 8601."""
        document = self.model_dump(mode="json", by_alias=True)
        if not self.unread:
            # Left out, so that what was approved before there was this field has the same hash.
            del document["unread"]
        return document


def canonical(document: dict[str, Any]) -> tuple[bytes, bytes]:
    """RFC 8785 bytes of a JSON document and their SHA-256 (32 bytes)."""
    data = rfc8785.dumps(document)
    return data, hashlib.sha256(data).digest()


def parse(document: dict[str, Any]) -> Content:
    """Read stored or posted JSON; raises pydantic.ValidationError naming each field."""
    return Content.model_validate(document)


def wording_for(content: Content, lang: str) -> Wording:
    """Return what a reader of `lang` gets: their language where written, else Vietnamese.

    Raises StopIteration when the content has no wording at all, which the checks refuse.
    """
    return wording_in(content.wording, content.languages, lang)


def wording_in(words: Words, languages: Sequence[str], lang: str) -> Wording:
    """Return one of several languages' words as `wording_for` chooses it."""
    if lang in words and lang in languages:
        return words[lang]
    return words.get("vi") or next(iter(words.values()))


def moment(value: datetime | None) -> str | None:
    """ISO 8601 of an aware time, None for None."""
    return None if value is None else value.isoformat()
