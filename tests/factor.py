"""A second factor for officials of tests: a secret the test knows."""

from __future__ import annotations

from datetime import datetime

import pyotp

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment, second_factor
from broadcaster.people.officials import Actor
from broadcaster.people.second_factor import Proof

SECRET = "ONLYFORTESTSONLYFORTESTSONLYFORT"


def code(now: datetime, secret: str = SECRET) -> str:
    """What the phone shows at a moment."""
    return pyotp.TOTP(secret).at(now)


async def enrol(conn: Conn, keyring: Keyring, actor: Actor, now: datetime) -> list[str]:
    """Enrol an official anew, so that no code was used; returns recovery codes."""
    return await enrolment.enrol_known(conn, keyring, actor.official_id, now, SECRET)


async def proof(conn: Conn, keyring: Keyring, actor: Actor, now: datetime) -> Proof:
    """Confirm an official, however often in one half minute."""
    await enrol(conn, keyring, actor, now)
    return await second_factor.prove(conn, keyring, actor, now, code(now))
