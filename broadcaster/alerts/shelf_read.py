"""Reading what is written in peace: units' documents and their versions, and who sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import Actor, authority
from broadcaster.states import VersionState

Kind = Literal["template", "scenario"]
"""The table; the rows of its versions are in the table of that name and `_version`."""
NAMES: Mapping[Kind, tuple[str, str]] = {
    "template": ("mẫu", "template"),
    "scenario": ("kịch bản", "scenario"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One document of a unit, without what it says."""

    item_id: int
    unit_id: int
    unit_name: str
    unit_name_en: str
    code: str
    folder: str
    created_at: datetime
    withdrawn_at: datetime | None
    in_force: int | None
    """The version in force; None while there is none, or when it was withdrawn."""
    open_version: int | None
    """The version that is being written or waits for review."""
    open_state: VersionState | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document."""

    item_id: int
    version: int
    state: VersionState
    revision: int
    document: dict[str, Any]
    basis: dict[str, Any]
    writers: tuple[int, ...]
    saved_by: str
    saved_at: datetime
    submitted_by: int | None
    submitted_at: datetime | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    reason: str
    restored_from: int | None

    @property
    def is_open(self) -> bool:
        """Whether it may still be written on."""
        return self.state in (VersionState.DRAFT, VersionState.SUBMITTED)


def _select(kind: Kind) -> str:
    return (
        f"SELECT i.{kind}_id AS item_id, i.unit_id, u.name AS unit_name,"
        " u.name_en AS unit_name_en, i.code, i.folder, i.created_at, i.withdrawn_at,"
        " CASE WHEN i.withdrawn_at IS NULL THEN f.version END AS in_force,"
        " o.version AS open_version, o.state::text AS open_state"
        f" FROM {kind} i JOIN unit u USING (unit_id)"
        f" LEFT JOIN {kind}_version f ON f.{kind}_id = i.{kind}_id AND f.state = 'in_force'"
        f" LEFT JOIN {kind}_version o ON o.{kind}_id = i.{kind}_id"
        " AND o.state IN ('draft', 'submitted')"
    )


def _item(row: Any) -> Item:
    fields = dict(row)
    state = fields["open_state"]
    fields["open_state"] = None if state is None else VersionState(state)
    return Item(**fields)


def _versions(kind: Kind) -> str:
    return (
        f"SELECT v.{kind}_id AS item_id, v.version, v.state::text AS state, v.revision,"
        " v.document, v.basis, v.writers, w.name AS saved_by, v.saved_at, v.submitted_by,"
        " v.submitted_at, r.name AS reviewed_by, v.reviewed_at, v.reason, v.restored_from"
        f" FROM {kind}_version v JOIN official w ON w.official_id = v.saved_by"
        " LEFT JOIN official r ON r.official_id = v.reviewed_by"
    )


def _version(row: Any) -> Version:
    fields = dict(row)
    fields["state"] = VersionState(fields["state"])
    fields["writers"] = tuple(fields["writers"])
    return Version(**fields)


def missing(kind: Kind) -> NotFound:
    """Make the refusal of a document that is not there."""
    vi, en = NAMES[kind]
    return NotFound(
        f"{kind}_not_found",
        f"Không có {vi} này. Quay lại danh sách.",
        f"There is no such {en}. Go back to the list.",
    )


async def find(conn: Conn, kind: Kind, item_id: int) -> Item:
    """Find one document by id; raises NotFound."""
    row = await conn.fetchrow(f"{_select(kind)} WHERE i.{kind}_id = $1", item_id)
    if row is None:
        raise missing(kind)
    return _item(row)


async def listing(conn: Conn, kind: Kind, unit_ids: Iterable[int]) -> list[Item]:
    """Return the documents on these units' shelves, by folder and code."""
    rows = await conn.fetch(
        f"{_select(kind)} WHERE i.unit_id = ANY($1) ORDER BY u.code, i.folder, i.code",
        list(unit_ids),
    )
    return [_item(row) for row in rows]


async def waiting(conn: Conn, actor: Actor, kind: Kind) -> tuple[list[Item], list[Item]]:
    """Return what waits for this official's review, and what came back to them, by unit and code.

    What they wrote a word of is for somebody else to review.
    """
    rows = await conn.fetch(
        f"{_select(kind)} WHERE o.state = 'submitted' AND i.unit_id = ANY($1)"
        " AND NOT $2 = ANY(o.writers || o.submitted_by) ORDER BY u.code, i.code",
        list(await authority(conn, actor, "approver")),
        actor.official_id,
    )
    returned = await conn.fetch(
        f"{_select(kind)} WHERE o.state = 'draft' AND o.reason <> '' AND $1 = ANY(o.writers)"
        " ORDER BY u.code, i.code",
        actor.official_id,
    )
    return [_item(row) for row in rows], [_item(row) for row in returned]


async def version(conn: Conn, kind: Kind, item_id: int, number: int) -> Version:
    """Return one version; raises NotFound."""
    row = await conn.fetchrow(
        f"{_versions(kind)} WHERE v.{kind}_id = $1 AND v.version = $2", item_id, number
    )
    if row is None:
        raise missing(kind)
    return _version(row)


async def history(conn: Conn, kind: Kind, item_id: int) -> list[Version]:
    """Return every version, the newest first."""
    rows = await conn.fetch(
        f"{_versions(kind)} WHERE v.{kind}_id = $1 ORDER BY v.version DESC", item_id
    )
    return [_version(row) for row in rows]


async def above(conn: Conn, unit_id: int) -> list[int]:
    """Return a unit and those it stands under, the nearest first."""
    rows = await conn.fetch(
        "WITH RECURSIVE line AS (SELECT unit_id, parent_id, 0 AS far FROM unit WHERE unit_id = $1"
        " UNION ALL SELECT u.unit_id, u.parent_id, far + 1 FROM unit u"
        " JOIN line ON u.unit_id = line.parent_id)"
        " SELECT unit_id FROM line ORDER BY far",
        unit_id,
    )
    return [row["unit_id"] for row in rows]


async def readable(conn: Conn, actor: Actor) -> frozenset[int]:
    """Return the units whose shelves an official sees: their own reach, and those above it."""
    reach: frozenset[int] = frozenset()
    for role in {held.role for held in actor.roles}:
        reach |= await authority(conn, actor, role)
    rows = await conn.fetch(
        "WITH RECURSIVE line AS (SELECT unnest($1::int[]) AS unit_id"
        " UNION SELECT u.parent_id FROM unit u JOIN line USING (unit_id)"
        " WHERE u.parent_id IS NOT NULL) SELECT unit_id FROM line",
        list(reach),
    )
    return frozenset(row["unit_id"] for row in rows)


async def require_readable(conn: Conn, actor: Actor, kind: Kind, item: Item) -> None:
    """Raise NotFound unless the official may see this shelf."""
    if item.unit_id not in await readable(conn, actor):
        raise missing(kind)
