"""What the tests of people, cadence and incidents build their city from."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, Role, create_official
from broadcaster.people.register import Place, Registration
from channels.email_inbox import RawMail
from channels.sms_pdu import RawPdu
from channels.sms_text import encode

NOW = datetime(2026, 9, 10, 3, 0, tzinfo=UTC)
PASSWORD = "một mật khẩu đủ dài"
BA_DINH, NGOC_HA, PHU_THUONG = "00004", "00008", "00091"
BA_DINH_POINT = (105.83806, 21.03853)


async def unit_id(conn: Conn, code: str) -> int:
    return int(await conn.fetchval("SELECT unit_id FROM unit WHERE code = $1", code))


async def official(conn: Conn, login: str, *roles: Role) -> Actor:
    return await create_official(
        conn, None, NOW, login=login, name=login.title(), password=PASSWORD, roles=roles
    )


def registration(*endpoints: tuple[str, str], **changes: object) -> Registration:
    values: dict[str, object] = {
        "home": Place(*BA_DINH_POINT),
        "endpoints": endpoints,
        "consent_at": NOW - timedelta(minutes=1),
        "consent_source": "app 1.0",
    }
    return Registration(**(values | changes))  # type: ignore[arg-type]


async def alert(
    conn: Conn, author: Actor, unit: int, *, code: str = "HN-1", **changes: object
) -> int:
    values: dict[str, object] = {
        "code": code, "cap_identifier": f"urn:{code}", "class": "warning", "lane": 1,
        "event": "storm", "unit_id": unit, "author_id": author.official_id,
        "created_at": NOW, "updated_at": NOW, "expires": NOW + timedelta(hours=6),
    }  # fmt: skip
    values |= changes
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    return int(
        await conn.fetchval(
            f"INSERT INTO alert ({', '.join(values)}) VALUES ({places}) RETURNING alert_id",
            *values.values(),
        )
    )


async def delivered(
    conn: Conn, alert_id: int, endpoint_id: int, channel: str = "sms", state: str = "handed_off"
) -> None:
    await conn.execute(
        "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, state, updated_at)"
        " VALUES ($1, $2, $3, 'vi', $4, $5)",
        alert_id, endpoint_id, channel, state, NOW,
    )  # fmt: skip


async def endpoint_of(conn: Conn, keyring: Keyring, channel: str, address: str) -> int:
    return int(
        await conn.fetchval(
            "SELECT endpoint_id FROM endpoint WHERE channel = $1 AND address_hash = $2",
            channel,
            keyring.address_hash(channel, address),
        )
    )


def sms(source: str, text: str, *, sequence: int = 1) -> list[RawPdu]:
    """The deliver_sm of a text, one a part, as an SMSC would write them."""
    encoded = encode(text)
    return [
        RawPdu.from_wire(_deliver_sm(source, encoded.esm_class, encoded.data_coding, part, n), NOW)
        for n, part in enumerate(encoded.parts, sequence)
    ]


def _deliver_sm(source: str, esm_class: int, data_coding: int, part: bytes, sequence: int) -> bytes:
    number = source.lstrip("+")
    body = b"".join(
        (
            bytes((0, 1 if number.isdigit() else 5, 1)), number.encode(), b"\0\1\1" + b"1022\0",
            bytes((esm_class, 0, 0)), b"\0\0", bytes((0, 0, data_coding, 0, len(part))), part,
        )
    )  # fmt: skip
    return struct.pack(">IIII", 16 + len(body), 5, 0, sequence) + body


def mail(
    sender: str, text: str, *, to: str = "reply@hn.example", headers: str = "", path: str = "-"
) -> RawMail:
    data = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: Re: Cảnh báo\r\nMessage-ID: <m@x.vn>"
        f"\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
    return RawMail(sender if path == "-" else path, (to,), data.encode(), NOW, "127.0.0.1")
