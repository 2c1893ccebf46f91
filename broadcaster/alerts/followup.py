"""What follows an alert, and when it may: update, all-clear, cancel, correction.

An update and an all-clear are drafts like any other, written by one and approved by another. A
cancel and a correction go out by one click, because their words were approved with the alert they
follow. One follow-up of a root is in work at a time: nobody overtakes silently.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from broadcaster import audit
from broadcaster.alerts import (
    approval,
    draft,
    exercise,
    lifecycle,
    order,
    outbox,
    setting_aside,
    wordings,
)
from broadcaster.alerts.content import Content, Prepared
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.order import WRITTEN
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.states import ALERT_MOVES, AlertState, sources

EMERGENCY_LANE = 0
_LASTS_AT_LEAST = timedelta(hours=2)
"""A carrier drops what is over: whoever was reached in the alert's last minutes is told as well."""


def preparation(content: Content, kind: str) -> bool:
    """Tell whether words for a cancel or a correction were approved with a content."""
    words = content.prepared.cancel if kind == "cancel" else content.prepared.correction
    return all(lang in words for lang in content.languages)


async def update(conn: Conn, actor: Actor, now: datetime, alert_id: int) -> Alert:
    """Start an update as a draft: the newest approved words, and those for the difference.

    Raises NotAllowed, NotFound, Conflict (not live, superseded, another follow-up is in work).
    """
    return await _start(conn, actor, now, alert_id, "update")


async def all_clear(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, set_aside: str = ""
) -> Alert:
    """Start an all-clear as a draft of its own event, for the same place; raises as `update`.

    `set_aside` is the code of the follow-up that nobody has approved and that it takes the place
    of: kept, ended, its author told. It is named, so that nobody sets aside what they did not see.
    """
    return await _start(conn, actor, now, alert_id, "all_clear", set_aside)


async def _start(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, kind: str, set_aside: str = ""
) -> Alert:
    alert = (await draft.load(conn, actor, alert_id)).alert
    async with conn.transaction():
        await order.lock(conn, alert)
        alert = await draft.find(conn, alert_id)
        aside = await _set_aside(conn, actor, now, alert, set_aside) if set_aside else None
        await order.require_may_follow(conn, now, alert, kind)
        before = (await lifecycle.snapshot(conn, alert_id)).content
        content = (
            wordings.update_of(before) if kind == "update" else wordings.all_clear_of(before, now)
        )
        made = await draft.create(
            conn, actor, now, content, alert.unit_id, kind=kind, predecessor_id=alert_id
        )
        if aside is not None:
            await setting_aside.tell_author(conn, now, actor.name, aside, made)
        return made


async def _set_aside(
    conn: Conn, actor: Actor, now: datetime, alert: Alert, code: str
) -> Alert | None:
    """End the draft of this code where it is the one in work; another one is left alone."""
    await _require_sender(conn, actor, alert)
    found = setting_aside.may_be(await draft.family(conn, alert.root_id))
    if found is None or found.code != code:
        return None
    await _give_up(conn, actor, now, found, setting_aside.REASON, "alert.set_aside")
    return found


async def withdraw(conn: Conn, actor: Actor, now: datetime, alert_id: int, reason: str) -> Alert:
    """Give up a follow-up nobody has approved, so that another can be written.

    Raises NotAllowed, Refused (no reason), Conflict (approved by now, or no follow-up).
    """
    alert = (await draft.load(conn, actor, alert_id)).alert
    await _require_sender(conn, actor, alert)
    _require_reason(reason)
    async with conn.transaction():
        if alert.kind not in WRITTEN or not await _give_up(conn, actor, now, alert, reason):
            raise Conflict(
                "not_in_work",
                "Tin này không còn đang soạn. Tải lại để xem.",
                "Nobody is writing this any more. Reload to see.",
                state=alert.state.value,
            )
    return await draft.find(conn, alert_id)


async def _give_up(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert: Alert,
    reason: str,
    action: str = "alert.withdrawn",
) -> bool:
    moved = await conn.fetchval(
        "UPDATE alert SET state = 'rejected', ended_by = $2, ended_at = $3, ended_reason = $4,"
        " updated_at = $3 WHERE alert_id = $1 AND state = ANY($5::alert_state[])"
        " RETURNING alert_id",
        alert.alert_id,
        actor.official_id,
        now,
        reason.strip(),
        sources(ALERT_MOVES, AlertState.REJECTED),
    )
    if moved is not None:
        await audit.record(
            conn, actor.official_id, now, action, "alert", alert.alert_id, reason=reason
        )
    return moved is not None


async def cancel(conn: Conn, actor: Actor, now: datetime, alert_id: int, reason: str) -> Alert:
    """Stop an alert where it is still being sent, and tell those reached that it is called off.

    Returns the cancel. Raises NotAllowed, Refused (no reason, nothing prepared), Conflict.
    """
    return await _send_prepared(conn, actor, now, alert_id, "cancel", reason)


async def correct(conn: Conn, actor: Actor, now: datetime, alert_id: int, reason: str) -> Alert:
    """Say “sent in error” to exactly those reached, in the emergency lane; stops the alert first.

    Returns the correction. Raises as `cancel`.
    """
    return await _send_prepared(conn, actor, now, alert_id, "correction", reason)


async def _send_prepared(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, kind: str, reason: str
) -> Alert:
    alert = (await draft.load(conn, actor, alert_id)).alert
    await _require_sender(conn, actor, alert)
    _require_reason(reason)
    async with conn.transaction():
        await order.lock(conn, alert)
        alert = await draft.find(conn, alert_id)
        await order.require_may_follow(conn, now, alert, kind)
        approved = await lifecycle.snapshot(conn, alert_id)
        if not preparation(approved.content, kind):
            raise Refused(
                "nothing_prepared",
                "Tin được duyệt không kèm lời cho việc này. Soạn bản cập nhật.",
                "No words for this were approved with the alert. Write an update.",
            )
        await _overtake(conn, actor, now, alert, reason)
        if alert.state is AlertState.SENDING:
            await lifecycle.stop(conn, actor, now, alert_id, reason)
        made = await _insert(conn, now, alert, kind, _prepared(approved.content, kind, now))
        await audit.record(
            conn, actor.official_id, now, f"alert.{kind}", "alert", alert_id,
            reason=reason.strip(), code=made.code,
        )  # fmt: skip
        digest = await approval.freeze(conn, now, await draft.with_content(conn, made))
        await audit.record(
            conn, actor.official_id, now, "alert.approved_before", "alert", made.alert_id,
            reason=reason.strip(), code=alert.code, version=alert.version,
            content_hash=digest.hex(), agreed_in=approved.content_hash.hex(),
        )  # fmt: skip
        await outbox.order(conn, now, outbox.Topic.START, made.alert_id)
    return made


async def _overtake(conn: Conn, actor: Actor, now: datetime, alert: Alert, reason: str) -> None:
    """Give up what somebody else has in work: it would speak of an alert that is called off."""
    opened = order.open_one(await draft.family(conn, alert.root_id))
    if opened is None:
        return
    if opened.state in (AlertState.APPROVED, AlertState.SCHEDULED):
        await lifecycle.stop(conn, actor, now, opened.alert_id, reason)
    elif not await _give_up(conn, actor, now, opened, reason):
        raise lifecycle.conflict_of(opened, opened.version)


def _prepared(content: Content, kind: str, now: datetime) -> Content:
    words = content.prepared.cancel if kind == "cancel" else content.prepared.correction
    expires = now + _LASTS_AT_LEAST
    return content.model_copy(
        update={
            "wording": words,
            "update_wording": {},
            "left_wording": {},
            "prepared": Prepared(),
            "scheduled_for": None,
            "expires": max(content.expires or expires, expires),
        }
    )


async def _insert(conn: Conn, now: datetime, alert: Alert, kind: str, content: Content) -> Alert:
    """Write a follow-up in the names of those who agreed on its words, approved as it stands."""
    alert_id = await draft.insert(
        conn, now, content, alert.unit_id, alert.author_id,
        kind=kind, predecessor=alert, nature=alert.nature,
    )  # fmt: skip
    await draft.write_version(conn, alert.author_id, now, alert_id, 1, content)
    await conn.execute(
        "UPDATE alert SET state = 'approved', lane = $2, submitted_by = $3, submitted_at = $4,"
        " approved_by = $5, approved_at = $4, approved_version = version,"
        # An exercise that everybody got is called off for everybody it reached.
        " widened_by = $6::integer,"
        " widened_at = CASE WHEN $6::integer IS NULL THEN NULL ELSE $4::timestamptz END"
        " WHERE alert_id = $1",
        alert_id,
        EMERGENCY_LANE if kind == "correction" else alert.lane,
        alert.submitted_by,
        now,
        alert.approved_by,
        alert.widened_by,
    )
    return await draft.find(conn, alert_id)


async def _require_sender(conn: Conn, actor: Actor, alert: Alert) -> None:
    exercise.require_part(actor, alert.training)
    if alert.unit_id not in await authority_so_far(conn, actor, "author", "approver"):
        raise NotAllowed(
            "may_not_stop",
            "Quyền của bạn không gồm đơn vị phát tin này.",
            "Your roles do not reach the unit that issues this alert.",
        )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("reason_missing", "Ghi lý do.", "Say why.")
