"""What an SMTP server's answer means for us: literal tables, from the RFCs that define the codes.

Enhanced status codes (RFC 3463, 5248, 7504) decide when present; the bare reply code (RFC 5321)
decides otherwise. Only codes that speak of the recipient's address retire an endpoint.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from channels.base import Action, Result


class Stage(enum.StrEnum):
    """How far the dialogue had come when the server answered."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class Verdict(NamedTuple):
    """A try's result and what the caller must do."""

    result: Result
    action: Action
    reason: str = ""


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")

_GONE = (Result.PERMANENT, Action.RETIRE)
_REFUSED = (Result.PERMANENT, Action.NONE)
_LATER = (Result.TEMPORARY, Action.NONE)
_OURS = (Result.TEMPORARY, Action.PAUSE)
"""The fault is in our account or payload, so the message itself stays worth sending."""

ENHANCED: dict[str, tuple[Result, Action]] = {
    "5.1.0": _REFUSED,  # also what Postfix says of the sender's address, so nobody is retired
    "5.1.1": _GONE,  # bad destination mailbox address
    "5.1.2": _GONE,  # bad destination system address
    "5.1.3": _GONE,  # bad destination mailbox address syntax
    "5.1.4": _GONE,  # destination mailbox address ambiguous
    "5.1.6": _GONE,  # destination mailbox has moved
    "5.1.7": _OURS,  # bad sender's mailbox address syntax
    "5.1.8": _OURS,  # bad sender's system address
    "5.1.9": _REFUSED,  # message relayed to non-compliant mailer
    "5.1.10": _GONE,  # recipient's domain has a null MX
    "5.2.0": _REFUSED,  # other mailbox status
    "5.2.1": _REFUSED,  # mailbox disabled: may be enabled again
    "5.2.2": _LATER,  # mailbox full: RFC 3463 wants it persistent-transient
    "5.2.3": _REFUSED,  # message too long for this mailbox
    "5.2.4": _REFUSED,  # mailing list expansion problem
    "5.3.0": _REFUSED,  # other mail system status
    "5.3.1": _LATER,  # mail system full: persistent-transient by RFC 3463
    "5.3.2": _LATER,  # system not accepting network messages
    "5.3.3": _OURS,  # system not capable of selected features
    "5.3.4": _OURS,  # message too big for system
    "5.3.5": _OURS,  # system incorrectly configured
    "5.4.0": _REFUSED,  # other network or routing status
    "5.4.1": _REFUSED,  # no answer from host
    "5.4.4": _REFUSED,  # unable to route
    "5.4.6": _REFUSED,  # routing loop detected
    "5.4.7": _REFUSED,  # delivery time expired
    "5.5.0": _OURS,  # other protocol status
    "5.5.1": _OURS,  # invalid command
    "5.5.2": _OURS,  # syntax error
    "5.5.3": _LATER,  # too many recipients: temporary by RFC 5321 4.5.3.1.10
    "5.5.4": _OURS,  # invalid command arguments
    "5.5.6": _OURS,  # invalid message content
    "5.6.0": _OURS,  # other media error
    "5.6.1": _OURS,  # media not supported
    "5.6.2": _OURS,  # conversion required and prohibited
    "5.6.3": _OURS,  # conversion required but not supported
}
"""5.7.x is not listed one by one: policy and security always mean us."""

CODES: dict[int, tuple[Result, Action]] = {
    421: _LATER,  # service closing: the connection is replaced
    432: _LATER,  # password transition needed
    450: _LATER,  # mailbox busy, greylisted
    451: _LATER,  # local error
    452: _LATER,  # insufficient storage
    454: _LATER,  # temporary authentication failure, TLS not available now
    455: _LATER,  # cannot accommodate parameters now
    500: _OURS,
    501: _OURS,
    502: _OURS,
    503: _OURS,
    504: _OURS,
    521: _OURS,  # our relay does not accept mail at all
    530: _OURS,  # authentication required
    534: _OURS,  # authentication mechanism too weak
    535: _OURS,  # credentials invalid
    538: _OURS,  # encryption required
    550: _REFUSED,  # mailbox unavailable or policy: without 5.1.x we cannot tell, so no retirement
    551: _REFUSED,  # user not local
    552: _LATER,  # exceeded storage allocation: mailbox full
    553: _REFUSED,  # mailbox name not allowed
    554: _REFUSED,  # transaction failed
    555: _OURS,  # parameters not recognised
    556: _GONE,  # the recipient's domain does not accept mail (RFC 7504)
}

BEFORE_RECIPIENT: dict[int, tuple[Result, Action]] = {
    550: _OURS,  # our sender is refused
    551: _OURS,
    552: _OURS,  # the announced size is too large for the server
    553: _OURS,
    554: _OURS,  # no SMTP service for us here
    556: _OURS,
}
"""At CONNECT and MAIL no recipient was named yet: a refusal cannot be about one."""


def enhanced_status(code: int, text: str) -> str:
    """Return the enhanced status code of an answer, or "" when it has none of the same class."""
    match = _ENHANCED.match(text.lstrip())
    if match is None or not match.group(1).startswith(str(code)[0]):
        return ""
    return match.group(1)


def classify(stage: Stage, code: int, text: str) -> Verdict:
    """Say what a refusal means. The reason holds codes only: texts quote addresses."""
    status = enhanced_status(code, text)
    reason = f"{code} {status}".rstrip()
    early = stage in (Stage.CONNECT, Stage.MAIL)
    if 400 <= code < 500:
        return Verdict(*CODES.get(code, _LATER), reason)
    if not 500 <= code < 600:
        return Verdict(*_LATER, reason)
    if status.startswith("5.7."):
        return Verdict(*_OURS, reason)
    if status in ENHANCED:
        known = ENHANCED[status]
        return Verdict(*(_OURS if early and known in (_GONE, _REFUSED) else known), reason)
    if early:
        return Verdict(*BEFORE_RECIPIENT.get(code, CODES.get(code, _OURS)), reason)
    return Verdict(*CODES.get(code, _REFUSED), reason)


def throttled(reason: str) -> bool:
    """Say whether a reason (`421 4.7.0`) asks the whole account to send more slowly."""
    code, _, status = reason.partition(" ")
    return code == "421" or (code[:1] == "4" and status.startswith("4.7."))


def mailbox_is_gone(status: str) -> bool:
    """Say whether a bounce's enhanced code (`5.1.1`) means that this mailbox will never be."""
    return ENHANCED.get(status) == _GONE
