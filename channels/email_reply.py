"""What a mail that came back is and says: an answer, a bounce, an automatic mail. All pure."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default
from email.utils import getaddresses, parseaddr
from typing import Literal, NamedTuple

from mailparser_reply.parser import (  # type: ignore[import-untyped]
    EmailMessage as QuotedText,
)

from channels.email_html import html_to_text
from channels.email_language import HEADER, PACK
from channels.email_render import BOUNCE, REPLY, UNSUBSCRIBE, valid_token

_log = logging.getLogger(__name__)

MAX_TEXT = 10_000
"""Characters of a mail that are read: an answer stands at the top, and patterns cost time."""

_MAX_MULTIPARTS = 100
"""Nested deeper, the standard parser's time grows with the square of the depth."""

Kind = Literal["reply", "bounce", "auto", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail as the listener received it; kept as it is before anything is read from it."""

    mail_from: str
    """Envelope sender; "" for the empty return path of bounces."""
    rcpt_tos: tuple[str, ...]
    data: bytes
    received_at: datetime
    remote: str


class Attachment(NamedTuple):
    """A file in a mail."""

    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class MailReply:
    """What came back, read."""

    kind: Kind
    sender: str
    """The author's address, lower case; "" when there is none."""
    token: str | None
    """The token of the mail it answers, as far as it says."""
    text: str
    """The new text alone: no quotation, no signature."""
    subject: str
    message_id: str
    attachments: tuple[Attachment, ...] = ()
    bounce_status: str = ""
    """`5.1.1` and the like; a class of 4 means the mail is only delayed."""


_TAGGED = re.compile(rf"\b({BOUNCE}|{REPLY}|{UNSUBSCRIBE})\+([A-Za-z0-9_-]+)@", re.IGNORECASE)
_ID = re.compile(r"<([A-Za-z0-9_-]+)@([^<>@\s]+)>")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_AUTO_SUBJECT = re.compile(
    r"\s*(?:trả lời tự động|thư trả lời tự động|tự động trả lời|vắng mặt|automatic reply|"
    r"auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office)\b",
    re.IGNORECASE,
)
_AUTO_HEADERS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Auto-Reply",
    "X-FC-MachineGenerated",
    "List-Id",
    "List-Unsubscribe",
    "Feedback-ID",
)
_BULK = {"bulk", "junk", "list", "auto_reply", "auto-reply"}
_DAEMONS = ("mailer-daemon@", "postmaster@", "mail-daemon@")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")


def parse(raw: RawMail, *, domain: str | None = None) -> MailReply:
    """Read a mail; never raises, whatever the bytes are.

    `domain` is the one our Message-IDs end in; without it, the domains the mail was sent to.
    """
    if raw.data.lower().count(b"multipart/") > _MAX_MULTIPARTS:
        return _unreadable(raw)
    try:
        return _parse(raw, domain)
    except Exception as error:
        # The standard parser fails on some malformed mails (a NUL in a charset, for one).
        # A person may still have written it: show the bytes rather than lose them.
        _log.warning("a mail could not be taken apart: %s", type(error).__name__)
        return _unreadable(raw)


def _unreadable(raw: RawMail) -> MailReply:
    token = next((m.group(2) for rcpt in raw.rcpt_tos if (m := _TAGGED.search(rcpt))), None)
    body = re.split(rb"\r?\n\r?\n", raw.data, maxsplit=1)[-1]
    return MailReply(
        kind="reply" if raw.mail_from else "auto",
        sender=raw.mail_from.lower(),
        token=token,
        text=body[:MAX_TEXT].decode("utf-8", "replace").strip(),
        subject="",
        message_id="",
    )


def _parse(raw: RawMail, domain: str | None) -> MailReply:
    message = message_from_bytes(raw.data, policy=default)
    mailbox, token = _addressed(raw, message)
    kind, status = _kind(raw, message, mailbox)
    if token is None:
        ours = {domain} if domain else {rcpt.rpartition("@")[2] for rcpt in raw.rcpt_tos}
        token = _referred(message, kind, {name.lower() for name in ours})
    text = "" if kind in ("bounce", "auto") else new_text(_body(message))
    return MailReply(
        kind=kind,
        sender=_sender(raw, message),
        token=token,
        text=text,
        subject=_header(message, "Subject"),
        message_id=_header(message, "Message-ID"),
        attachments=tuple(_attachments(message)),
        bounce_status=status,
    )


def new_text(text: str) -> str:
    """Return what is new in a mail's text, without quotation and signature."""
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).replace("\r\n", "\n")
    text = text.replace("\xa0", " ").replace("\r", "\n")[:MAX_TEXT]
    lines = [part for line in text.split("\n") for part in _folded(line.strip())]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    parsed = QuotedText(
        text=text, languages=[PACK], include_english=False, keep_hyphen_lists=True
    ).read()
    answer = _unquoted(parsed.replies[0].body if parsed.replies else "")
    if answer:
        return answer
    # Nothing above the quotation: an answer written below it or between its lines.
    return _unquoted(HEADER.sub("", text)) if ">" in text else ""


def _folded(line: str, width: int = 400) -> list[str]:
    """Break overlong lines at spaces: the cost of a pattern grows with the square of a line."""
    parts = []
    while len(line) > width:
        cut = line.rfind(" ", 1, width)
        cut = cut if cut > 0 else width
        parts.append(line[:cut])
        line = line[cut:].lstrip()
    return [*parts, line]


def _unquoted(text: str) -> str:
    kept = "\n".join(line for line in text.split("\n") if not line.startswith(">"))
    return re.sub(r"\n{3,}", "\n\n", kept).strip()


def _header(message: Message, name: str) -> str:
    """Return a header as text; the standard parser raises on some malformed ones."""
    try:
        value = message.get(name, "")
        return " ".join(_INVISIBLE.sub("", str(value)).split())
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        return ""


def _sender(raw: RawMail, message: EmailMessage) -> str:
    found = parseaddr(_header(message, "From"))[1]
    return (found if "@" in found else raw.mail_from).lower()


def _addressed(raw: RawMail, message: EmailMessage) -> tuple[str, str | None]:
    """Find which of our mailboxes it came to, and the token in its address."""
    headers = [_header(message, name) for name in ("Delivered-To", "X-Original-To", "To", "Cc")]
    addresses = [*raw.rcpt_tos, *(address for _, address in getaddresses(headers))]
    for address in addresses:
        match = _TAGGED.search(address)
        if match and valid_token(match.group(2)):
            return match.group(1).lower(), match.group(2)
    return "", None


def _kind(raw: RawMail, message: EmailMessage, mailbox: str) -> tuple[Kind, str]:
    """Say what it is, and a bounce's status code."""
    report = message.get_content_type() == "multipart/report"
    if report and _report_type(message) in ("", "delivery-status"):
        return "bounce", _delivery_status(message)
    sender = _sender(raw, message)
    if report or _automatic(message):
        return "auto", ""
    if not raw.mail_from or sender.startswith(_DAEMONS):
        status = _STATUS.search(_body(message)[:MAX_TEXT])
        if status or sender.startswith(_DAEMONS) or mailbox == BOUNCE:
            return "bounce", status.group(1) if status else ""
        return "auto", ""
    if mailbox == UNSUBSCRIBE:
        return "unsubscribe", ""
    # People answer to Reply-To; only machines write to the return path.
    return ("auto" if mailbox == BOUNCE else "reply"), ""


def _automatic(message: EmailMessage) -> bool:
    submitted = _header(message, "Auto-Submitted").lower()
    return (
        (submitted != "" and not submitted.startswith("no"))
        or _header(message, "Precedence").lower() in _BULK
        or any(_header(message, name) for name in _AUTO_HEADERS)
        or _AUTO_SUBJECT.match(unicodedata.normalize("NFC", _header(message, "Subject")))
        is not None
    )


def _report_type(message: EmailMessage) -> str:
    return str(message.get_param("report-type", "") or "").lower()


def _delivery_status(message: EmailMessage) -> str:
    """Read the first Status field of the report, or the first code in its words."""
    for part in _leaves(message):
        if part.get_content_type() == "message/delivery-status":
            text = _delivery_fields(part)
            match = re.search(r"(?im)^Status:\s*([245]\.\d{1,3}\.\d{1,3})", text)
            if match:
                return match.group(1)
    match = _STATUS.search(_body(message)[:MAX_TEXT])
    return match.group(1) if match else ""


def _delivery_fields(part: Message) -> str:
    """Flatten a delivery-status part: Python's parser makes a message of each of its blocks."""
    if not part.is_multipart():
        return _decoded(part)
    return "\n".join(
        f"{name}: {value}"
        for block in part.get_payload()
        if isinstance(block, Message)
        for name, value in block.raw_items()
    )


def _referred(message: EmailMessage, kind: Kind, ours: set[str]) -> str | None:
    """Find the token of the mail answered: In-Reply-To, References, or the mail a bounce holds."""
    fields = [_header(message, "In-Reply-To"), *reversed(_header(message, "References").split())]
    found = _token_in(fields, ours)
    if found or kind != "bounce":
        return found
    for part in _leaves(message):
        if part.get_content_type() in ("message/rfc822", "text/rfc822-headers"):
            text = part.as_string(policy=part.policy.clone(max_line_length=0))
            match = re.search(r"(?im)^Message-ID:\s*(<[^>\s]+>)", text)
            if match:
                return _token_in([match.group(1)], ours)
    return None


def _token_in(fields: list[str], ours: set[str]) -> str | None:
    for field in fields:
        match = _ID.search(field)
        if match and match.group(2).lower() in ours and valid_token(match.group(1)):
            return match.group(1)
    return None


def _leaves(message: Message) -> Iterator[Message]:
    """Walk the parts, but not into the mails a mail holds."""
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _leaves(part)
    else:
        yield message


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _body(message: EmailMessage) -> str:
    """Return the text of a mail: its plain parts, else its HTML."""
    plain, rich = [], []
    for part in _leaves(message):
        if part.get_content_type() == "text/plain" and not _is_file(part):
            plain.append(_decoded(part))
        elif part.get_content_type() == "text/html" and not _is_file(part):
            rich.append(_decoded(part))
    text = "\n".join(plain)
    return text if text.strip() or not rich else html_to_text("\n".join(rich)[: 20 * MAX_TEXT])


def _decoded(part: Message) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = str(part.get_content_charset("utf-8"))
    try:
        return data.decode(charset, "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def _attachments(message: EmailMessage) -> Iterator[Attachment]:
    for part in _leaves(message):
        kind = part.get_content_type()
        if part is message and part.get_content_maintype() in ("text", "multipart"):
            continue
        if _is_file(part) or part.get_content_maintype() in ("image", "audio", "video"):
            yield Attachment(" ".join((part.get_filename() or "").split()), kind)
