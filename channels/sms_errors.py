"""What an SMSC's codes mean to us: command_status of an answer, state of a receipt.

SMPP leaves much to the operator. A code is final here only where the specification says so, and
none of them retires a number: RINVDSTADR is also what an SMSC answers to every number when our
address type is wrong, so believing it would lose a whole city in one batch. A number is dead
when a receipt says "unknown subscriber" in the network's own words (`SmsReceipt.unknown`).
"""

from __future__ import annotations

import enum
from typing import Final

from channels.base import Action, Result

ROK: Final = 0x00000000
RINVCMDID: Final = 0x00000003
RINVBNDSTS: Final = 0x00000004
RALYBND: Final = 0x00000005
RSYSERR: Final = 0x00000008
RINVSRCADR: Final = 0x0000000A
RINVDSTADR: Final = 0x0000000B
RBINDFAIL: Final = 0x0000000D
RINVPASWD: Final = 0x0000000E
RINVSYSID: Final = 0x0000000F
RMSGQFUL: Final = 0x00000014
RTHROTTLED: Final = 0x00000058
RX_T_APPN: Final = 0x00000064
RX_P_APPN: Final = 0x00000065

OUR_FAULT: Final = (Result.TEMPORARY, Action.PAUSE)
"""The person did nothing wrong: the message waits until our account or payload is put right."""
TRY_LATER: Final = (Result.TEMPORARY, Action.NONE)
REFUSED: Final = (Result.PERMANENT, Action.NONE)

COMMAND_STATUS: Final[dict[int, tuple[Result, Action]]] = {
    ROK: (Result.ACCEPTED, Action.NONE),
    0x00000001: OUR_FAULT,  # RINVMSGLEN
    0x00000002: OUR_FAULT,  # RINVCMDLEN
    RINVCMDID: OUR_FAULT,
    RINVBNDSTS: TRY_LATER,
    RALYBND: TRY_LATER,
    0x00000006: OUR_FAULT,  # RINVPRTFLG
    0x00000007: OUR_FAULT,  # RINVREGDLVFLG
    RSYSERR: TRY_LATER,
    RINVSRCADR: OUR_FAULT,
    RINVDSTADR: REFUSED,
    0x0000000C: TRY_LATER,  # RINVMSGID
    RBINDFAIL: OUR_FAULT,
    RINVPASWD: OUR_FAULT,
    RINVSYSID: OUR_FAULT,
    RMSGQFUL: TRY_LATER,
    0x00000015: OUR_FAULT,  # RINVSERTYP
    0x00000043: OUR_FAULT,  # RINVESMCLASS
    0x00000045: TRY_LATER,  # RSUBMITFAIL
    0x00000048: OUR_FAULT,  # RINVSRCTON
    0x00000049: OUR_FAULT,  # RINVSRCNPI
    0x00000050: OUR_FAULT,  # RINVDSTTON
    0x00000051: OUR_FAULT,  # RINVDSTNPI
    0x00000053: OUR_FAULT,  # RINVSYSTYP
    RTHROTTLED: TRY_LATER,
    0x00000061: OUR_FAULT,  # RINVSCHED
    0x00000062: REFUSED,  # RINVEXPIRY: over, as seen by the SMSC's clock
    RX_T_APPN: TRY_LATER,
    RX_P_APPN: REFUSED,
    0x00000066: TRY_LATER,  # RX_R_APPN
    0x000000C0: OUR_FAULT,  # RINVOPTPARSTREAM
    0x000000C1: OUR_FAULT,  # ROPTPARNOTALLWD
    0x000000C2: OUR_FAULT,  # RINVPARLEN
    0x000000C3: OUR_FAULT,  # RMISSINGOPTPARAM
    0x000000C4: OUR_FAULT,  # RINVOPTPARAMVAL
    0x000000FE: TRY_LATER,  # RDELIVERYFAILURE
    0x000000FF: TRY_LATER,  # RUNKNOWNERR
}
"""Every code of SMPP 3.4 a submit_sm or a bind can be answered with. Others (an operator's own,
0x400 and up) are tried again: nothing we have read says they are final."""

RETRY_AFTER: Final[dict[int, float]] = {RTHROTTLED: 1.0, RMSGQFUL: 5.0}
"""SMPP carries no Retry-After: rates are per second, a queue takes a little longer to drain."""


class ReceiptState(enum.StrEnum):
    """What a delivery receipt tells us."""

    CONFIRMED = "confirmed"
    """The handset has it."""
    FAILED = "failed"
    EXPIRED = "expired"
    """The validity period ended before the handset was reached."""
    NO_NEWS = "no news"
    """Still on its way, or the SMSC does not know."""


RECEIPT_STATE: Final[dict[str, ReceiptState]] = {
    "ENROUTE": ReceiptState.NO_NEWS,
    "DELIVRD": ReceiptState.CONFIRMED,
    "EXPIRED": ReceiptState.EXPIRED,
    "DELETED": ReceiptState.FAILED,
    "UNDELIV": ReceiptState.FAILED,
    "ACCEPTD": ReceiptState.NO_NEWS,
    "UNKNOWN": ReceiptState.NO_NEWS,
    "REJECTD": ReceiptState.FAILED,
}

MESSAGE_STATE: Final[dict[int, str]] = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
"""The message_state TLV in the words of the text form."""


def judge(command_status: int) -> tuple[Result, Action]:
    """Return what a command_status means for the message and for the provider."""
    return COMMAND_STATUS.get(command_status, TRY_LATER)


def written(command_status: int) -> str:
    """Return a command_status as SMPP writes it: `0x0000000b`."""
    return f"0x{command_status:08x}"
