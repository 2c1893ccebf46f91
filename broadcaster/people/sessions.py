"""Sessions of officials: a random cookie, of which only the hash is stored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people.officials import ROLES_OF, Actor, actor_of

IDLE = timedelta(hours=12)
"""A board is watched for a shift without a click."""
LONGEST = timedelta(hours=72)
WAITING = timedelta(minutes=10)
"""For what is still to be shown at a sign-in."""
_AGENT_LETTERS = 200
_TOUCH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session just opened: `token` goes into the cookie and is never seen again."""

    token: str
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """Who is behind a cookie, and the token that every change must carry."""

    actor: Actor
    csrf: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who gave a right password and has more to show."""

    actor: Actor
    steps: tuple[str, ...]
    """`code` (of the phone), `password` (one of their own choice), in this order."""
    agent: str


@dataclass(frozen=True, slots=True)
class Known:
    """One of an official's sessions, as they recognise it."""

    session_id: int
    agent: str
    """What the browser called itself, cut to 200 letters."""
    created_at: datetime
    seen_at: datetime
    this: bool
    """The one that asks."""


async def open_session(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, agent: str = "",
    steps: Sequence[str] = (),
) -> Opened:  # fmt: skip
    """Open a session for an official; while there are `steps` to take it opens nothing."""
    until = now + (WAITING if steps else LONGEST)
    opened = Opened(secrets.token_urlsafe(32), secrets.token_urlsafe(32), until)
    await conn.execute(
        "INSERT INTO session (token_hash, official_id, csrf, created_at, seen_at, expires_at,"
        " agent, steps) VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        keyring.session_hash(opened.token), actor.official_id, opened.csrf, now, opened.expires_at,
        agent[:_AGENT_LETTERS], list(steps),
    )  # fmt: skip
    return opened


async def find_waiting(conn: Conn, keyring: Keyring, now: datetime, token: str) -> Waiting | None:
    """Return the sign-in that has steps to take; None when there is none, or no more."""
    row = await conn.fetchrow(
        "SELECT s.steps, s.agent, o.official_id, o.login, o.name, o.title, o.lang, o.training,"
        f" {ROLES_OF} FROM session s JOIN official o USING (official_id)"
        " WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.steps <> '{}' AND o.active",
        keyring.session_hash(token), now,
    )  # fmt: skip
    return Waiting(actor_of(row), tuple(row["steps"]), row["agent"]) if row else None


async def take_step(conn: Conn, keyring: Keyring, token: str, step: str) -> bool:
    """Note that a step of a sign-in was taken; False when it was taken already or has gone."""
    done = await conn.execute(
        "UPDATE session SET steps = array_remove(steps, $2)"
        " WHERE token_hash = $1 AND $2 = ANY(steps) AND cardinality(steps) > 1",
        keyring.session_hash(token), step,
    )  # fmt: skip
    if done.endswith(" 1"):
        return True
    # The last step ends it: what was shown before the sign-in was whole opens nothing.
    done = await conn.execute(
        "DELETE FROM session WHERE token_hash = $1 AND steps = ARRAY[$2]",
        keyring.session_hash(token), step,
    )  # fmt: skip
    return done.endswith(" 1")


async def find_session(conn: Conn, keyring: Keyring, now: datetime, token: str) -> Session | None:
    """Return the live session of a cookie, roles read afresh; None when there is none."""
    token_hash = keyring.session_hash(token)
    row = await conn.fetchrow(
        "SELECT s.csrf, s.expires_at, s.seen_at, o.official_id, o.login, o.name, o.title, o.lang,"
        f" o.training, {ROLES_OF}"
        " FROM session s JOIN official o USING (official_id)"
        " WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND s.steps = '{}'"
        " AND o.active",
        token_hash, now, now - IDLE,
    )  # fmt: skip
    if row is None:
        return None
    if now - row["seen_at"] >= _TOUCH:
        await conn.execute("UPDATE session SET seen_at = $2 WHERE token_hash = $1", token_hash, now)
    return Session(actor_of(row), row["csrf"], row["expires_at"])


async def close_session(conn: Conn, keyring: Keyring, token: str) -> None:
    """Sign out: the cookie is worth nothing afterwards."""
    await conn.execute("DELETE FROM session WHERE token_hash = $1", keyring.session_hash(token))


async def known(
    conn: Conn, keyring: Keyring, official_id: int, now: datetime, token: str
) -> list[Known]:
    """List an official's live sessions, the one used last first; `token` is of the one asking."""
    rows = await conn.fetch(
        "SELECT session_id, agent, created_at, seen_at, token_hash = $3 AS this FROM session"
        " WHERE official_id = $1 AND expires_at > $2 AND seen_at > $4 AND steps = '{}'"
        " ORDER BY token_hash = $3 DESC, seen_at DESC",
        official_id, now, keyring.session_hash(token), now - IDLE,
    )  # fmt: skip
    return [Known(**row) for row in rows]


async def close_one(conn: Conn, official_id: int, session_id: int) -> bool:
    """End one session of an official; False when it is over already, or somebody else's."""
    done = await conn.execute(
        "DELETE FROM session WHERE official_id = $1 AND session_id = $2", official_id, session_id
    )
    return done.endswith(" 1")


async def close_all(
    conn: Conn, official_id: int, keyring: Keyring | None = None, but: str = ""
) -> int:
    """End every session of an official, but one where its token is given; returns how many.

    For a changed password, a lost telephone.
    """
    kept = keyring.session_hash(but) if keyring is not None and but else b""
    done = await conn.execute(
        "DELETE FROM session WHERE official_id = $1 AND token_hash <> $2", official_id, kept
    )
    return int(done.split()[-1])


async def expire_sessions(conn: Conn, now: datetime) -> int:
    """Delete sessions that are over; return how many."""
    done = await conn.execute(
        "DELETE FROM session WHERE expires_at <= $1 OR seen_at <= $2", now, now - IDLE
    )
    return int(done.split()[-1])
