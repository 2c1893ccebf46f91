"""Enrolling a second factor: a secret for the phone, recovery codes for the drawer, taking it away.

Writes second_factor and recovery_code, with `second_factor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment_codes
from broadcaster.people.officials import Actor, load_actor
from broadcaster.people.roles import require_admin_over
from broadcaster.people.second_factor import (
    new_code,
    open_secret,
    prove,
    said,
    seal_secret,
    spend,
    standing,
    step_of,
    written,
)

OFFER_HOLDS = timedelta(minutes=30)
RECOVERY_CODES = 10
ISSUER = "Hanoi Alerts"


@dataclass(frozen=True, slots=True)
class Offer:
    """A secret to take into a phone: in force once a code made from it comes back."""

    secret: str
    """Base32, as it is typed by hand."""
    uri: str
    """otpauth://, as it is scanned."""


async def offer(conn: Conn, keyring: Keyring, actor: Actor, now: datetime) -> Offer:
    """Make a secret for an official's phone, or show again the one offered a moment ago.

    The factor in force goes on working until the new one is confirmed.
    """
    row = await conn.fetchrow(
        "SELECT offered_enc FROM second_factor WHERE official_id = $1 AND offered_at > $2",
        actor.official_id,
        now - OFFER_HOLDS,
    )
    if row is not None:
        return _offer(
            actor, open_secret(keyring, row["offered_enc"], "offered_enc", actor.official_id)
        )
    secret = pyotp.random_base32()
    await conn.execute(
        "INSERT INTO second_factor (official_id, offered_enc, offered_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (official_id) DO UPDATE SET offered_enc = excluded.offered_enc,"
        " offered_at = excluded.offered_at",
        actor.official_id,
        seal_secret(keyring, secret, "offered_enc", actor.official_id),
        now,
    )
    return _offer(actor, secret)


def _offer(actor: Actor, secret: str) -> Offer:
    return Offer(secret, pyotp.TOTP(secret, issuer=ISSUER).provisioning_uri(name=actor.login))


async def confirm(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, code: str, present: str = ""
) -> list[str]:
    """Put the offered secret into force by a code made from it; returns new recovery codes.

    The codes are seen this once. Earlier ones are worth nothing afterwards. `present` shows that
    it is them, because neither an open screen nor a stolen password must be enough: a code of the
    factor they have, or a recovery code; without any, the code an administrator gave them. Raises
    Refused (the code does not fit), NotAllowed (the present one does not) and Conflict (nothing is
    offered any more).
    """
    official_id = actor.official_id
    has_one = (await standing(conn, official_id, now)).enrolled
    sealed = await conn.fetchval(
        "SELECT offered_enc FROM second_factor WHERE official_id = $1 AND offered_at > $2",
        official_id,
        now - OFFER_HOLDS,
    )
    if sealed is None:
        raise Conflict(
            "offer_over",
            "Mã QR đã hết hạn hoặc đã dùng. Mở lại trang này để lấy mã mới.",
            "The QR code has expired or was used. Open this page again for a new one.",
        )
    secret = open_secret(keyring, sealed, "offered_enc", official_id)
    step = step_of(secret, code, now, -1)
    if step is None:
        raise Refused(
            "wrong_code",
            "Mã chưa khớp. Xem giờ trên điện thoại có đúng không, rồi nhập mã đang hiện.",
            "The code does not fit. See that the phone's clock is right, then type the code shown.",
        )
    proof = await prove(conn, keyring, actor, now, present) if has_one else None
    async with conn.transaction():
        if proof is not None:
            await spend(conn, now, proof)
        else:
            await enrolment_codes.use(conn, keyring, official_id, now, present)
        await _put_in_force(conn, keyring, official_id, now, secret, step)
        codes = await _new_codes(conn, keyring, official_id, now)
        await audit.record(
            conn, official_id, now, "official.second_factor_enrolled", "official", official_id
        )
    return codes


async def _put_in_force(
    conn: Conn, keyring: Keyring, official_id: int, now: datetime, secret: str, step: int
) -> None:
    await conn.execute(
        "INSERT INTO second_factor (official_id, secret_enc, enrolled_at, last_step)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (official_id) DO UPDATE SET"
        " secret_enc = excluded.secret_enc, enrolled_at = excluded.enrolled_at,"
        " last_step = excluded.last_step, offered_enc = NULL, offered_at = NULL, failures = 0,"
        " locked_until = NULL",
        official_id,
        seal_secret(keyring, secret, "secret_enc", official_id),
        now,
        step,
    )


async def enrol_known(
    conn: Conn, keyring: Keyring, official_id: int, now: datetime, secret: str
) -> list[str]:
    """Enrol an official with a secret somebody else knows: for a demo and for tests alone."""
    async with conn.transaction():
        await enrolment_codes.forget(conn, official_id)
        await _put_in_force(conn, keyring, official_id, now, secret, -1)
        return await _new_codes(conn, keyring, official_id, now)


async def renew_codes(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, code: str
) -> list[str]:
    """Make ten new recovery codes, shown this once; asks for a code of the factor in force."""
    proof = await prove(conn, keyring, actor, now, code)
    async with conn.transaction():
        await spend(conn, now, proof)
        codes = await _new_codes(conn, keyring, actor.official_id, now)
        await audit.record(
            conn, actor.official_id, now, "official.recovery_codes_made", "official",
            actor.official_id, codes=len(codes),
        )  # fmt: skip
    return codes


async def _new_codes(conn: Conn, keyring: Keyring, official_id: int, now: datetime) -> list[str]:
    codes = [new_code() for _ in range(RECOVERY_CODES)]
    await conn.execute("DELETE FROM recovery_code WHERE official_id = $1", official_id)
    await conn.executemany(
        "INSERT INTO recovery_code (official_id, code_hash, made_at) VALUES ($1, $2, $3)",
        [(official_id, keyring.code_hashes(said(official_id, one))[0], now) for one in codes],
    )
    return [written(one) for one in codes]


async def reset(
    conn: Conn, admin: Actor | None, now: datetime, official_id: int, reason: str
) -> None:
    """Take an official's second factor away, for a lost phone: they enrol anew.

    The admin's role must reach every place the official has a role at, and it is not one's own.
    Without an admin (None) whoever runs the machine does it. Raises NotAllowed, NotFound, Refused
    (no reason).
    """
    target = await load_actor(conn, official_id)
    if admin is not None and target.official_id == admin.official_id:
        raise NotAllowed(
            "own_second_factor",
            "Không tự xoá xác thực hai bước của mình. Nhờ quản trị viên khác.",
            "Nobody takes away their own second factor. Ask another administrator.",
        )
    if not reason.strip():
        raise Refused("reason_missing", "Ghi lý do.", "Say why.")
    if admin is not None:
        await require_admin_over(conn, admin, target)
    async with conn.transaction():
        await conn.execute("DELETE FROM recovery_code WHERE official_id = $1", official_id)
        await conn.execute("DELETE FROM second_factor WHERE official_id = $1", official_id)
        await audit.record(
            conn, admin.official_id if admin else None, now, "official.second_factor_reset",
            "official", official_id, reason=reason.strip(),
        )  # fmt: skip
