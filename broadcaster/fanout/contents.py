"""From the approved snapshot to what each channel takes: the only translation between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from broadcaster.alerts.content import Content, Wording, wording_in
from broadcaster.alerts.exercise import EXERCISE
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.fanout.reached import EXACT, LEFT, SHORT, WHOLE
from channels.email import EmailContent
from channels.push import PushContent
from channels.sms import SmsContent
from templates.exercise import MARKS

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")

_ENDS = {
    "vi": "Có hiệu lực đến {:%H:%M ngày %d/%m/%Y}.",
    "en": "In force until {:%H:%M, %d %b %Y}.",
}

_NAMES = {SHORT: "update", LEFT: "left"}
"""What an app is told of a push that is not the alert's own words."""

ChannelContent = PushContent | SmsContent | EmailContent


def _ends(content: Content, lang: str) -> str:
    if content.expires is None:
        raise ValueError("an approved alert has an end")
    return _ENDS[lang].format(content.expires.astimezone(HANOI))


def _is_exercise(snapshot: Snapshot) -> bool:
    return bool(snapshot.document["status"] == EXERCISE)


def _push(snapshot: Snapshot, lang: str, wording: int) -> PushContent:
    words = _words(snapshot.content, lang, wording).push
    data = {
        "code": snapshot.document["code"],
        "kind": snapshot.document["kind"],
        "class": snapshot.content.alert_class,
        "lang": lang,
    }
    if wording != WHOLE:
        data["wording"] = _NAMES[wording]
    if _is_exercise(snapshot):
        # An app that draws its own notice must not sound as it does for a real one.
        data["status"] = EXERCISE
    return PushContent(title=words.title, body=words.body, data=data)


def _sms(snapshot: Snapshot, lang: str, wording: int) -> SmsContent:
    return SmsContent(text=_words(snapshot.content, lang, wording).sms.text)


def _email(snapshot: Snapshot, lang: str, wording: int) -> EmailContent:
    words = _words(snapshot.content, lang, wording).email
    if wording == LEFT or snapshot.document["kind"] in EXACT:
        # It says that something no longer holds: "in force until" would say the contrary.
        return EmailContent(subject=words.subject, text=words.text, html=words.html)
    # A mail lies in a box for days: its first line says until when it holds. Lists of mails show
    # that line, so in an exercise the mark stands before it too.
    mark = f"{MARKS[lang]} " if _is_exercise(snapshot) else ""
    ends = mark + _ends(snapshot.content, lang)
    return EmailContent(
        subject=words.subject,
        text=f"{ends}\n\n{words.text}",
        html=f"<p><strong>{ends}</strong></p>\n{words.html}",
    )


def _words(content: Content, lang: str, wording: int) -> Wording:
    """Return what a delivery's wording says in a language."""
    words = {WHOLE: content.wording, SHORT: content.update_wording, LEFT: content.left_wording}
    return wording_in(words[wording], content.languages, lang)


_MAKERS: Mapping[str, Callable[[Snapshot, str, int], ChannelContent]] = {
    "push": _push,
    "sms": _sms,
    "email": _email,
}


def of_alert(snapshot: Snapshot, channel: str) -> dict[str, ChannelContent]:
    """Return what a channel sends of this alert, by language and wording of the delivery: `vi0`.

    Holds every wording that was approved.
    """
    content, make = snapshot.content, _MAKERS[channel]
    approved = [WHOLE]
    approved += [SHORT] if content.update_wording else []
    approved += [LEFT] if content.left_wording else []
    return {
        f"{lang}{wording}": make(snapshot, lang, wording) for lang in _ENDS for wording in approved
    }


def of_message(channel: str, content: dict[str, Any], token: str = "") -> ChannelContent:
    """Return what a channel sends of a direct message's stored content.

    An app tells us by the token that the message arrived, or was opened.
    """
    match channel:
        case "push":
            data = {"message": token} if token else {}
            return PushContent(title=content["title"], body=content["body"], data=data)
        case "sms":
            return SmsContent(text=content["text"])
        case _:
            return EmailContent(
                subject=content["subject"], text=content["text"], html=content.get("html", "")
            )
