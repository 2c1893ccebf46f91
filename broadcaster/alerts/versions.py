"""The versions of a draft: who wrote which and when; an earlier one taken up again as a new one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster import audit
from broadcaster.alerts import draft
from broadcaster.alerts.content import Content, parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import NotFound
from broadcaster.people.officials import Actor

_ONE_SITTING = timedelta(minutes=2)
"""A page saves while one writes: what follows within it is the same piece of work."""


@dataclass(frozen=True, slots=True)
class Version:
    """One saved version."""

    number: int
    author_id: int
    author_name: str
    saved_at: datetime
    restored_from: int | None
    marks: tuple[str, ...]
    """What was done with it: submitted, returned, approved."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """Versions that one official wrote one after the other; the last stands for them."""

    first: Version
    last: Version
    before: int | None
    """The version before the first of them; None at the beginning."""


async def history(conn: Conn, alert_id: int) -> list[Version]:
    """Return every version, newest first."""
    rows = await conn.fetch(
        "SELECT v.version AS number, v.saved_by AS author_id, o.name AS author_name, v.saved_at,"
        " v.restored_from, coalesce(array(SELECT DISTINCT split_part(t.action, '.', 2)"
        "  FROM audit t WHERE t.subject = 'alert' AND t.subject_id = v.alert_id"
        "  AND t.action IN ('alert.submitted', 'alert.returned', 'alert.approved')"
        "  AND (t.detail->>'version')::integer = v.version ORDER BY 1), '{}') AS marks"
        " FROM alert_version v JOIN official o ON o.official_id = v.saved_by"
        " WHERE v.alert_id = $1 ORDER BY v.version DESC",
        alert_id,
    )
    return [Version(**{**row, "marks": tuple(row["marks"])}) for row in rows]


def sittings(newest_first: Iterable[Version]) -> list[Sitting]:
    """Put versions together that one official saved in one go, newest first.

    What was sent for approval or taken up again stands alone: it is looked for.
    """
    found: list[Sitting] = []
    for version in newest_first:
        if found and _goes_on(version, found[-1].first):
            found[-1] = Sitting(version, found[-1].last, None)
        else:
            if found:
                found[-1] = Sitting(found[-1].first, found[-1].last, version.number)
            found.append(Sitting(version, version, None))
    return found


def _goes_on(version: Version, after: Version) -> bool:
    return (
        version.author_id == after.author_id
        and after.saved_at - version.saved_at <= _ONE_SITTING
        and not version.marks
        and after.restored_from is None
    )


async def content(conn: Conn, alert: Alert, number: int) -> Content:
    """Read one version; raises NotFound."""
    document = await conn.fetchval(
        "SELECT content FROM alert_version WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        number,
    )
    if document is None:
        raise NotFound(
            "version_not_found",
            f"Tin {alert.code} không có bản {number}. Chọn một bản trong danh sách.",
            f"Alert {alert.code} has no version {number}. Choose one on the list.",
        )
    return parse(document)


async def restore(
    conn: Conn, actor: Actor, now: datetime, alert: Alert, expected_version: int, number: int
) -> int:
    """Save an earlier version as a new one; raises Conflict, NotAllowed, NotFound.

    Like any edit it voids a submission and an approval.
    """
    earlier = await content(conn, alert, number)
    version = await draft.save(conn, actor, now, alert.alert_id, expected_version, earlier)
    await conn.execute(
        "UPDATE alert_version SET restored_from = $3 WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        version,
        number,
    )
    await audit.record(
        conn, actor.official_id, now, "alert.version_restored", "alert", alert.alert_id,
        version=version, restored=number,
    )  # fmt: skip
    return version


async def mark_copy(conn: Conn, actor: Actor, now: datetime, alert_id: int, source_id: int) -> None:
    """Remember which alert a new draft was copied from."""
    await conn.execute("UPDATE alert SET copied_from = $2 WHERE alert_id = $1", alert_id, source_id)
    await audit.record(
        conn, actor.official_id, now, "alert.copied", "alert", alert_id, source=source_id
    )
