"""Mail as bytes: the shared part once per content and batch, a few headers per recipient.

The shared part is a complete MIME message without the headers that name the recipient; because
the order of header fields is free, a mail is those headers followed by the shared part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

BOUNCE = "bounce"
REPLY = "reply"
UNSUBSCRIBE = "unsubscribe"
UNSUBSCRIBE_PATH = "/unsubscribe/"
MAX_TOKEN = 64 - len(UNSUBSCRIBE) - 1
"""A local part holds 64 octets (RFC 5321 4.5.3.1.1)."""

_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?:[A-Za-z]{{2,63}}|xn--[A-Za-z0-9-]{{0,58}}[A-Za-z0-9])")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")
_LEADING_DOT = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True)
class EmailContent:
    """What one wording says by mail. The first line of the text carries the alert's end."""

    subject: str
    text: str
    html: str = ""


def valid_domain(text: str) -> bool:
    """Say whether the text is a domain name that mail can be addressed to."""
    return len(text) <= 253 and _DOMAIN.fullmatch(text) is not None


def valid_address(text: str) -> bool:
    """Say whether the text is a plain ASCII addr-spec: no quotes, comments or address literals."""
    local, at, domain = text.rpartition("@")
    return (
        at == "@"
        and len(text) <= 254
        and len(local) <= 64
        and _LOCAL.fullmatch(local) is not None
        and valid_domain(domain)
    )


def valid_token(text: str) -> bool:
    """Say whether the text may stand in a local part, a Message-ID and a link as it is."""
    return _TOKEN.fullmatch(text) is not None


def sender_address(sender: str) -> Address:
    """Read `Name <address>`; raises ValueError when it holds no usable address."""
    name, address = parseaddr(_CONTROL.sub(" ", sender))
    if not valid_address(address):
        raise ValueError("the sender holds no valid mail address")
    return Address(display_name=name, addr_spec=address)


def render_shared(
    content: EmailContent, *, language: str, sender: Address, now: datetime, expires: datetime
) -> bytes:
    """Render all that is alike for every recipient, ready for the wire (CRLF, dots doubled)."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["Subject"] = _CONTROL.sub(" ", content.subject).strip()
    message["From"] = sender
    message["Date"] = format_datetime(now.astimezone(UTC))
    end = format_datetime(expires.astimezone(UTC))
    message["Expires"] = end
    message["Expiry-Date"] = end  # the older name, the one Exchange reads
    message["Auto-Submitted"] = "auto-generated"
    message["Precedence"] = "bulk"
    # Exchange heeds only its own header: without it every absent reader answers every alert.
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(content.text)
    if content.html:
        message.add_alternative(content.html, subtype="html")
    if _LANGUAGE.fullmatch(language):  # after the bodies: add_alternative moves Content-* inside
        message["Content-Language"] = language
    return _LEADING_DOT.sub(b"..", message.as_bytes())


def header_splicer(domain: str, base_url: str) -> Callable[[str, str], bytes]:
    """Make the function that writes the headers of one recipient.

    Its arguments stand unescaped in the header, so it takes only what `valid_address` and
    `valid_token` let through.
    """
    if not valid_domain(domain):
        raise ValueError("the mail domain is not a domain name")
    link = base_url.rstrip("/") + UNSUBSCRIBE_PATH
    if not re.fullmatch(r"https?://[!-;=?-~]+", link):
        raise ValueError("the base address must be an http(s) URL")

    def splice(address: str, token: str) -> bytes:
        return (
            f"To: {address}\r\n"
            f"Message-ID: <{token}@{domain}>\r\n"
            f"Reply-To: {REPLY}+{token}@{domain}\r\n"
            f"List-Unsubscribe: <{link}{token}>,\r\n"
            f" <mailto:{UNSUBSCRIBE}+{token}@{domain}?subject=unsubscribe>\r\n"
        ).encode("ascii")

    return splice


def return_path(token: str, domain: str) -> str:
    """Return the envelope sender of one message: a bounce names it by itself (VERP)."""
    return f"{BOUNCE}+{token}@{domain}"
