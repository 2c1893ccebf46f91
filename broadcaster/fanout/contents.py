"""From the approved snapshot to what each channel takes: the only translation between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from broadcaster.alerts.content import Content, wording_for
from broadcaster.alerts.lifecycle import Snapshot
from channels.email import EmailContent
from channels.push import PushContent
from channels.sms import SmsContent

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")

_ENDS = {
    "vi": "Có hiệu lực đến {:%H:%M ngày %d/%m/%Y}.",
    "en": "In force until {:%H:%M, %d %b %Y}.",
}

ChannelContent = PushContent | SmsContent | EmailContent


def _ends(content: Content, lang: str) -> str:
    if content.expires is None:
        raise ValueError("an approved alert has an end")
    return _ENDS[lang].format(content.expires.astimezone(HANOI))


def _push(snapshot: Snapshot, lang: str) -> PushContent:
    wording = wording_for(snapshot.content, lang).push
    data = {
        "code": snapshot.document["code"],
        "kind": snapshot.document["kind"],
        "class": snapshot.content.alert_class,
        "lang": lang,
    }
    return PushContent(title=wording.title, body=wording.body, data=data)


def _sms(snapshot: Snapshot, lang: str) -> SmsContent:
    return SmsContent(text=wording_for(snapshot.content, lang).sms.text)


def _email(snapshot: Snapshot, lang: str) -> EmailContent:
    wording = wording_for(snapshot.content, lang).email
    # A mail lies in a box for days: its first line says until when it holds.
    ends = _ends(snapshot.content, lang)
    return EmailContent(
        subject=wording.subject,
        text=f"{ends}\n\n{wording.text}",
        html=f"<p><strong>{ends}</strong></p>\n{wording.html}",
    )


_MAKERS: Mapping[str, Callable[[Snapshot, str], ChannelContent]] = {
    "push": _push,
    "sms": _sms,
    "email": _email,
}


def of_alert(snapshot: Snapshot, channel: str) -> dict[str, ChannelContent]:
    """Return what a channel sends of this alert, by language of the endpoint."""
    return {lang: _MAKERS[channel](snapshot, lang) for lang in _ENDS}


def of_message(channel: str, content: dict[str, Any]) -> ChannelContent:
    """Return what a channel sends of a direct message's stored content."""
    match channel:
        case "push":
            return PushContent(title=content["title"], body=content["body"], data={})
        case "sms":
            return SmsContent(text=content["text"])
        case _:
            return EmailContent(
                subject=content["subject"], text=content["text"], html=content.get("html", "")
            )
