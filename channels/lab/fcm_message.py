"""What the lab FCM demands of a request, and how it refuses: shapes as Google writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

ERRORS: Final[dict[str, tuple[int, str, str]]] = {
    "UNREGISTERED": (404, "NOT_FOUND", "Requested entity was not found."),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch"),
    "THIRD_PARTY_AUTH_ERROR": (
        401,
        "UNAUTHENTICATED",
        "Auth error from APNS or Web Push Service",
    ),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'messages'."),
    "UNAVAILABLE": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "INTERNAL": (500, "INTERNAL", "Internal error encountered."),
    "UNAUTHENTICATED": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "PERMISSION_DENIED": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "NOT_FOUND": (404, "NOT_FOUND", "Requested entity was not found."),
}
"""Code → HTTP status, platform status, message."""

_PLATFORM_ONLY: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"})
_ADDRESSED: Final = re.compile(rb'\{"message":\{"(fid|token)":"([A-Za-z0-9_:.-]+)(",.*)', re.DOTALL)
_TTL: Final = re.compile(r"(\d{1,7})(?:\.\d{1,9})?s", re.ASCII)
_LONGEST_TTL: Final = 28 * 24 * 3600
_PAYLOAD_BYTES: Final = 4096
_PRIORITIES: Final = frozenset({None, "high", "normal", "HIGH", "NORMAL"})


class InvalidError(Exception):
    """A request FCM would refuse with INVALID_ARGUMENT; the field at fault and why."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(field, description)
        self.field, self.description = field, description


@dataclass(frozen=True, slots=True)
class Fields:
    """What the lab keeps of a message besides its address."""

    title: str
    body: str
    tag: str
    sequence: int
    ttl: float
    urgent: bool
    data: str
    raw: str


def parse(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the address, as `kind:value`, and the message without it."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidError("", f"Invalid JSON payload received. {error}") from error
    message = request.get("message") if isinstance(request, dict) else None
    if not isinstance(message, dict):
        raise InvalidError("message", "Message is required.")
    fid, token = message.pop("fid", None), message.pop("token", None)
    if (fid is None) == (token is None):
        raise InvalidError("message", "Recipient of the message is not set.")
    value = token if fid is None else fid
    if not isinstance(value, str) or not value:
        raise InvalidError("message.token", "Invalid registration token")
    return f"{'token' if fid is None else 'fid'}:{value}", message


def split(body: bytes) -> tuple[str, bytes] | None:
    """Cut a body at its address: the address, and all the rest as a key.

    Two bodies with the same rest are the same message to two addresses, since the alphabet
    allowed here needs no JSON escapes; so only the first of a batch need be parsed. None for a
    body that is written in another order.
    """
    match = _ADDRESSED.fullmatch(body)
    if match is None:
        return None
    return f"{match[1].decode()}:{match[2].decode()}", match[1] + match[3]


def fields(message: dict[str, Any]) -> Fields:
    """Check a message without its address and return what is kept of it."""
    android, notification = _part(message, "android"), _part(message, "notification")
    data = _part(message, "data")
    for key, value in data.items():
        if not isinstance(value, str):
            raise InvalidError(f"message.data[{key}].value", "Invalid value (TYPE_STRING)")
    texts = [*data.keys(), *data.values(), *(str(value) for value in notification.values())]
    if sum(len(text.encode()) for text in texts) > _PAYLOAD_BYTES:
        raise InvalidError("message", "Message too big")
    if android.get("priority") not in _PRIORITIES:
        raise InvalidError("message.android.priority", "Invalid value")
    sequence = data.get("sequence", "0")
    return Fields(
        title=str(notification.get("title", "")),
        body=str(notification.get("body", "")),
        tag=str(_part(android, "notification").get("tag", "")),
        sequence=int(sequence) if sequence.isdecimal() else 0,
        ttl=_seconds(android.get("ttl")),
        urgent=str(android.get("priority")).lower() == "high",
        data=orjson.dumps(data).decode(),
        raw=orjson.dumps(message).decode(),
    )


def refusal(code: str, field: str = "", description: str = "") -> tuple[int, bytes]:
    """Return the HTTP status and body of an error."""
    status, platform, message = ERRORS[code]
    details: list[dict[str, Any]] = []
    if code not in _PLATFORM_ONLY:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details.append({"@type": kind, "errorCode": code})
    if field:
        violation = {"field": field, "description": description}
        kind = "type.googleapis.com/google.rpc.BadRequest"
        details.append({"@type": kind, "fieldViolations": [violation]})
    error: dict[str, Any] = {"code": status, "message": description or message, "status": platform}
    if details:
        error["details"] = details
    return status, orjson.dumps({"error": error})


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    part = message.get(name, {})
    if not isinstance(part, dict):
        raise InvalidError(f"message.{name}", "Invalid value (TYPE_MESSAGE)")
    return part


def _seconds(ttl: object) -> float:
    if ttl is None:
        return _LONGEST_TTL
    match = _TTL.fullmatch(ttl) if isinstance(ttl, str) else None
    if match is None or int(match[1]) > _LONGEST_TTL:
        raise InvalidError("message.android.ttl", f"Invalid ttl: {ttl}")
    return float(str(ttl)[:-1])
