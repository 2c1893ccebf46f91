"""FCM's answers and the wire's failures, and what each of them means for us.

The table is literal on purpose: the codes are those of FCM's `ErrorCode` (in the error's
details), then those of Google's platform errors (its `status`), which firebase-admin names too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from channels.base import Action, Result

VERDICTS: Final[dict[str, tuple[Result, Action]]] = {
    # FCM's own codes
    "UNREGISTERED": (Result.PERMANENT, Action.RETIRE),
    "INVALID_ARGUMENT": (Result.PERMANENT, Action.PAUSE),
    "SENDER_ID_MISMATCH": (Result.PERMANENT, Action.PAUSE),
    "THIRD_PARTY_AUTH_ERROR": (Result.TEMPORARY, Action.PAUSE),
    "APNS_AUTH_ERROR": (Result.TEMPORARY, Action.PAUSE),
    "QUOTA_EXCEEDED": (Result.TEMPORARY, Action.NONE),
    "UNAVAILABLE": (Result.TEMPORARY, Action.NONE),
    "INTERNAL": (Result.TEMPORARY, Action.NONE),
    "UNSPECIFIED_ERROR": (Result.TEMPORARY, Action.NONE),
    # the platform's
    "UNAUTHENTICATED": (Result.TEMPORARY, Action.PAUSE),
    "PERMISSION_DENIED": (Result.TEMPORARY, Action.PAUSE),
    # A 404 without UNREGISTERED is a wrong project or path: every phone would answer the same.
    "NOT_FOUND": (Result.TEMPORARY, Action.PAUSE),
    "FAILED_PRECONDITION": (Result.TEMPORARY, Action.PAUSE),
    "OUT_OF_RANGE": (Result.PERMANENT, Action.PAUSE),
    "RESOURCE_EXHAUSTED": (Result.TEMPORARY, Action.NONE),
    "ABORTED": (Result.TEMPORARY, Action.NONE),
    "CANCELLED": (Result.UNKNOWN, Action.NONE),
    "DEADLINE_EXCEEDED": (Result.UNKNOWN, Action.NONE),
    "UNKNOWN": (Result.UNKNOWN, Action.NONE),
    "DATA_LOSS": (Result.UNKNOWN, Action.NONE),
    "ALREADY_EXISTS": (Result.UNKNOWN, Action.NONE),
    "CONFLICT": (Result.UNKNOWN, Action.NONE),
}

_BY_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

QUOTA_SECONDS: Final = 60.0
"""FCM's documentation: wait this long after a 429 that does not say how long."""

_BAD_ADDRESS: Final = "The registration token is not a valid FCM registration token"
_ADDRESS_FIELDS: Final = frozenset({"message.token", "message.fid"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome before it is known whose."""

    result: Result
    reason: str = ""
    name: str = ""
    """FCM's id of an accepted message."""
    retry_after: float | None = None
    action: Action = Action.NONE
    throttled: bool = False
    """We send more than FCM takes: all of it must slow down, not this message alone."""


def name_in(body: bytes) -> str:
    """Return the id FCM gave an accepted message, "" when the body holds none."""
    name = _parse(body).get("name")
    return name if isinstance(name, str) else ""


def judge(status: int, body: bytes, retry_after: str | None, now: datetime) -> Verdict:
    """Return what FCM's answer means."""
    if status == 200:
        name = name_in(body)
        if name:
            return Verdict(Result.ACCEPTED, name=name)
        return Verdict(Result.UNKNOWN, "200 without a message name")
    error = _parse(body).get("error")
    return _refusal(status, error if isinstance(error, dict) else {}, retry_after, now)


def seconds(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _refusal(status: int, error: dict[str, Any], retry_after: str | None, now: datetime) -> Verdict:
    details = [entry for entry in _rows(error.get("details")) if isinstance(entry, dict)]
    code = _code(status, error, details)
    result, action = VERDICTS.get(code) or _unlisted(status)
    if code == "INVALID_ARGUMENT" and _names_address(error, details):
        # Anyone can register nonsense as an address; it must not silence the whole city.
        action = Action.NONE
    wait = seconds(retry_after, now)
    if status == 429 and wait is None:
        wait = QUOTA_SECONDS
    return Verdict(result, code, retry_after=wait, action=action, throttled=status == 429)


def _unlisted(status: int) -> tuple[Result, Action]:
    # Whatever else is refused is refused for our request's sake, and is never final.
    return (Result.TEMPORARY, Action.NONE if status >= 500 else Action.PAUSE)


def _code(status: int, error: dict[str, Any], details: list[dict[str, Any]]) -> str:
    for detail in details:
        code = detail.get("errorCode")
        if isinstance(code, str) and code:
            return code
    code = error.get("status")
    if isinstance(code, str) and code:
        return code
    return _BY_STATUS.get(status, str(status))


def _names_address(error: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    fields = {
        violation.get("field")
        for detail in details
        for violation in _rows(detail.get("fieldViolations"))
        if isinstance(violation, dict)
    }
    if fields:
        return fields <= _ADDRESS_FIELDS
    return error.get("message") == _BAD_ADDRESS


def _rows(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _parse(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
