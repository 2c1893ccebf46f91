"""What was stored, read: one shape for what came by SMS, mail, app, web form and telephone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.incidents.inbox import AppMessage, mail_of
from broadcaster.people.addresses import normalise
from broadcaster.people.endpoints import Address
from broadcaster.people.problems import Unusable
from channels.email_reply import parse
from channels.sms_pdu import RawPdu, decode_text, is_receipt, join_parts

MOST_LETTERS = 4_000
MISSING_PART = " […] "

# Whole messages only: the words occur in real reports ("dung" is also "đúng" without marks).
STOP_WORDS = frozenset(
    {"stop", "huy", "hủy", "huỷ", "dung", "dừng", "tc", "tu choi", "từ chối", "unsubscribe"}
)


@dataclass(frozen=True, slots=True)
class Message:
    """Something a person (or a machine) sent us."""

    text: str
    sender: str = ""
    """As the carrier gives it; "" for an app message."""
    address: Address | None = None
    """The sender in the form endpoints have, when it is one that can be answered."""
    person_id: int | None = None
    token: str | None = None
    point: tuple[float, float] | None = None
    alert_code: str = ""
    machine: str = ""
    """Not from a person: `bounce`, `auto`, `receipt`."""
    bounce_status: str = ""
    stop: bool = False

    @property
    def identity(self) -> str:
        """Whoever sent it, for telling a loop."""
        if self.address is not None:
            return f"{self.address.channel}:{self.address.value}"
        return f"person:{self.person_id}" if self.person_id is not None else f"raw:{self.sender}"


def read_sms(parts: Sequence[bytes]) -> Message:
    """Read the stored parts of one SMS, in any order; where one is missing it says so."""
    pdus = [RawPdu.from_bytes(part) for part in parts]
    if is_receipt(pdus[0]):
        return Message("", machine="receipt")
    text = join_parts(pdus)
    if text is None:
        text = MISSING_PART.join(map(decode_text, pdus))
    text = clean(text)
    source = pdus[0].source
    return Message(text, source, _address("sms", source), stop=is_stop(text))


def read_mail(stored: bytes, domain: str) -> Message:
    """Read a stored mail: the new text alone, and what kind of mail it is."""
    reply = parse(mail_of(stored), domain=domain or None)
    text = clean(reply.text or (reply.subject if reply.kind == "reply" else ""))
    return Message(
        text,
        reply.sender,
        _address("email", reply.sender),
        token=reply.token,
        machine=reply.kind if reply.kind in ("bounce", "auto") else "",
        bounce_status=reply.bounce_status,
        stop=reply.kind == "unsubscribe" or is_stop(text),
    )


def read_app(stored: bytes) -> Message:
    """Read a stored message of the app, the web form or the hotline."""
    message = AppMessage.from_bytes(stored)
    given = message.lon is not None and message.lat is not None
    return Message(
        clean(message.text),
        person_id=message.person_id,
        point=(message.lon or 0.0, message.lat or 0.0) if given else None,
        alert_code=message.alert_code,
    )


def _address(channel: str, sender: str) -> Address | None:
    try:
        return Address(channel, normalise(channel, sender))
    except Unusable:
        return None


def clean(text: str) -> str:
    """Return the text composed (NFC), without control characters, of bounded length."""
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", kept).strip()[:MOST_LETTERS]


def is_stop(text: str) -> bool:
    """Say whether the whole message is one of the words that stop follow-ups."""
    return " ".join(text.lower().strip(" .!\"'").split()) in STOP_WORDS
