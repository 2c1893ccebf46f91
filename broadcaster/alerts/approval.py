"""Four eyes: submit, approve, send back, reject.

Approval writes the immutable snapshot, the audit row and the order to start in one transaction;
whatever wakes the senders afterwards may be lost without harm.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

from broadcaster import audit
from broadcaster.alerts import (
    approver_checks,
    authority,
    exercise,
    order,
    outbox,
    stated_times,
)
from broadcaster.alerts.content import Content, canonical, moment
from broadcaster.alerts.draft import Alert, Draft, find, load
from broadcaster.alerts.lifecycle import conflict_of
from broadcaster.alerts.policy_checks import check_carriers
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.fanout import channel_policy
from broadcaster.fanout.carrying import carrying
from broadcaster.keyring import Keyring
from broadcaster.people import second_factor
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.people.second_factor import Proof
from broadcaster.people.units import vintage_on
from broadcaster.states import ALERT_MOVES, AlertState, sources
from templates import catalogue


async def submit(conn: Conn, actor: Actor, now: datetime, alert_id: int, version: int) -> Alert:
    """Send the draft's current version for approval.

    Its checks must have been run on this very version without a blocking problem. Raises
    NotAllowed, Conflict (another version, another state) and Refused (also when it leaves nobody
    who may approve it).
    """
    draft = await load(conn, actor, alert_id)
    await _require_author(conn, actor, draft.alert)
    exercise.require_part(actor, draft.alert.training)
    _require_checked(draft)
    _require_times_ahead(draft.content, now)
    await approver_checks.require_somebody(conn, draft.alert, actor.official_id)
    async with conn.transaction():
        moved = await conn.fetchval(
            "UPDATE alert SET state = 'submitted', submitted_by = $3, submitted_at = $4,"
            " updated_at = $4 WHERE alert_id = $1 AND version = $2"
            " AND state = ANY($5::alert_state[]) RETURNING alert_id",
            alert_id,
            version,
            actor.official_id,
            now,
            sources(ALERT_MOVES, AlertState.SUBMITTED),
        )
        if moved is None:
            raise conflict_of(await find(conn, alert_id), version)
        await audit.record(
            conn, actor.official_id, now, "alert.submitted", "alert", alert_id, version=version
        )
    return await find(conn, alert_id)


def _require_checked(draft: Draft) -> None:
    if draft.problems is None:
        raise Refused(
            "not_checked",
            "Bản này chưa được kiểm tra. Bấm kiểm tra rồi gửi duyệt.",
            "This version has not been checked. Check it, then send it for approval.",
        )
    blocking = [problem for problem in draft.problems if problem["blocking"]]
    if blocking:
        raise Refused(
            "blocking_problems",
            f"Còn {len(blocking)} chỗ phải sửa: {blocking[0]['message_vi']}",
            f"{len(blocking)} to mend first: {blocking[0]['message_en']}",
            problems=blocking,
        )


async def approve(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert_id: int,
    version: int,
    proof: Proof | None = None,
    *,
    widen: bool = False,
) -> Alert:
    """Approve one version: snapshot, audit row and order to start, all or nothing.

    `proof` is of the actor's second factor, which an emergency needs; it is used up only when the
    approval comes about. With `widen` an exercise goes to everybody in its area, in the actor's
    name, which needs the second factor too. Raises NotAllowed (no such role for what it covers, the
    actor wrote or submitted it, no second factor), Conflict (edited or decided in between, a code
    used twice), Refused (it has ended before it began, or cannot be opened to everybody).
    """
    draft = await authority.load(conn, actor, alert_id)
    need = await authority.require(conn, actor, draft.alert)
    exercise.require_part(actor, draft.alert.training)
    widened = _widened(draft.alert, widen=widen)
    await _require_ready(conn, now, draft, version)
    _require_proof(actor, proof, needed=need.second_factor or widened)
    async with conn.transaction():
        await _require_its_turn(conn, now, draft.alert)
        if proof is not None:
            await _keep_proof(conn, now, alert_id, version, proof)
        approved = await _move(conn, actor, now, alert_id, version, widened=widened)
        # As it is approved: the snapshot says to whom an exercise goes, and the hash covers it.
        digest = await freeze(conn, now, replace(draft, alert=approved))
        await audit.record(
            conn, actor.official_id, now, "alert.approved", "alert", alert_id,
            version=version, content_hash=digest.hex(), reach=need.reach.value,
            confirmed_by=proof.kind if proof else "password",
            **({"recipients": "all" if widened else "listed"} if draft.alert.exercise else {}),
        )  # fmt: skip
        await outbox.order(conn, now, outbox.Topic.START, alert_id)
    return await find(conn, alert_id)


async def _require_ready(conn: Conn, now: datetime, draft: Draft, version: int) -> None:
    """Refuse what is no longer the version on the screen, or could not go out as it is."""
    if draft.alert.version != version:
        raise conflict_of(draft.alert, version)
    _require_checked(draft)
    _require_time_left(draft.content, now)
    _require_times_ahead(draft.content, now)
    await _require_carrier(conn, draft.content, now)


async def _require_its_turn(conn: Conn, now: datetime, alert: Alert) -> None:
    """Refuse a follow-up that another one overtook; until the commit none of its root can."""
    await order.lock(conn, alert)
    overtaken = await order.out_of_order(conn, now, alert)
    if overtaken is not None:
        raise overtaken


async def _move(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, version: int, *, widened: bool
) -> Alert:
    """Make the version the approved one, in the actor's name; raises Conflict."""
    moved = await conn.fetchval(
        "UPDATE alert SET state = 'approved', approved_version = version,"
        " approved_by = $3::integer, approved_at = $4::timestamptz,"
        " updated_at = $4::timestamptz, widened_by = CASE WHEN $6 THEN $3::integer END,"
        " widened_at = CASE WHEN $6 THEN $4::timestamptz END"
        " WHERE alert_id = $1 AND version = $2"
        " AND state = ANY($5::alert_state[]) RETURNING alert_id",
        alert_id,
        version,
        actor.official_id,
        now,
        sources(ALERT_MOVES, AlertState.APPROVED),
        widened,
    )
    if moved is None:
        raise conflict_of(await find(conn, alert_id), version)
    return await find(conn, alert_id)


async def confirm(
    conn: Conn,
    keyring: Keyring,
    actor: Actor,
    now: datetime,
    alert_id: int,
    version: int,
    code: str,
    *,
    widen: bool = False,
) -> Alert:
    """Approve with a code of the phone or a recovery code, as a person types it; empty for none.

    A code typed where none is needed is not looked at; `widen` as in `approve`. Raises as `approve`
    and as `second_factor.prove`; a wrong code is counted even so.
    """
    alert = await find(conn, alert_id)
    need = await authority.require(conn, actor, alert)
    proof = None
    if (need.second_factor or widen) and code:
        proof = await second_factor.prove(conn, keyring, actor, now, code)
    return await approve(conn, actor, now, alert_id, version, proof, widen=widen)


async def freeze(conn: Conn, now: datetime, draft: Draft) -> bytes:
    """Write the immutable snapshot of a version that is approved; returns its hash (32 bytes)."""
    policy = await channel_policy.in_force(conn, draft.content.alert_class)
    document = _document(draft, now, await vintage_on(conn))
    # As it stands at this moment: a later change of the policy alters nothing that was approved.
    document["policy"] = channel_policy.for_snapshot(policy)
    data, digest = canonical(document)
    await conn.execute(
        "INSERT INTO alert_snapshot (alert_id, version, canonical, content_hash, approved_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        draft.alert.alert_id,
        draft.alert.version,
        data,
        digest,
        now,
    )
    return digest


def _document(draft: Draft, now: datetime, vintage: date | None) -> dict[str, Any]:
    alert = draft.alert
    return {
        "alert_id": alert.alert_id,
        "code": alert.code,
        "cap_identifier": alert.cap_identifier,
        "status": alert.status,
        "kind": alert.kind,
        "root_id": alert.root_id,
        "sequence": alert.sequence,
        "predecessor_id": alert.predecessor_id,
        "unit_id": alert.unit_id,
        "unit_name": alert.unit_name,
        "unit_name_en": alert.unit_name_en,
        "version": alert.version,
        "approved_at": moment(now),
        # Which units a group or a drawn area meant: a later reform must not redraw the alert.
        "vintage": vintage and vintage.isoformat(),
        "content": draft.content.to_json(),
        **_recipients(alert),
    }


def _recipients(alert: Alert) -> dict[str, Any]:
    """Return to whom an exercise goes: those who agreed, or everybody, in whose name."""
    if not alert.exercise:
        return {}
    return {
        "recipients": "listed" if alert.widened_by is None else "all",
        "widened_by": alert.widened_name,
        "training": alert.training,
    }


def _widened(alert: Alert, *, widen: bool) -> bool:
    """Say whether an approval opens an exercise to everybody; of a real alert there is no such.

    What follows one that everybody got is opened again, in this approver's name: otherwise those it
    reached would hear neither of a change nor of its end. Raises Refused.
    """
    if widen and not alert.exercise:
        raise Refused(
            "not_an_exercise",
            "Tin này là tin thật, vốn tới mọi người trong vùng. Tải lại trang rồi duyệt.",
            "This alert is real and goes to everybody in its area. Reload the page, then approve.",
        )
    if widen and alert.training:
        raise Refused(
            "training_goes_nowhere",
            "Tin của tài khoản tập huấn không gửi ra ngoài nên không mở rộng được.",
            "What training accounts send goes nowhere, so it cannot be opened to everybody.",
        )
    if alert.follows_widened and not widen:
        raise Refused(
            "widening_goes_on",
            "Tin này theo sau một cuộc diễn tập mà mọi người trong vùng đã nhận, nên họ cũng phải"
            " nhận tin này. Đánh dấu mở tới mọi người và nhập mã; muốn dừng hẳn thì hủy cuộc diễn"
            " tập đó ở trang của nó.",
            "This follows an exercise that everybody in its area got, so they have to get this too."
            " Tick that you open it to everybody and type your code; to end it altogether, call"
            " that exercise off on its page.",
        )
    return widen


def _require_proof(actor: Actor, proof: Proof | None, *, needed: bool) -> None:
    if proof is None and needed:
        raise NotAllowed(
            "second_factor_needed",
            "Tin này cần xác thực hai bước. Nhập mã trên điện thoại hoặc một mã khôi phục.",
            "This alert needs a second factor. Type the code of your phone or a recovery code.",
        )
    if proof is not None and proof.official_id != actor.official_id:
        raise ValueError("a proof of somebody else")


async def _keep_proof(conn: Conn, now: datetime, alert_id: int, version: int, proof: Proof) -> None:
    await second_factor.spend(conn, now, proof)
    await conn.execute(
        "INSERT INTO approval_proof (alert_id, version, official_id, kind, at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        alert_id,
        version,
        proof.official_id,
        proof.kind,
        now,
    )


async def _require_carrier(conn: Conn, content: Content, now: datetime) -> None:
    """Hold back what could not leave on any channel: switched off since it was checked."""
    policy = (await channel_policy.in_force(conn, content.alert_class)).policy
    for found in check_carriers(content, policy, await carrying(conn, now)):
        if found.blocking:
            raise Refused(found.code, found.message_vi, found.message_en)


def _require_time_left(content: Content, now: datetime) -> None:
    if content.expires is None or content.expires <= now:
        raise Refused(
            "already_over",
            "Giờ hết hiệu lực đã qua. Trả lại để sửa giờ.",
            "The alert's end has passed. Send it back to correct the time.",
        )


def _require_times_ahead(content: Content, now: datetime) -> None:
    """Hold back words whose time has passed since they were checked: “leave by 17:00” at 19:50."""
    event = catalogue.load().events.get(content.event)
    for found in stated_times.check_stated(content, now, event):
        if found.blocking:
            raise Refused(found.code, found.message_vi, found.message_en)


async def _require_author(conn: Conn, actor: Actor, alert: Alert) -> None:
    if alert.unit_id not in await authority_so_far(conn, actor, "author"):
        raise NotAllowed(
            "not_author_here",
            "Quyền của bạn không gồm đơn vị phát tin này.",
            "Your roles do not reach the unit that issues this alert.",
        )


async def send_back(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, version: int, reason: str
) -> Alert:
    """Return the submitted version to its author with what has to change."""
    return await _decide(conn, actor, now, alert_id, version, AlertState.RETURNED, reason)


async def reject(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, version: int, reason: str
) -> Alert:
    """Refuse the alert for good, with the reason."""
    return await _decide(conn, actor, now, alert_id, version, AlertState.REJECTED, reason)


async def _decide(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert_id: int,
    version: int,
    target: AlertState,
    reason: str,
) -> Alert:
    draft = await authority.load(conn, actor, alert_id)
    await authority.require_decider(conn, actor, draft.alert)
    exercise.require_part(actor, draft.alert.training)
    if not reason.strip():
        raise Refused(
            "reason_missing",
            "Ghi rõ cần sửa gì hoặc vì sao từ chối.",
            "Say what has to change, or why it is refused.",
        )
    async with conn.transaction():
        moved = await conn.fetchval(
            "UPDATE alert SET state = $5::alert_state, ended_by = $3, ended_at = $4,"
            " ended_reason = $6, updated_at = $4"
            " WHERE alert_id = $1 AND version = $2 AND state = ANY($7::alert_state[])"
            " RETURNING alert_id",
            alert_id,
            version,
            actor.official_id,
            now,
            target.value,
            reason.strip(),
            # A draft that is given up is rejected too, but that is its writers' to do.
            [AlertState.SUBMITTED.value],
        )
        if moved is None:
            raise conflict_of(await find(conn, alert_id), version)
        await audit.record(
            conn, actor.official_id, now, f"alert.{target.value}", "alert", alert_id,
            version=version, reason=reason.strip(),
        )  # fmt: skip
    return await find(conn, alert_id)
