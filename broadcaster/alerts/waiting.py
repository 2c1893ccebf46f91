"""What waits for one official's approval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from broadcaster.alerts import approval_policy, authority, draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.people.officials import Actor, authority_so_far


async def waiting_for(conn: Conn, actor: Actor, limit: int = 200) -> list[Alert]:
    """Return the submitted alerts that this official may approve, or may once enrolled.

    The most urgent first. A few questions, however many alerts wait.
    """
    reach = await authority_so_far(conn, actor, "approver")
    waiting = await draft.select(
        conn,
        "WHERE a.state = 'submitted' AND (a.unit_id = ANY($1::integer[])"
        " OR EXISTS (SELECT FROM approval_ask k WHERE k.alert_id = a.alert_id"
        "  AND k.version = a.version AND $2 = ANY(k.substitutes)))"
        " ORDER BY a.lane, a.submitted_at LIMIT $3",
        list(reach),
        actor.official_id,
        limit,
    )
    if not waiting:
        return []
    cases = await authority.cases(conn, waiting)
    own, tops = await authority.grounds(conn, {alert.unit_id for alert in waiting})
    policies = {
        alert.alert_class: (
            await approval_policy.in_force(conn, authority.alert_class_of(alert))
        ).policy
        for alert in {alert.alert_class: alert for alert in waiting}.values()
    }

    def may(alert: Alert) -> bool:
        case = cases[alert.alert_id]
        need = authority.need(
            policies[alert.alert_class], authority.alert_class_of(alert), alert.unit_id, case.taken,
            own[alert.unit_id], tops,
        )  # fmt: skip
        one = authority.Candidate(
            actor.official_id, actor.name, actor.title, actor.lang, actor.training,
            reached=need.units & reach,
            ring=0 if alert.unit_id in reach else -1,
            wrote=actor.official_id in case.writers,
            asked=actor.official_id in case.asked,
            # Whoever is not enrolled yet is told all the same: they may be in time.
            enrolled=True,
        )  # fmt: skip
        return authority.bar(need, one, training=alert.training) in authority.MAY

    return [alert for alert in waiting if may(alert)]


async def next_asked(conn: Conn, alerts: Sequence[Alert]) -> dict[int, datetime]:
    """Return when somebody else will be asked about each alert that waits, where anybody will."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (k.alert_id) k.alert_id, k.next_at FROM approval_ask k"
        " JOIN unnest($1::bigint[], $2::integer[]) AS n(alert_id, version)"
        " USING (alert_id, version) ORDER BY k.alert_id, k.step DESC",
        [alert.alert_id for alert in alerts],
        [alert.version for alert in alerts],
    )
    return {row["alert_id"]: row["next_at"] for row in rows if row["next_at"] is not None}
