"""Why a message did not arrive: carriers' codes gathered into families, each with a plain sentence.

A family is for reading and for choosing; what a code does to an endpoint or a provider is decided
beside the channel that knows it (`channels/*_errors.py`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from broadcaster.states import DeliveryState


class Family(enum.StrEnum):
    """What a code means for the person behind the address."""

    GONE = "gone"
    RETIRED = "retired"
    BAD_ADDRESS = "bad_address"
    REFUSED = "refused"
    MAILBOX = "mailbox"
    NOT_REACHED = "not_reached"
    TOO_LATE = "too_late"
    OUR_KEY = "our_key"
    NO_ANSWER = "no_answer"
    CARRIER_UNSURE = "carrier_unsure"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A family in words."""

    vi: str
    en: str

    def said(self, lang: str) -> str:
        """Return the sentence in a language; English where it is neither."""
        return self.vi if lang == "vi" else self.en


MEANINGS: Mapping[Family, Meaning] = {
    Family.GONE: Meaning(
        "Nhà mạng báo địa chỉ không còn: ứng dụng đã gỡ, số hoặc hộp thư không tồn tại.",
        "The carrier says that the address is gone: the app was removed, or the number or mailbox"
        " does not exist.",
    ),
    Family.RETIRED: Meaning(
        "Địa chỉ đã ngừng dùng từ trước khi tin này được gửi.",
        "The address had been taken out of use before this message was sent.",
    ),
    Family.BAD_ADDRESS: Meaning(
        "Nhà mạng không nhận địa chỉ này: viết sai, hoặc không phải của kênh này.",
        "The carrier does not take this address: it is written wrongly or is of another kind.",
    ),
    Family.REFUSED: Meaning(
        "Nhà mạng hoặc hộp thư từ chối tin này và không nói địa chỉ đã mất. Có thể gửi lại.",
        "The carrier or mailbox refused the message without saying that the address is gone."
        " It can be sent again.",
    ),
    Family.MAILBOX: Meaning(
        "Hộp thư hiện không nhận được: bị khóa hoặc không nhận thư cỡ này. Có thể gửi lại sau.",
        "The mailbox takes nothing at present: locked, or not mail of this size."
        " It can be sent again later.",
    ),
    Family.NOT_REACHED: Meaning(
        "Nhà mạng đã nhận tin nhưng không chuyển được tới máy: máy tắt, ngoài vùng phủ sóng hoặc"
        " mạng từ chối.",
        "The carrier took the message and could not bring it to the phone: switched off, out of"
        " reach, or refused by the network.",
    ),
    Family.TOO_LATE: Meaning(
        "Nhà mạng giữ tin đến hết hạn mà chưa chuyển được.",
        "The carrier kept the message until its end without reaching the phone.",
    ),
    Family.OUR_KEY: Meaning(
        "Hệ thống không đọc được địa chỉ vì thiếu khóa. Nhờ người vận hành khôi phục khóa cũ rồi"
        " gửi lại.",
        "We could not read the address: its key is missing. Have an operator restore the old key,"
        " then send again.",
    ),
    Family.NO_ANSWER: Meaning(
        "Tin đã gửi đi nhưng nhà mạng không trả lời: có thể đã tới, có thể chưa.",
        "The message was sent and the carrier never answered: it may have arrived or not.",
    ),
    Family.CARRIER_UNSURE: Meaning(
        "Nhà mạng báo lỗi bên trong: có thể đã nhận tin, có thể chưa.",
        "The carrier reported a fault of its own: it may have taken the message or not.",
    ),
    Family.OTHER: Meaning(
        "Nhà mạng trả lời bằng mã mà hệ thống chưa biết.",
        "The carrier answered with a code this service does not know.",
    ),
}

RETIRED, UNDECIPHERABLE = "RETIRED", "UNDECIPHERABLE"
LEFT_EXERCISES = "LEFT_EXERCISES"
"""Reasons of our own, for messages that were not given to a carrier."""
_NOBODY = "unknown subscriber"
"""What a receipt's code is followed by where the carrier's own table says so, which retires."""

_WORDS: Mapping[str, Family] = {
    RETIRED: Family.RETIRED,
    LEFT_EXERCISES: Family.RETIRED,
    UNDECIPHERABLE: Family.OUR_KEY,
    # Push
    "UNREGISTERED": Family.GONE,
    "INVALID_ARGUMENT": Family.BAD_ADDRESS,
    "SENDER_ID_MISMATCH": Family.BAD_ADDRESS,
    "CANCELLED": Family.CARRIER_UNSURE,
    "DEADLINE_EXCEEDED": Family.CARRIER_UNSURE,
    "UNKNOWN": Family.CARRIER_UNSURE,
    "DATA_LOSS": Family.CARRIER_UNSURE,
    "ALREADY_EXISTS": Family.CARRIER_UNSURE,
    "CONFLICT": Family.CARRIER_UNSURE,
    "200 without a message name": Family.CARRIER_UNSURE,
    # SMS: answers, then the words of receipts
    "0x0000000b": Family.BAD_ADDRESS,
    "0x00000062": Family.TOO_LATE,
    "0x00000065": Family.REFUSED,
    "not a number": Family.BAD_ADDRESS,
    "too long for SMS": Family.OTHER,
    _NOBODY: Family.GONE,
    "UNDELIV": Family.NOT_REACHED,
    "DELETED": Family.NOT_REACHED,
    "REJECTD": Family.REFUSED,
    "EXPIRED": Family.TOO_LATE,
    # Mail
    "invalid address": Family.BAD_ADDRESS,
    "556": Family.GONE,
    # No answer, by each channel's word
    "TIMED_OUT": Family.NO_ANSWER,
    "CONNECTION_LOST": Family.NO_ANSWER,
    "NO_OUTCOME": Family.NO_ANSWER,
    "no answer": Family.NO_ANSWER,
    "connection lost": Family.NO_ANSWER,
}
_MAIL: tuple[tuple[str, Family], ...] = (
    ("5.1.0", Family.REFUSED),
    ("5.1.9", Family.REFUSED),
    ("5.1.", Family.GONE),
    ("5.2.", Family.MAILBOX),
    ("5.4.7", Family.TOO_LATE),
    ("5.", Family.REFUSED),
)
_ENHANCED = re.compile(r"(?:^|\s)(5\.\d{1,3}\.\d{1,3})$")
_REPLY = re.compile(r"5\d\d$")


def family_of(reason: str, state: str) -> Family:
    """Return the family of a carrier's code, as the channel wrote it down.

    `state` is what the delivery ended in (`failed` or `unknown`): it decides for unknown codes.
    """
    if reason.endswith(f" {_NOBODY}"):
        return Family.GONE
    known = _WORDS.get(reason) or _WORDS.get(reason.partition(" ")[0])
    if known is not None:
        return known
    enhanced = _ENHANCED.search(reason)
    if enhanced is not None:
        return next(family for start, family in _MAIL if _starts(enhanced[1], start))
    if state == DeliveryState.UNKNOWN:
        return Family.NO_ANSWER
    return Family.REFUSED if _REPLY.match(reason) else Family.OTHER


def _starts(status: str, start: str) -> bool:
    return status.startswith(start) if start.endswith(".") else status == start
