"""What a phone is sent: an FCM message encoded once, with room for the address.

firebase-admin owns the message model and its validation. Encoding one message with it costs
more than sending one, so a batch encodes each wording once and splices the addresses in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from firebase_admin import messaging  # type: ignore[import-untyped]

from channels.base import Batch

TAG_BYTES: Final = 64
"""APNs refuses a longer apns-collapse-id."""

PAYLOAD_BYTES: Final = 4096
"""FCM refuses a larger notification and data together."""

_LONGEST_TTL: Final = 28 * 24 * 3600
_RESERVED_KEY: Final = re.compile(r"from|message_type|(?:google|gcm)(?:\..*)?", re.ASCII)
_ANY_FID: Final = "f" * 22


@dataclass(frozen=True, slots=True)
class PushContent:
    """One wording of a notification."""

    title: str
    body: str
    data: Mapping[str, str]
    """For the app: strings only, no key that FCM keeps for itself."""


def payload_bytes(content: PushContent) -> int:
    """Return what FCM counts against PAYLOAD_BYTES, without the keys every message carries."""
    words = [content.title, content.body, *content.data.keys(), *content.data.values()]
    return sum(len(word.encode()) for word in words)


class Envelope:
    """An encoded message that lacks only its address."""

    __slots__ = ("_rest",)

    def __init__(self, content: PushContent, batch: Batch[PushContent], now: datetime) -> None:
        """Encode; ValueError when the content or the batch is not a message FCM would take."""
        fields = json.loads(str(_message(content, batch, now)))
        del fields["fid"]
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        self._rest = f'",{text[1:]}}}'.encode()

    def addressed(self, address: str) -> bytes:
        """Return the request body for one address that `valid_address` has passed."""
        kind, _, value = address.partition(":")
        return f'{{"message":{{"{kind}":"{value}'.encode() + self._rest


def seconds_left(expires: datetime, now: datetime) -> int:
    """Return whole seconds a message may still wait, rounded down: never past its end."""
    return min(int((expires - now).total_seconds()), _LONGEST_TTL)


def _message(content: PushContent, batch: Batch[PushContent], now: datetime) -> messaging.Message:
    if len(batch.tag.encode()) > TAG_BYTES:
        raise ValueError(f"tag is longer than {TAG_BYTES} bytes")
    # Without words the app gets the data and the phone shows nothing.
    shown = bool(content.title or content.body)
    return messaging.Message(
        fid=_ANY_FID,
        notification=messaging.Notification(title=content.title, body=content.body)
        if shown
        else None,
        data=_data(content, batch),
        android=messaging.AndroidConfig(
            priority="high" if batch.urgent else "normal",
            ttl=seconds_left(batch.expires, now),
            notification=messaging.AndroidNotification(tag=batch.tag or None) if shown else None,
        ),
        apns=messaging.APNSConfig(
            headers=_apns_headers(batch),
            # An iPhone stays silent without a sound, and a warning nobody hears warns nobody.
            payload=messaging.APNSPayload(messaging.Aps(sound="default" if batch.urgent else None)),
        ),
    )


def _apns_headers(batch: Batch[PushContent]) -> dict[str, str]:
    headers = {
        "apns-priority": "10" if batch.urgent else "5",
        "apns-expiration": str(int(batch.expires.timestamp())),
    }
    if batch.tag:
        headers["apns-collapse-id"] = batch.tag
    return headers


def _data(content: PushContent, batch: Batch[PushContent]) -> dict[str, str]:
    reserved = sorted(key for key in content.data if _RESERVED_KEY.fullmatch(key))
    if reserved:
        raise ValueError(f"data keys that FCM keeps for itself: {', '.join(reserved)}")
    return dict(content.data) | {
        "alert": batch.tag,
        "sequence": str(batch.sequence),
        "expires": batch.expires.astimezone(UTC).isoformat(timespec="seconds"),
    }
