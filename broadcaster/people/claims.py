"""Proof that an address is one's own: a code goes there, and links it when it comes back.

Writes endpoint_claim and citizen_token.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from uuid import UUID, uuid4

from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.fanout import direct
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints

VALID = timedelta(minutes=15)
TRIES = 5
TOKEN_VALID = timedelta(days=365)
CODES_AN_HOUR = 3
"""Codes sent to one address in an hour: registering must not be a way to pester a stranger."""

_SUBJECT = {"vi": "Mã xác nhận {code}", "en": "Your code is {code}"}
_TEXT = {
    "vi": "Mã xác nhận đăng ký nhận cảnh báo: {code}. Mã có hiệu lực 15 phút. "
    "Nếu không phải bạn đăng ký, hãy bỏ qua tin này.",
    "en": "Your code to receive alerts: {code}. It is valid for 15 minutes. "
    "If you did not ask for it, ignore this message.",
}
_SMS = {
    "vi": "Ma xac nhan nhan canh bao: {code}, hieu luc 15 phut. Khong phai ban dang ky thi bo qua.",
    "en": "Your code to receive alerts: {code}, valid 15 minutes. Not you? Ignore this.",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A code under way: give its id back together with the code."""

    claim_id: UUID
    channel: str
    expires_at: datetime


async def claim(
    conn: Conn,
    keyring: Keyring,
    now: datetime,
    person_id: int,
    address: endpoints.Address,
    lang: str,
) -> Claim:
    """Claim an address for a person and order the message with the code."""
    endpoint_id = await endpoints.ensure(conn, keyring, now, address)
    made = Claim(uuid4(), address.channel, now + VALID)
    code = f"{secrets.randbelow(1_000_000):06d}"
    recent = await conn.fetchval(
        "SELECT count(*) FROM endpoint_claim WHERE endpoint_id = $1 AND created_at > $2",
        endpoint_id, now - timedelta(hours=1),
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO endpoint_claim (claim_id, person_id, endpoint_id, code_hash, created_at,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        made.claim_id, person_id, endpoint_id, _code_hash(keyring, made.claim_id, code), now,
        made.expires_at,
    )  # fmt: skip
    if recent < CODES_AN_HOUR:
        await direct.enqueue(
            conn, now, endpoint_id=endpoint_id, channel=address.channel, purpose="verification",
            content=_content(address.channel, lang, code), expires=made.expires_at,
            dedupe_key=f"claim:{made.claim_id}",
        )  # fmt: skip
    return made


def _code_hash(keyring: Keyring, claim_id: UUID, code: str) -> bytes:
    return keyring.session_hash(f"claim:{claim_id}:{code}")


def _content(channel: str, lang: str, code: str) -> dict[str, str]:
    subject, text = _SUBJECT[lang].format(code=code), _TEXT[lang].format(code=code)
    if channel == "sms":
        return {"text": _SMS[lang].format(code=code)}
    if channel == "push":
        return {"title": subject, "body": text}
    return {"subject": subject, "text": text + "\n", "html": f"<p>{escape(text)}</p>"}


async def verify(pool: Pool, keyring: Keyring, now: datetime, claim_id: UUID, code: str) -> str:
    """Link the claimed endpoint to its person and return a citizen token.

    Takes the pool because a wrong code must count even though this raises Refused.
    """
    row = await pool.fetchrow(
        "UPDATE endpoint_claim SET tries = tries + 1 WHERE claim_id = $1 AND used_at IS NULL"
        " AND expires_at > $2 AND tries < $3 RETURNING person_id, endpoint_id, code_hash",
        claim_id, now, TRIES,
    )  # fmt: skip
    given = _code_hash(keyring, claim_id, code.strip())
    if row is None or not hmac.compare_digest(given, row["code_hash"]):
        raise _wrong_code()
    async with pool.acquire() as conn, conn.transaction():
        used = await conn.execute(
            "UPDATE endpoint_claim c SET used_at = $2 FROM person p WHERE c.claim_id = $1"
            " AND c.used_at IS NULL AND p.person_id = c.person_id AND p.left_at IS NULL",
            claim_id, now,
        )  # fmt: skip
        if used != "UPDATE 1":
            raise _wrong_code()
        await endpoints.activate(conn, row["endpoint_id"])
        await endpoints.link(conn, now, [(row["person_id"], row["endpoint_id"])])
        return await issue_token(conn, keyring, now, row["person_id"])


def _wrong_code() -> Refused:
    return Refused(
        "wrong_code",
        "Mã không đúng hoặc đã hết hạn; hãy kiểm tra lại hoặc đăng ký lại để nhận mã mới.",
        "The code is wrong or has expired; check it, or register again for a new one.",
    )


async def issue_token(conn: Conn, keyring: Keyring, now: datetime, person_id: int) -> str:
    """Return a new token by which the app speaks for a person; only its hash is stored."""
    token = secrets.token_urlsafe(32)
    await conn.execute(
        "INSERT INTO citizen_token (token_hash, person_id, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4)",
        keyring.session_hash(token), person_id, now, now + TOKEN_VALID,
    )  # fmt: skip
    return token


async def person_of(conn: Conn, keyring: Keyring, now: datetime, token: str) -> int | None:
    """Return the person a citizen token speaks for, None when it is not valid."""
    person_id: int | None = await conn.fetchval(
        "SELECT person_id FROM citizen_token JOIN person USING (person_id)"
        " WHERE token_hash = $1 AND expires_at > $2 AND left_at IS NULL",
        keyring.session_hash(token), now,
    )  # fmt: skip
    return person_id


async def forget_tokens(conn: Conn, person_id: int) -> None:
    """Delete the tokens of a person who leaves."""
    await conn.execute("DELETE FROM citizen_token WHERE person_id = $1", person_id)
