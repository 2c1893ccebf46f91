"""What each class of alerts goes by, in versions: one life for every kind of policy.

The newest version of a class is in force. Only an admin of the whole city makes one, on top of the
version they looked at, and the trail says who did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from broadcaster import audit
from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.alerts.documents import Document, Fault, refusal, unreadable
from broadcaster.db import Conn
from broadcaster.errors import Conflict, Refused
from broadcaster.people.officials import Actor, require_city_admin

P = TypeVar("P", bound=Document)


# Without slots: Python 3.11 cannot make a frozen one with slots by a name such as Version[Policy].
@dataclass(frozen=True)
class Version(Generic[P]):
    """One version of a class's policy."""

    alert_class: AlertClass
    version: int
    policy: P
    saved_by: str | None
    """Name of the official; None: what the service comes with."""
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Policies(Generic[P]):
    """The policies of one kind, a table of their own."""

    table: str
    model: type[P]
    code: str
    """Of the refusal of one that cannot be laid down."""
    action: str
    """How the trail calls a new version."""
    faults: Callable[[AlertClass, P], Iterable[Fault]]
    """Finds what makes no sense although every field by itself is right."""
    unreadable: Callable[[ErrorDetails], Fault] = unreadable
    """Says of a value that cannot be read what would be right."""

    def parse(self, alert_class: AlertClass, document: Any) -> P:
        """Read a policy somebody wrote; raises Refused naming each field, with what to do."""
        try:
            policy = self.model.model_validate(document)
        except ValidationError as error:
            raise self._refusal([self.unreadable(one) for one in error.errors()]) from error
        self._require_sense(alert_class, policy)
        return policy

    def _require_sense(self, alert_class: AlertClass, policy: P) -> None:
        if found := list(self.faults(alert_class, policy)):
            raise self._refusal(found)

    def _refusal(self, found: Sequence[Fault]) -> Refused:
        return refusal(self.code, found, named=True)

    async def history(
        self, conn: Conn, alert_class: AlertClass, limit: int = 50
    ) -> list[Version[P]]:
        """Return the versions of a class's policy, the newest first."""
        rows = await conn.fetch(
            "SELECT p.class::text AS alert_class, p.version, p.policy, o.name AS saved_by,"
            f" p.saved_at FROM {self.table} p LEFT JOIN official o ON o.official_id = p.saved_by"
            " WHERE p.class = $1::alert_class ORDER BY p.version DESC LIMIT $2",
            alert_class,
            limit,
        )
        return [
            Version(
                row["alert_class"],
                row["version"],
                self.model.model_validate(row["policy"]),
                row["saved_by"],
                row["saved_at"],
            )
            for row in rows
        ]

    async def in_force(self, conn: Conn, alert_class: AlertClass) -> Version[P]:
        """Return the newest version of a class's policy; raises LookupError where there is none."""
        found = await self.history(conn, alert_class, 1)
        if not found:
            raise LookupError(f"class {alert_class} has no {self.table.replace('_', ' ')}")
        return found[0]

    async def all_in_force(self, conn: Conn) -> dict[AlertClass, Version[P]]:
        """Return the policy in force of every class, the most urgent first."""
        return {alert_class: await self.in_force(conn, alert_class) for alert_class in LANES}

    async def save(
        self,
        conn: Conn,
        actor: Actor,
        now: datetime,
        alert_class: AlertClass,
        based_on: int,
        policy: P,
    ) -> Version[P]:
        """Make a policy the one in force, as a new version on top of `based_on`.

        Raises NotAllowed (only an admin of the whole city), Refused (faults), Conflict (somebody
        saved another version meanwhile).
        """
        await require_city_admin(conn, actor)
        self._require_sense(alert_class, policy)
        async with conn.transaction():
            saved = await conn.fetchval(
                f"INSERT INTO {self.table} (class, version, policy, saved_by, saved_at)"
                " SELECT $1::alert_class, $2 + 1, $3, $4, $5"
                f" WHERE $2 = (SELECT max(version) FROM {self.table} WHERE class = $1::alert_class)"
                " ON CONFLICT DO NOTHING RETURNING version",
                alert_class,
                based_on,
                policy.to_json(),
                actor.official_id,
                now,
            )
            if saved is None:
                raise Conflict(
                    "newer_policy",
                    "Người khác vừa lưu bản mới của quy định này. Tải lại để xem.",
                    "Somebody else has just saved a newer version of this policy. Reload to see"
                    " it.",
                )
            await audit.record(
                conn, actor.official_id, now, self.action, self.table, LANES[alert_class],
                **{"class": alert_class, "version": saved},
            )  # fmt: skip
        return await self.in_force(conn, alert_class)
