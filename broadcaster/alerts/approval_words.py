"""What an official is told when an approval is awaited: short, what to do first, with the link."""

from __future__ import annotations

from datetime import datetime
from html import escape

from anyascii import anyascii

from broadcaster.alerts.draft import HANOI, Alert
from templates import exercise

_CLASS = {
    "vi": {"emergency": "KHẨN CẤP", "warning": "cảnh báo", "information": "thông tin"},
    "en": {"emergency": "EMERGENCY", "warning": "warning", "information": "information"},
}
_SUBJECT = {
    "vi": "Cần duyệt ({kind}): {title}",
    "en": "Approval needed ({kind}): {title}",
}
_TEXT = {
    "vi": "Mở và quyết định: {link} {unit} gửi duyệt lúc {time}, người soạn {author}.{again}",
    "en": "Open it and decide: {link} {unit} sent it at {time}, written by {author}.{again}",
}
_AGAIN = {
    "vi": " Chưa ai trả lời nên hỏi thêm bạn.",
    "en": " Nobody has answered yet, so you are asked.",
}
_REMINDED = {
    "vi": " {by} nhắc: chưa ai quyết định.",
    "en": " {by} asks again: nobody has decided yet.",
}
_SMS = {
    "vi": "Can duyet tin {kind}: {title}. Mo {link}",
    "en": "Approval needed, {kind}: {title}. Open {link}",
}
_TITLE_MAX = 60


def question(
    alert: Alert,
    channel: str,
    lang: str,
    link: str,
    *,
    again: bool,
    asked_at: datetime,
    by: str = "",
) -> dict[str, str]:
    """Make the message to one address, as `fanout.direct` takes it; `by` is who reminds."""
    why = _REMINDED[lang].format(by=by) if by else _AGAIN[lang] if again else ""
    said = _question(alert, channel, lang, link, why=why, asked_at=asked_at)
    if not alert.exercise:
        return said
    mark = {"vi": exercise.MARK, "en": exercise.MARK_ENGLISH}[lang]
    if channel == "sms":
        mark = anyascii(mark)
    opening = {"html": f"<p><strong>{mark}</strong></p>"}
    return {name: f"{opening.get(name, mark)} {text}" for name, text in said.items()}


def _question(
    alert: Alert, channel: str, lang: str, link: str, *, why: str, asked_at: datetime
) -> dict[str, str]:
    title = exercise.without_mark(alert.title) or alert.code
    if len(title) > _TITLE_MAX:
        title = title[: _TITLE_MAX - 1].rstrip() + "…"
    kind = _CLASS[lang][alert.alert_class]
    if channel == "sms":
        said = _SMS[lang].format(kind=kind, title=title, link=link)
        return {"text": anyascii(said)}
    subject = _SUBJECT[lang].format(kind=kind, title=title)
    facts = {
        "unit": alert.unit_name if lang == "vi" else alert.unit_name_en,
        "time": f"{(alert.submitted_at or asked_at).astimezone(HANOI):%H:%M}",
        "author": alert.author_name,
        "again": why,
    }
    if channel == "push":
        return {"title": subject, "body": _TEXT[lang].format(link="", **facts).replace(":  ", ". ")}
    anchor = f'<a href="{escape(link)}">{escape(link)}</a>'
    html = escape(_TEXT[lang].format(link="\0", **facts)).replace("\0", anchor)
    text = _TEXT[lang].format(link=link, **facts)
    return {"subject": subject, "text": text + "\n", "html": f"<p>{html}</p>"}
