"""The messages that ask officials for an approval, at their own addresses, and their telephones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts import approval_words
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout import direct
from broadcaster.keyring import Keyring, UndecipherableError

HOLDS = timedelta(hours=2)
"""A question whose answer is no longer awaited is not sent any more."""
_CHANNELS = {
    "emergency": ["push", "sms", "email"],
    "warning": ["push", "sms", "email"],
    # What can wait until the morning rings nobody's telephone.
    "information": ["push", "email"],
}


@dataclass(frozen=True, slots=True)
class Called:
    """Somebody who was asked for an approval, and the number they can be called at."""

    official_id: int
    name: str
    title: str
    asked_at: datetime
    phone: str | None


async def send(
    conn: Conn,
    now: datetime,
    public_url: str,
    alert: Alert,
    officials: Sequence[int],
    mark: str,
    *,
    again: bool = False,
    by: str = "",
) -> int:
    """Order the messages of one asking, at most one to each address; returns how many.

    `mark` tells one asking for a version from the next; `again` says that others did not answer,
    `by` who reminds.
    """
    ways = await conn.fetch(
        "SELECT DISTINCT ON (e.endpoint_id) e.endpoint_id, e.channel::text AS channel,"
        " o.lang::text AS lang FROM official_endpoint l JOIN endpoint e USING (endpoint_id)"
        " JOIN official o USING (official_id)"
        " WHERE l.official_id = ANY($1::integer[]) AND e.state = 'active' AND e.address_enc <> ''"
        " AND e.channel::text = ANY($2::text[]) ORDER BY e.endpoint_id, o.official_id",
        list(officials),
        _CHANNELS[alert.alert_class],
    )
    link = f"{public_url}/console/alerts/{alert.code}/review"
    ordered = 0
    for way in ways:
        message = await direct.enqueue(
            conn, now, endpoint_id=way["endpoint_id"], channel=way["channel"], purpose="approval",
            content=approval_words.question(
                alert, way["channel"], way["lang"], link, again=again, by=by, asked_at=now
            ),
            expires=now + HOLDS,
            dedupe_key=f"approval:{alert.alert_id}:{alert.version}:{mark}:{way['endpoint_id']}",
            training=alert.training,
        )  # fmt: skip
        ordered += message is not None
    return ordered


async def called(
    conn: Conn, keyring: Keyring, alerts: Sequence[Alert]
) -> Mapping[int, list[Called]]:
    """Return by alert who was asked for its version, whoever was asked last first."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (k.alert_id, o.official_id) k.alert_id, o.official_id, o.name, o.title,"
        " k.asked_at, e.endpoint_id, e.address_enc"
        " FROM unnest($1::bigint[], $2::integer[]) AS n(alert_id, version)"
        " JOIN approval_ask k USING (alert_id, version)"
        " JOIN official o ON o.official_id = ANY(k.officials) AND o.active"
        " LEFT JOIN LATERAL (SELECT e.endpoint_id, e.address_enc FROM official_endpoint l"
        "  JOIN endpoint e USING (endpoint_id) WHERE l.official_id = o.official_id"
        "  AND e.channel = 'sms' AND e.state = 'active' AND e.address_enc <> ''"
        "  ORDER BY e.endpoint_id LIMIT 1) e ON true"
        " ORDER BY k.alert_id, o.official_id, k.step DESC",
        [alert.alert_id for alert in alerts],
        [alert.version for alert in alerts],
    )
    found: dict[int, list[Called]] = {alert.alert_id: [] for alert in alerts}
    for row in sorted(rows, key=lambda row: (-row["asked_at"].timestamp(), row["name"])):
        found[row["alert_id"]].append(
            Called(
                row["official_id"], row["name"], row["title"], row["asked_at"],
                _number(keyring, row["address_enc"], row["endpoint_id"]),
            )
        )  # fmt: skip
    return found


def _number(keyring: Keyring, sealed: bytes | None, endpoint_id: int) -> str | None:
    if not sealed:
        return None
    try:
        return keyring.unseal(sealed, "endpoint", "address_enc", endpoint_id).decode()
    except UndecipherableError:
        return None
