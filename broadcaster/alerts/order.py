"""What may come next in a root: by the state of what is there, and one follow-up at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Conflict
from broadcaster.states import AlertState

WRITTEN = ("update", "all_clear")
PREPARED = ("cancel", "correction")
"""Kinds whose words are approved with the alert they follow."""

_A = AlertState
_OPEN = frozenset({_A.DRAFT, _A.SUBMITTED, _A.RETURNED, _A.APPROVED, _A.SCHEDULED})
_NOT_BEGUN = frozenset({_A.DRAFT, _A.SUBMITTED, _A.RETURNED, _A.APPROVED, _A.SCHEDULED})
UNAPPROVED = frozenset({_A.DRAFT, _A.SUBMITTED, _A.RETURNED})
"""A follow-up in one of these may be set aside for an all-clear."""
_FROM: dict[str, frozenset[AlertState]] = {
    "update": frozenset({_A.SENDING, _A.SENT}),
    "all_clear": frozenset({_A.SENDING, _A.SENT, _A.STOPPED, _A.EXPIRED}),
    "cancel": frozenset({_A.SENDING, _A.SENT, _A.STOPPED}),
    "correction": frozenset({_A.SENDING, _A.SENT, _A.STOPPED, _A.EXPIRED}),
}


async def require_may_follow(conn: Conn, now: datetime, alert: Alert, kind: str) -> None:
    """Let a follow-up of this kind come next after an alert; raises Conflict saying why not."""
    refusal = await hindrance(conn, now, alert, kind)
    if refusal is not None:
        raise refusal


async def out_of_order(conn: Conn, now: datetime, alert: Alert) -> Conflict | None:
    """Return why a follow-up that is in work cannot go out next any more; None while it can."""
    if alert.predecessor_id is None:
        return None
    before = await draft.find(conn, alert.predecessor_id)
    family = await draft.family(conn, alert.root_id)
    others = [one for one in family if one.alert_id != alert.alert_id]
    return _of_state(before, alert.kind, now) or _of_newer(before, others, alert.kind)


async def hindrance(conn: Conn, now: datetime, alert: Alert, kind: str) -> Conflict | None:
    """Return why no follow-up of this kind can come next after an alert; None when one can."""
    return _of_state(alert, kind, now) or _of_newer(
        alert, await draft.family(conn, alert.root_id), kind
    )


def _of_state(alert: Alert, kind: str, now: datetime) -> Conflict | None:
    if alert.kind in PREPARED or (alert.kind == "all_clear" and kind in WRITTEN):
        return Conflict(
            "nothing_follows",
            "Tin này đã khép lại chuỗi tin. Soạn một tin mới.",
            "This message closed the matter. Write a new alert.",
        )
    if alert.state in _NOT_BEGUN:
        return Conflict(
            "not_begun",
            "Tin chưa phát nên chưa ai nhận. Sửa chính tin này, hoặc dừng nó.",
            "The alert has not begun and reached nobody. Edit it, or stop it.",
        )
    over = kind in ("update", "cancel") and alert.expires is not None and alert.expires <= now
    if over or alert.state not in _FROM[kind] or alert.started_at is None:
        return Conflict(
            "not_live",
            "Tin không còn hiệu lực. Soạn một tin mới.",
            "The alert is no longer live. Write a new alert.",
            state=alert.state.value,
        )
    return None


def _of_newer(alert: Alert, family: Sequence[Alert], kind: str) -> Conflict | None:
    newest = max((one for one in family if one.started_at), key=lambda one: one.sequence)
    if newest.sequence > alert.sequence:
        return Conflict(
            "superseded",
            f"Tin {newest.code} đã thay tin này. Mở tin {newest.code} để làm tiếp.",
            f"{newest.code} has taken this alert's place. Open {newest.code} to go on.",
            newer=newest.code,
        )
    opened = open_one(family)
    if opened is not None and opened.kind in PREPARED:
        return Conflict(
            "called_off",
            f"Tin {opened.code} thu hồi tin này đang được gửi. Mở {opened.code}.",
            f"{opened.code}, which takes this alert back, is on its way. Open {opened.code}.",
            follow_up=opened.code,
        )
    if opened is not None and kind in WRITTEN:
        aside = kind == "all_clear" and opened.state in UNAPPROVED
        return Conflict(
            "follow_up_in_work",
            f"{opened.author_name} đang soạn {opened.code} tiếp theo tin này. Mở {opened.code}"
            f"{' hoặc gác bản đó lại' if aside else ''}.",
            f"{opened.author_name} is at work on {opened.code}, which follows this alert."
            f" Open {opened.code}{' or set it aside' if aside else ''}.",
            follow_up=opened.code,
        )
    return None


def open_one(family: Sequence[Alert]) -> Alert | None:
    """Return the follow-up that is in work: written, waiting for approval or for its time."""
    return next((one for one in family if one.kind != "alert" and one.state in _OPEN), None)


async def lock(conn: Conn, alert: Alert) -> None:
    """Let one transaction at a time decide what comes next in a root."""
    await conn.execute("SELECT FROM alert WHERE alert_id = $1 FOR UPDATE", alert.root_id)
