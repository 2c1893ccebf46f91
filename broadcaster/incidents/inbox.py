"""What comes in, stored byte for byte before anybody is told that it arrived.

Writes inbound_raw, whose reader is intake.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from channels.email_inbox import RawMail
from channels.sms_pdu import RawPdu, part_of

REDELIVERED_WITHIN = timedelta(minutes=2)
"""SMS carries no id of its own: the same octets again this soon are the same message."""
_HEADER_WITHOUT_SEQUENCE = 12
_HEADER = 16


class Part(NamedTuple):
    """Which part of a long message this is; all parts share the key."""

    key: bytes
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class AppMessage:
    """A report from the app or the web form; the person is known by a token, if at all."""

    text: str
    message_id: str
    """The app's own id of it: sent again after a timeout, it is the same message."""
    person_id: int | None = None
    lon: float | None = None
    lat: float | None = None
    alert_code: str = ""
    lang: str = "vi"

    def to_bytes(self) -> bytes:
        """Return the form that is stored."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes) -> AppMessage:
        """Read back what `to_bytes` gave."""
        return cls(**orjson.loads(stored))


async def store(
    conn: Conn,
    keyring: Keyring,
    now: datetime,
    channel: str,
    raw: bytes,
    dedupe: bytes,
    part: Part | None = None,
    *,
    within: timedelta | None = None,
) -> int | None:
    """Store what came; None when it is here already.

    The same `dedupe` is the same message: for good, or, where the carrier gives no id, when it
    comes again `within` so much time.
    """
    hashes = _dedupe_hashes(keyring, now, channel, dedupe, within)
    inbound_id: int = await conn.fetchval(
        "SELECT nextval(pg_get_serial_sequence('inbound_raw', 'inbound_id'))"
    )
    stored: int | None = await conn.fetchval(
        "INSERT INTO inbound_raw (inbound_id, channel, raw_enc, dedupe_hash, received_at,"
        " part_key, part, parts) OVERRIDING SYSTEM VALUE"
        " SELECT $1, $2, $3, $4, $5, $6, $7, $8"
        " WHERE NOT EXISTS (SELECT FROM inbound_raw WHERE dedupe_hash = ANY($9))"
        " ON CONFLICT (dedupe_hash) DO NOTHING RETURNING inbound_id",
        inbound_id, channel, keyring.seal(raw, "inbound_raw", "raw_enc", inbound_id), hashes[0],
        now, *(part or (None, None, None)), hashes[1:],
    )  # fmt: skip
    return stored


def _dedupe_hashes(
    keyring: Keyring, now: datetime, channel: str, dedupe: bytes, within: timedelta | None
) -> list[bytes]:
    """Return the hash to store, then those that would mean it is here already."""
    digest = hashlib.sha256(dedupe).hexdigest()
    spans = [""]
    if within is not None:
        span = int(now.timestamp() // within.total_seconds())
        spans = [str(span), str(span - 1)]
    return [keyring.address_hash(f"inbound/{channel}", f"{span}:{digest}") for span in spans]


async def store_sms(conn: Conn, keyring: Keyring, now: datetime, pdu: RawPdu) -> int | None:
    """Store a message a person wrote (not a receipt) as the SMSC delivered it."""
    found = part_of(pdu)
    part = None
    if found is not None:
        reference, number, total = found
        whole = f"{pdu.source}>{pdu.destination}:{reference}/{total}"
        part = Part(keyring.address_hash("inbound/part", whole), number, total)
    # The sequence number is the session's, not the message's: a redelivery has another one.
    same = pdu.wire[:_HEADER_WITHOUT_SEQUENCE] + pdu.wire[_HEADER:]
    return await store(
        conn, keyring, now, "sms", pdu.to_bytes(), same, part, within=REDELIVERED_WITHIN
    )


async def store_mail(conn: Conn, keyring: Keyring, now: datetime, mail: RawMail) -> int | None:
    """Store a mail as the listener received it."""
    envelope = orjson.dumps([mail.mail_from, mail.rcpt_tos, mail.received_at, mail.remote])
    same = orjson.dumps([mail.mail_from, sorted(mail.rcpt_tos)]) + mail.data
    return await store(conn, keyring, now, "email", envelope + b"\n" + mail.data, same)


def mail_of(stored: bytes) -> RawMail:
    """Read back a stored mail."""
    envelope, _, data = stored.partition(b"\n")
    mail_from, rcpt_tos, received_at, remote = orjson.loads(envelope)
    return RawMail(mail_from, tuple(rcpt_tos), data, datetime.fromisoformat(received_at), remote)


async def store_app(
    conn: Conn, keyring: Keyring, now: datetime, message: AppMessage, channel: str = "app"
) -> int | None:
    """Store a report from the app (or `web`, or `phone`: typed in by hotline staff)."""
    return await store(conn, keyring, now, channel, message.to_bytes(), _same(message))


async def find_app(
    conn: Conn, keyring: Keyring, now: datetime, message: AppMessage, channel: str = "app"
) -> int | None:
    """Return the id under which a message was stored before."""
    hashes = _dedupe_hashes(keyring, now, channel, _same(message), None)
    found: int | None = await conn.fetchval(
        "SELECT inbound_id FROM inbound_raw WHERE dedupe_hash = $1", hashes[0]
    )
    return found


def _same(message: AppMessage) -> bytes:
    return f"{message.person_id}:{message.message_id}".encode()
