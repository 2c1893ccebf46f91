"""The second factor of officials: six digits from a phone, and codes on paper for when it is lost.

Writes second_factor and recovery_code, with `enrolment`. A code proves one thing once: whoever
checks it gets a proof, and spends it inside the transaction of what it confirms.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import pyotp

from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor

STEP = 30
"""Seconds a code is shown for."""
DRIFT = 1
"""Steps a phone's clock may be ahead or behind."""
TRIES = 5
"""Wrong codes in a row after which the account waits before it listens to codes again."""
LONGEST_WAIT = timedelta(minutes=15)

CODE_LETTERS = 12
"""Of a recovery code, hyphens aside."""
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Nothing that is mistaken for something else when read off paper by a torch: no 0 O 1 I L."""

# The try is counted before the code is looked at, so that a hundred sent at once are not all heard.
_COUNT_TRY = (
    "UPDATE second_factor SET failures = failures + 1,"
    " locked_until = CASE WHEN failures + 1 >= $3 THEN"
    "   $2::timestamptz + least($4::interval,"
    "     power(2, least(failures + 1 - $3, 10)) * interval '1 minute') END"
    " WHERE official_id = $1 AND secret_enc IS NOT NULL AND coalesce(locked_until <= $2, true)"
    " RETURNING secret_enc, last_step"
)
_LET_OFF = (
    "UPDATE second_factor SET failures = 0, locked_until = NULL WHERE official_id = $1"
    " AND (failures > 0 OR locked_until IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an official's second factor stands."""

    enrolled_at: datetime | None
    recovery_left: int
    locked_until: datetime | None

    @property
    def enrolled(self) -> bool:
        """Whether codes of a phone are known to work."""
        return self.enrolled_at is not None


@dataclass(frozen=True, slots=True)
class Proof:
    """A code that was right just now. Worth something only when it is spent."""

    official_id: int
    kind: Literal["totp", "recovery"]
    step: int = -1
    """Of a phone's code: the half minute it is of."""
    code_hash: bytes = b""
    """Of a recovery code."""


async def standing(conn: Conn, official_id: int, now: datetime) -> Standing:
    """Say how an official's second factor stands."""
    row = await conn.fetchrow(
        "SELECT enrolled_at, CASE WHEN locked_until > $2 THEN locked_until END AS locked_until"
        " FROM second_factor WHERE official_id = $1",
        official_id,
        now,
    )
    left = await conn.fetchval(
        "SELECT count(*) FROM recovery_code WHERE official_id = $1 AND used_at IS NULL",
        official_id,
    )
    if row is None:
        return Standing(None, left, None)
    return Standing(row["enrolled_at"], left, row["locked_until"])


def seal_secret(keyring: Keyring, secret: str, column: str, official_id: int) -> bytes:
    """Encrypt a secret for its column and its official."""
    return keyring.seal(secret.encode(), "second_factor", column, official_id)


def open_secret(keyring: Keyring, sealed: bytes, column: str, official_id: int) -> str:
    """Open what `seal_secret` closed; raises UndecipherableError."""
    return keyring.unseal(sealed, "second_factor", column, official_id).decode()


def said(official_id: int, code: str) -> str:
    """Return what a recovery code is hashed as: the same letters of another official differ."""
    return f"{official_id}:{code}"


def new_code() -> str:
    """Make up a code for paper: 59 bits."""
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS))


def written(code: str) -> str:
    """Write a code for paper in groups of four."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def plain(code: str) -> str:
    """Read a code however it was typed: spaces, hyphens and small letters are no difference."""
    return "".join(one for one in code.upper() if one.isalnum())


async def prove(conn: Conn, keyring: Keyring, actor: Actor, now: datetime, code: str) -> Proof:
    """Check a code of the phone or a recovery code; returns what can be spent once.

    A recovery code is heard even while wrong digits made the account wait: whoever plays with
    digits must not lock an official out at night, and its 59 bits cannot be guessed. Never call it
    inside a transaction: a refusal would take back that the try was counted. Raises NotAllowed
    (not enrolled, wrong, used before, too many tries).
    """
    given = plain(code)
    if len(given) == CODE_LETTERS:
        return await _prove_recovery(conn, keyring, actor.official_id, now, given)
    known = await conn.fetchrow(_COUNT_TRY, actor.official_id, now, TRIES, LONGEST_WAIT)
    if known is None:
        raise await _why_not_heard(conn, actor, now)
    secret = open_secret(keyring, known["secret_enc"], "secret_enc", actor.official_id)
    step = step_of(secret, given, now, known["last_step"])
    if step is None:
        if step_of(secret, given, now, -1) is not None:
            raise NotAllowed(
                "code_used",
                "Mã này đã dùng rồi. Chờ mã kế tiếp trên điện thoại, tối đa 30 giây.",
                "This code was used before. Wait for the next one on your phone, 30 s at most.",
            )
        raise await _wrong(conn, actor, now)
    await conn.execute(_LET_OFF, actor.official_id)
    return Proof(actor.official_id, "totp", step=step)


def step_of(secret: str, code: str, now: datetime, last: int) -> int | None:
    """Return the half minute a code is of, None when it is of none that is still to be used."""
    given = plain(code)
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP
    for step in range(current - DRIFT, current + DRIFT + 1):
        fits = secrets.compare_digest(totp.generate_otp(step).encode(), given.encode())
        if fits and step > last:
            return step
    return None


async def _prove_recovery(
    conn: Conn, keyring: Keyring, official_id: int, now: datetime, code: str
) -> Proof:
    found = await conn.fetchrow(
        "SELECT code_hash, used_at FROM recovery_code WHERE official_id = $1"
        " AND code_hash = ANY($2)",
        official_id,
        keyring.code_hashes(said(official_id, code)),
    )
    if found is None:
        await conn.execute(_COUNT_TRY, official_id, now, TRIES, LONGEST_WAIT)
        raise NotAllowed(
            "wrong_recovery_code",
            "Mã khôi phục không đúng. Kiểm tra từng ký tự, hoặc dùng mã khác trên tờ giấy.",
            "The recovery code is wrong. Check each letter, or use another one of the sheet.",
        )
    if found["used_at"] is not None:
        raise NotAllowed(
            "recovery_code_used",
            "Mã khôi phục này đã dùng rồi. Gạch đi và dùng mã kế tiếp trên tờ giấy.",
            "This recovery code was used before. Strike it out and use the next one of the sheet.",
        )
    await conn.execute(_LET_OFF, official_id)
    return Proof(official_id, "recovery", code_hash=found["code_hash"])


async def spend(conn: Conn, now: datetime, proof: Proof) -> None:
    """Use a proof up inside the caller's transaction; Conflict when somebody just did."""
    if proof.kind == "totp":
        spent = await conn.fetchval(
            "UPDATE second_factor SET last_step = $2 WHERE official_id = $1 AND last_step < $2"
            " RETURNING official_id",
            proof.official_id,
            proof.step,
        )
    else:
        spent = await conn.fetchval(
            "UPDATE recovery_code SET used_at = $3 WHERE official_id = $1 AND code_hash = $2"
            " AND used_at IS NULL RETURNING official_id",
            proof.official_id,
            proof.code_hash,
            now,
        )
    if spent is None:
        raise Conflict(
            "code_used",
            "Mã này vừa được dùng. Dùng mã kế tiếp.",
            "This code has just been used. Use the next one.",
        )


async def _why_not_heard(conn: Conn, actor: Actor, now: datetime) -> Refused:
    found = await standing(conn, actor.official_id, now)
    if not found.enrolled:
        return not_enrolled()
    return _locked(found.locked_until or now, now)


def not_enrolled() -> NotAllowed:
    """Make the refusal for an official without a second factor."""
    return NotAllowed(
        "not_enrolled",
        "Bạn chưa đăng ký xác thực hai bước. Mở “Tài khoản của tôi” để đăng ký, mất khoảng một"
        " phút.",
        "You have no second factor yet. Open “My account” to enrol; it takes about a minute.",
    )


async def _wrong(conn: Conn, actor: Actor, now: datetime) -> Refused:
    row = await conn.fetchrow(
        "SELECT failures, locked_until FROM second_factor WHERE official_id = $1",
        actor.official_id,
    )
    if row is not None and row["locked_until"] is not None and row["locked_until"] > now:
        return _locked(row["locked_until"], now)
    left = max(1, TRIES - row["failures"]) if row else 1
    return NotAllowed(
        "wrong_code",
        f"Mã không đúng. Nhập mã đang hiện trên điện thoại; còn {left} lần thử.",
        f"The code is wrong. Type the one your phone shows now; tries left: {left}.",
        left=left,
    )


def _locked(until: datetime, now: datetime) -> NotAllowed:
    minutes = max(1, -(-int((until - now).total_seconds()) // 60))
    return NotAllowed(
        "code_locked",
        f"Sai mã quá nhiều lần. Chờ {minutes} phút, hoặc dùng ngay một mã khôi phục.",
        f"Too many wrong codes. Wait {minutes} min, or use a recovery code now.",
        until=until.isoformat(),
    )
