"""Mails as a person's mailbox sees and writes them: reading, answering, bouncing."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import format_datetime, make_msgid, parseaddr, parsedate_to_datetime
from functools import lru_cache
from html import escape
from typing import NamedTuple

_HANOI = timezone(timedelta(hours=7))
_WEEKDAYS = ("Th 2", "Th 3", "Th 4", "Th 5", "Th 6", "Th 7", "CN")


class Seen(NamedTuple):
    """What a mail program shows of a mail."""

    subject: str
    headers: str
    text: str
    html: str


@lru_cache(maxsize=256)
def _bodies(content_type: str, body: bytes) -> tuple[str, str]:
    """Decode the bodies. One alert's mails share them, so this is done once per wording."""
    message = message_from_bytes(content_type.encode() + b"\r\n\r\n" + body, policy=default)
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    return (text.get_content() if text else "", html.get_content() if html else "")


@lru_cache(maxsize=256)
def _subject(line: str) -> str:
    return str(message_from_bytes(line.encode() + b"\r\n\r\n", policy=default)["Subject"] or "")


def read(raw: bytes) -> Seen:
    """Take a mail apart; cheap for the thousands that differ in a few headers only."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = head.decode("utf-8", "replace")
    fields = headers.replace("\r\n ", "\n ").replace("\r\n\t", "\n\t").split("\r\n")
    kept = [line.replace("\n", "\r\n") for line in fields]
    subject = next((line for line in kept if line.lower().startswith("subject:")), "")
    content = [line for line in kept if line.lower().startswith(("content-", "mime-version:"))]
    return Seen(_subject(subject), headers, *_bodies("\r\n".join(content), body))


def gmail_reply(person: str, raw: bytes, text: str) -> tuple[str, bytes]:
    """Compose the answer a Vietnamese Gmail would send; returns its recipient and bytes."""
    original = message_from_bytes(raw, policy=default)
    to = parseaddr(str(original["Reply-To"] or original["From"]))[1]
    name, author = parseaddr(str(original["From"]))
    quoted = read(raw).text.splitlines()
    when = _vietnamese(parsedate_to_datetime(str(original["Date"])))
    header = f"Vào {when} {name or author} <{author}> đã viết:"
    reply = EmailMessage(policy=SMTP)
    reply["From"] = Address(addr_spec=person)
    reply["To"] = Address(addr_spec=to)
    reply["Subject"] = "Re: " + str(original["Subject"]).removeprefix("Re: ")
    reply["Date"] = format_datetime(datetime.now(_HANOI))
    reply["Message-ID"] = make_msgid(domain="mail.gmail.com")
    reply["In-Reply-To"] = str(original["Message-ID"])
    reply["References"] = str(original["Message-ID"])
    reply.set_content("\n".join([text, "", header, "", *(f"> {line}".rstrip() for line in quoted)]))
    reply.add_alternative(
        f'<div dir="ltr">{escape(text).replace(chr(10), "<br>")}</div><br>'
        f'<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">'
        f'{escape(header)}<br></div><blockquote class="gmail_quote">'
        f"{'<br>'.join(map(escape, quoted))}</blockquote></div>",
        subtype="html",
    )
    return to, reply.as_bytes()


def _vietnamese(moment: datetime) -> str:
    local = moment.astimezone(_HANOI)
    day = f"{_WEEKDAYS[local.weekday()]}, {local.day} thg {local.month}, {local.year}"
    return f"{day} vào lúc {local:%H:%M}"


def bounce(return_path: str, rcpt: str, raw: bytes) -> bytes:
    """Compose the delivery status notification (RFC 3464) of a server that gave up later."""
    head = raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    boundary = make_msgid(domain="lab").strip("<>").replace("@", ".")
    lines = [
        "From: MAILER-DAEMON@lab.example (Mail Delivery System)",
        f"To: {return_path}",
        "Subject: Undelivered Mail Returned to Sender",
        f"Date: {format_datetime(datetime.now(_HANOI))}",
        f"Message-ID: {make_msgid(domain='lab.example')}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "This is the mail system at host lab.example.",
        "",
        f"<{rcpt}>: host mx.lab.example said: 550 5.1.1 User unknown",
        "",
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; lab.example",
        "",
        f"Final-Recipient: rfc822; {rcpt}",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown",
        "",
        f"--{boundary}",
        "Content-Type: text/rfc822-headers",
        "",
        *head.split("\r\n"),
        "",
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


async def deliver(mail_from: str, rcpt: str, message: bytes, host: str, port: int) -> None:
    """Hand a mail to a server; raises OSError when it is not taken."""
    body = re.sub(rb"\r?\n", b"\r\n", message.rstrip(b"\r\n"))
    steps = (
        (b"", b"220"),
        (b"EHLO lab.example", b"250"),
        (f"MAIL FROM:<{mail_from}>".encode(), b"250"),
        (f"RCPT TO:<{rcpt}>".encode(), b"250"),
        (b"DATA", b"354"),
        (re.sub(rb"(?m)^\.", b"..", body) + b"\r\n.", b"250"),
        (b"QUIT", b"221"),
    )
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            for command, wanted in steps:
                if command:
                    writer.write(command + b"\r\n")
                line = await reader.readline()
                while line[3:4] == b"-":
                    line = await reader.readline()
                if not line.startswith(wanted):
                    raise ConnectionRefusedError(line.decode("utf-8", "replace").strip())
        finally:
            writer.close()
