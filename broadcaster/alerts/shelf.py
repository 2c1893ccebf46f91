"""What is written in peace: documents of a unit in versions, each reviewed by a second person.

Templates and scenarios live the same life: a draft that several may write on, sent for review,
returned or put in force; what was reviewed never changes, and the next version takes its place.
Authors of the unit (or of one above it) write, its approvers review.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg

from broadcaster import audit
from broadcaster.alerts.shelf_read import (
    NAMES,
    Item,
    Kind,
    Version,
    above,
    find,
    history,
    listing,
    readable,
    require_readable,
    version,
    waiting,
)
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Actor, authority
from broadcaster.states import VERSION_MOVES, VersionState, sources

__all__ = [
    "Item",
    "Kind",
    "Version",
    "above",
    "create",
    "discard",
    "find",
    "history",
    "listing",
    "put_in_force",
    "readable",
    "require_readable",
    "revise",
    "save",
    "send_back",
    "submit",
    "version",
    "waiting",
    "withdraw",
]


async def _require(conn: Conn, actor: Actor, unit_id: int, *roles: str) -> None:
    if unit_id not in await authority(conn, actor, *roles):
        raise NotAllowed(
            f"not_{roles[0]}_here",
            "Quyền của bạn không gồm ngăn mẫu của đơn vị này. Chọn đơn vị của bạn.",
            "Your roles do not reach this unit's shelf. Choose your own unit.",
        )


async def create(
    conn: Conn,
    actor: Actor,
    now: datetime,
    kind: Kind,
    unit_id: int,
    code: str,
    document: Mapping[str, Any],
    *,
    folder: str = "",
) -> Item:
    """Put a new document on a unit's shelf, as a draft; raises NotAllowed, Conflict."""
    await _require(conn, actor, unit_id, "author")
    try:
        async with conn.transaction():
            item_id: int = await conn.fetchval(
                f"INSERT INTO {kind} (unit_id, code, folder, created_by, created_at)"
                f" VALUES ($1, $2, $3, $4, $5) RETURNING {kind}_id",
                unit_id, code, folder.strip()[:60], actor.official_id, now,
            )  # fmt: skip
            await _insert(conn, actor, now, kind, item_id, 1, document, None)
            await audit.record(
                conn, actor.official_id, now, f"{kind}.created", kind, item_id, code=code
            )
    except asyncpg.UniqueViolationError as error:
        vi, en = NAMES[kind]
        raise Conflict(
            f"{kind}_exists",
            f"Đơn vị này đã có {vi} “{code}”. Mở {vi} đó rồi sửa.",
            f"This unit has a {en} “{code}” already. Open that one and edit it.",
        ) from error
    return await find(conn, kind, item_id)


async def _insert(
    conn: Conn,
    actor: Actor,
    now: datetime,
    kind: Kind,
    item_id: int,
    number: int,
    document: Mapping[str, Any],
    restored_from: int | None,
) -> None:
    await conn.execute(
        f"INSERT INTO {kind}_version ({kind}_id, version, document, writers, saved_by, saved_at,"
        " restored_from) VALUES ($1, $2, $3, ARRAY[$4::int], $4, $5, $6)",
        item_id, number, dict(document), actor.official_id, now, restored_from,
    )  # fmt: skip


async def revise(
    conn: Conn,
    actor: Actor,
    now: datetime,
    kind: Kind,
    item_id: int,
    document: Mapping[str, Any],
    *,
    restored_from: int | None = None,
) -> Version:
    """Begin the next version with this document; raises Conflict while another is open."""
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "author")
    try:
        async with conn.transaction():
            number: int = await conn.fetchval(
                f"SELECT max(version) + 1 FROM {kind}_version WHERE {kind}_id = $1", item_id
            )
            await _insert(conn, actor, now, kind, item_id, number, document, restored_from)
            await audit.record(
                conn, actor.official_id, now, f"{kind}.revised", kind, item_id,
                version=number, restored_from=restored_from,
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise _already_open(kind) from error
    return await version(conn, kind, item_id, number)


def _already_open(kind: Kind) -> Conflict:
    vi, en = NAMES[kind]
    return Conflict(
        "already_open",
        f"Đang có một bản {vi} viết dở hoặc chờ duyệt. Mở bản đó rồi sửa tiếp.",
        f"A version of this {en} is being written or waits for review. Open that one.",
    )


async def save(
    conn: Conn,
    actor: Actor,
    now: datetime,
    kind: Kind,
    item_id: int,
    number: int,
    revision: int,
    document: Mapping[str, Any],
) -> Version:
    """Write an open version anew over `revision`; what waits for review is a draft again.

    Raises Conflict when somebody saved in between or it was reviewed, NotAllowed.
    """
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "author")
    saved = await conn.fetchval(
        f"UPDATE {kind}_version SET document = $4, revision = revision + 1, state = 'draft',"
        " saved_by = $5, saved_at = $6, submitted_by = NULL, submitted_at = NULL,"
        " writers = CASE WHEN $5 = ANY(writers) THEN writers ELSE writers || $5 END"
        f" WHERE {kind}_id = $1 AND version = $2 AND revision = $3"
        " AND state IN ('draft', 'submitted') RETURNING revision",
        item_id, number, revision, dict(document), actor.official_id, now,
    )  # fmt: skip
    if saved is None:
        raise await _changed(conn, kind, item_id, number)
    return await version(conn, kind, item_id, number)


async def _changed(conn: Conn, kind: Kind, item_id: int, number: int) -> Conflict:
    now_there = await version(conn, kind, item_id, number)
    if not now_there.is_open:
        return Conflict(
            "reviewed",
            "Bản này đã được duyệt nên không sửa được. Bắt đầu một bản mới.",
            "This version was reviewed and cannot be edited. Begin a new one.",
        )
    return Conflict(
        "newer_version",
        f"{now_there.saved_by} vừa lưu bản này. Tải lại để xem, rồi sửa tiếp.",
        f"{now_there.saved_by} has just saved this version. Reload to see it, then go on.",
        revision=now_there.revision,
    )


async def submit(
    conn: Conn, actor: Actor, now: datetime, kind: Kind, item_id: int, number: int, revision: int
) -> Version:
    """Send a draft for review; raises NotAllowed, Conflict."""
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "author")
    async with conn.transaction():
        moved = await conn.fetchval(
            f"UPDATE {kind}_version SET state = 'submitted', submitted_by = $4,"
            f" submitted_at = $5, reason = '' WHERE {kind}_id = $1 AND version = $2"
            " AND revision = $3 AND state = ANY($6::version_state[]) RETURNING version",
            item_id, number, revision, actor.official_id, now,
            sources(VERSION_MOVES, VersionState.SUBMITTED),
        )  # fmt: skip
        if moved is None:
            raise await _changed(conn, kind, item_id, number)
        await audit.record(
            conn, actor.official_id, now, f"{kind}.submitted", kind, item_id, version=number
        )
    return await version(conn, kind, item_id, number)


async def send_back(
    conn: Conn, actor: Actor, now: datetime, kind: Kind, item_id: int, number: int, reason: str
) -> Version:
    """Return a version to its writers with what has to change."""
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "approver")
    if not reason.strip():
        raise Refused("reason_missing", "Ghi rõ cần sửa gì.", "Say what has to change.")
    async with conn.transaction():
        moved = await conn.fetchval(
            f"UPDATE {kind}_version SET state = 'draft', reason = $3, submitted_by = NULL,"
            f" submitted_at = NULL WHERE {kind}_id = $1 AND version = $2"
            " AND state = 'submitted' RETURNING version",
            item_id, number, reason.strip()[:500],
        )  # fmt: skip
        if moved is None:
            raise await _changed(conn, kind, item_id, number)
        await audit.record(
            conn, actor.official_id, now, f"{kind}.returned", kind, item_id,
            version=number, reason=reason.strip()[:500],
        )  # fmt: skip
    return await version(conn, kind, item_id, number)


async def put_in_force(
    conn: Conn,
    actor: Actor,
    now: datetime,
    kind: Kind,
    item_id: int,
    number: int,
    revision: int,
    basis: Mapping[str, Any],
) -> Version:
    """Review one version and put it in force in place of the one before.

    Raises NotAllowed (no approver here, or one of its writers), Conflict (edited meanwhile).
    """
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "approver")
    waiting = await version(conn, kind, item_id, number)
    if actor.official_id in (*waiting.writers, waiting.submitted_by):
        raise NotAllowed(
            "four_eyes",
            "Bạn đã viết hoặc gửi duyệt bản này nên người khác phải duyệt.",
            "You wrote this version or sent it for review, so somebody else has to review it.",
        )
    async with conn.transaction():
        await conn.execute(
            f"UPDATE {kind}_version SET state = 'superseded'"
            f" WHERE {kind}_id = $1 AND state = 'in_force'",
            item_id,
        )
        moved = await conn.fetchval(
            f"UPDATE {kind}_version SET state = 'in_force', reviewed_by = $4, reviewed_at = $5,"
            f" basis = $6 WHERE {kind}_id = $1 AND version = $2 AND revision = $3"
            " AND state = 'submitted' RETURNING version",
            item_id, number, revision, actor.official_id, now, dict(basis),
        )  # fmt: skip
        if moved is None:
            raise await _changed(conn, kind, item_id, number)
        await conn.execute(
            f"UPDATE {kind} SET withdrawn_by = NULL, withdrawn_at = NULL WHERE {kind}_id = $1",
            item_id,
        )
        await audit.record(
            conn, actor.official_id, now, f"{kind}.in_force", kind, item_id, version=number
        )
    return await version(conn, kind, item_id, number)


async def withdraw(conn: Conn, actor: Actor, now: datetime, kind: Kind, item_id: int) -> Item:
    """Take a document out of force; its versions stay, and a new one brings it back."""
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "approver", "admin")
    async with conn.transaction():
        await conn.execute(
            f"UPDATE {kind} SET withdrawn_by = $2, withdrawn_at = $3"
            f" WHERE {kind}_id = $1 AND withdrawn_at IS NULL",
            item_id, actor.official_id, now,
        )  # fmt: skip
        await audit.record(conn, actor.official_id, now, f"{kind}.withdrawn", kind, item_id)
    return await find(conn, kind, item_id)


async def discard(
    conn: Conn, actor: Actor, now: datetime, kind: Kind, item_id: int, number: int
) -> None:
    """Throw an open version away; a document that has no other is kept, withdrawn."""
    item = await find(conn, kind, item_id)
    await _require(conn, actor, item.unit_id, "author")
    async with conn.transaction():
        gone = await conn.fetchval(
            f"DELETE FROM {kind}_version WHERE {kind}_id = $1 AND version = $2 AND version > 1"
            " AND state IN ('draft', 'submitted') RETURNING version",
            item_id, number,
        )  # fmt: skip
        if gone is None:
            raise Conflict(
                "not_discarded",
                "Chỉ bỏ được bản viết dở sau bản đầu. Sửa tiếp bản này.",
                "Only an open version after the first can be thrown away. Go on with this one.",
            )
        await audit.record(
            conn, actor.official_id, now, f"{kind}.discarded", kind, item_id, version=number
        )
