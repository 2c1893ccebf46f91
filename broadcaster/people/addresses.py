"""Addresses in the one form we store: E.164 with +, addr-spec in lower case, `fid:…`/`token:…`."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

from broadcaster.people.problems import Unusable
from channels.email import valid_address as valid_email
from channels.push import valid_address as valid_push

# Until 2018 some mobile numbers had eleven digits; each prefix became one of two digits. Phone
# libraries call the old form invalid, people's paper lists still have it.
_RENUMBERED: Final = {
    "120": "70", "121": "79", "122": "77", "126": "76", "128": "78",
    "123": "83", "124": "84", "125": "85", "127": "81", "129": "82",
    "162": "32", "163": "33", "164": "34", "165": "35",
    "166": "36", "167": "37", "168": "38", "169": "39",
    "186": "56", "188": "58", "199": "59",
}  # fmt: skip
_SEPARATORS: Final = re.compile(r"[\s.\-()/\u00a0]+")
_SHORT: Final = re.compile(r"\d{3,6}|1[89]00\d{4,6}")
_MOBILE: Final = {
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
}


def normalise(channel: str, text: str) -> str:
    """Return the address in its stored form; raises Unusable with the reason."""
    text = text.strip()
    if channel == "sms":
        return normalise_phone(text)
    if channel == "email":
        # The part before @ could in theory tell case apart; nobody's mailbox does.
        if not valid_email(text.lower()):
            raise Unusable("email_invalid")
        return text.lower()
    if channel == "push":
        if not valid_push(text):
            raise Unusable("push_invalid")
        return text
    raise Unusable("channel_unknown")


def normalise_phone(text: str) -> str:
    """Return a mobile number as +84…; raises Unusable for what receives no text message."""
    digits = _SEPARATORS.sub("", text)
    if _SHORT.fullmatch(digits):
        raise Unusable("phone_short")
    # Some carriers call a national number international and put a + before its 0.
    digits = re.sub(r"^00", "+", re.sub(r"^\+(?=0)", "", digits))
    if re.fullmatch(r"84\d{9,10}", digits):
        digits = "+" + digits
    national = re.fullmatch(r"(?:\+840?|0)(\d+)", digits)
    if national:
        return _vietnamese(national.group(1))
    return _valid(digits)


def _vietnamese(national: str) -> str:
    if len(national) == 10 and national[:3] in _RENUMBERED:
        national = _RENUMBERED[national[:3]] + national[3:]
    if national.startswith("2") and len(national) in (9, 10):
        raise Unusable("phone_landline")
    return _valid("+84" + national)


def _valid(number: str) -> str:
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException as error:
        raise Unusable("phone_invalid") from error
    if not phonenumbers.is_valid_number(parsed):
        raise Unusable("phone_invalid")
    kind = phonenumbers.number_type(parsed)
    if kind == phonenumbers.PhoneNumberType.FIXED_LINE:
        raise Unusable("phone_landline")
    if kind not in _MOBILE:
        raise Unusable("phone_invalid")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def masked(channel: str, address: str) -> str:
    """Show enough of an address to recognise it, and not enough to use it."""
    if channel == "email":
        name, _, domain = address.partition("@")
        return f"{name[:1]}…@{domain}"
    return f"…{address[-3:]}"
