"""Why somebody got a follow-up, or did not, where what reached them before tells it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pyroaring import BitMap

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout import deliveries, reached
from broadcaster.states import DeliveryState

_S = DeliveryState
_REACHED = frozenset({_S.HANDED_OFF, _S.CONFIRMED, _S.SEEN, _S.UNKNOWN})
"""May have arrived: those a follow-up speaks to."""
BY_WHAT_CAME_BEFORE = frozenset({"left", "reached_before"})
"""Reasons of people who get it at the addresses the earlier messages reached, and at no other."""


@dataclass(frozen=True)
class Earlier:
    """What came before a follow-up."""

    kind: str
    messages: tuple[Alert, ...]
    """Those that have begun, the newest first."""
    left: BitMap
    """People whom an update tells that it covers them no longer."""

    @classmethod
    async def of(cls, conn: Conn, alert: Alert) -> Earlier | None:
        """Gather it; None for an alert that follows nothing."""
        if alert.kind == "alert":
            return None
        family = await draft.family(conn, alert.root_id)
        before = [one for one in family if one.sequence < alert.sequence and one.started_at]
        return cls(
            alert.kind, tuple(reversed(before)), await reached.left_out(conn, alert.alert_id)
        )

    async def that_reached(self, conn: Conn, endpoint_ids: Collection[int]) -> str | None:
        """Return the code of the newest message that may have reached one of these endpoints."""
        keys = [(one.alert_id, endpoint) for one in self.messages for endpoint in endpoint_ids]
        found = await deliveries.of_keys(conn, keys)
        by_id = {key[0] for key, one in found.items() if one.state in _REACHED}
        return next((one.code for one in self.messages if one.alert_id in by_id), None)

    def because(
        self, person_id: int, chosen: bool | None, *, inside: bool, before: str | None
    ) -> str | None:
        """Return the reason, a key of BECAUSE; None where places tell it."""
        if self.kind in reached.EXACT:
            if chosen is None:
                return "would_be_told" if before else "would_not_be_told"
            return "reached_before" if chosen else "not_reached"
        if self.kind == "update":
            return self._of_update(person_id, chosen, inside=inside, before=before)
        return "reached_before" if chosen and not inside and before else None

    def _of_update(
        self, person_id: int, chosen: bool | None, *, inside: bool, before: str | None
    ) -> str | None:
        if person_id in self.left:
            return "left"
        if before is None:
            return None
        if inside:
            return "kept" if chosen else None
        if chosen is None:
            return "would_leave"
        return None if chosen else "held_elsewhere"
