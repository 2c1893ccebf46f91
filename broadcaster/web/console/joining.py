"""A save that another one overtook: both are joined field by field, or both are shown."""

from __future__ import annotations

from typing import Any

from broadcaster.alerts import merging, template_store, versions
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.alerts.template_store import Chosen
from broadcaster.db import Conn
from broadcaster.errors import Conflict
from broadcaster.states import AlertState
from broadcaster.web import formats
from broadcaster.web.console import compose_form, follow_up_form, form_document
from broadcaster.web.console.compose_form import Posted
from broadcaster.web.geography import Atlas

_OPEN = (AlertState.DRAFT.value, AlertState.RETURNED.value)


async def content_of(
    conn: Conn, loaded: Draft, posted: Posted, atlas: Atlas
) -> tuple[Content, int]:
    """Return what a save makes of a draft, joined with what others saved meanwhile, and over which.

    Raises Conflict: `both_changed` with each field that both changed, `moved_on` when it was sent
    for approval meanwhile.
    """
    alert = loaded.alert
    if posted.state and alert.state.value not in (posted.state, *_OPEN):
        raise _moved_on(alert)
    if posted.version >= alert.version:
        return await _filled(conn, alert, posted, loaded.content, atlas), posted.version
    return await _joined(conn, loaded, posted, atlas), alert.version


async def _filled(
    conn: Conn, alert: Alert, posted: Posted, before: Content, atlas: Atlas
) -> Content:
    chosen = await template_store.of_content(conn, before, alert.unit_id)
    content = compose_form.content_of(posted, before, chosen, atlas)
    earlier = await follow_up_form.earlier(conn, alert)
    return follow_up_form.with_follow_ups(content, alert.kind, earlier, posted.own_follow_ups)


async def _joined(conn: Conn, loaded: Draft, posted: Posted, atlas: Atlas) -> Content:
    alert = loaded.alert
    base = await versions.content(conn, alert, posted.version)
    # Through a content and back, so that all three are written in one way.
    mine = await _filled(conn, alert, posted, base, atlas)
    chosen = await template_store.of_content(conn, loaded.content, alert.unit_id)
    documents = [
        await document(conn, alert, one, chosen, atlas) for one in (base, mine, loaded.content)
    ]
    merged, clashes = merging.merge(*documents)
    if clashes:
        raise await _both_changed(conn, alert, merged, clashes, chosen)
    again = compose_form.parse({**merged, "version": alert.version})
    return await _filled(conn, alert, again, loaded.content, atlas)


async def from_newest(conn: Conn, loaded: Draft, atlas: Atlas) -> Content:
    """Return a draft as written from the template that holds now; an official's own words stay.

    So do channels that somebody chose by hand; otherwise they are what the new version begins with.
    """
    alert, content = loaded.alert, loaded.content
    holds = await template_store.newer(conn, content, alert.unit_id)
    if holds is None:
        return content
    chosen = await template_store.of_content(conn, content, alert.unit_id)
    posted = compose_form.parse(
        {**await document(conn, alert, content, chosen, atlas), "version": alert.version}
    )
    if set(content.channels) == set(chosen.event.channels):
        posted = posted.model_copy(update={"channels": holds.event.channels})
    before = content.model_copy(update={"template": holds.used})
    made = compose_form.content_of(posted, before, holds, atlas)
    earlier = await follow_up_form.earlier(conn, alert)
    return follow_up_form.with_follow_ups(made, alert.kind, earlier, posted.own_follow_ups)


async def document(
    conn: Conn, alert: Alert, content: Content, chosen: Chosen, atlas: Atlas
) -> dict[str, Any]:
    """Return a content of this alert as the form would post it."""
    earlier = await follow_up_form.earlier(conn, alert)
    return form_document.document_of(content, alert.kind, earlier, chosen, atlas)


async def _both_changed(
    conn: Conn, alert: Alert, merged: dict[str, Any], clashes: list[merging.Clash], chosen: Chosen
) -> Conflict:
    name = await conn.fetchval(
        "SELECT o.name FROM alert_version v JOIN official o ON o.official_id = v.saved_by"
        " WHERE v.alert_id = $1 AND v.version = $2",
        alert.alert_id,
        alert.version,
    )
    at = formats.clock(alert.updated_at)
    return Conflict(
        "both_changed",
        f"{name} vừa lưu bản {alert.version} lúc {at} và cũng sửa những ô bạn đang sửa. Chọn lời"
        " giữ lại ở từng ô.",
        f"{name} saved version {alert.version} at {at} and changed fields that you are changing."
        " Choose which to keep, field by field.",
        version=alert.version,
        by=name,
        document=merged,
        clashes=[
            {
                "path": list(clash.path),
                "name": form_document.name_of(clash.path, chosen.event),
                "mine": clash.mine,
                "theirs": clash.theirs,
                "mine_shown": form_document.shown_value(clash.path, clash.mine),
                "theirs_shown": form_document.shown_value(clash.path, clash.theirs),
            }
            for clash in clashes
        ],
    )


def _moved_on(alert: Alert) -> Conflict:
    return Conflict(
        "moved_on",
        f"Tin đã được gửi duyệt hoặc duyệt (bản {alert.version}) trong lúc bạn sửa, nên phần bạn"
        " sửa chưa được lưu. Lưu phần đó sẽ đưa tin về bản nháp và phải duyệt lại.",
        f"The alert was sent for approval or approved (version {alert.version}) while you were"
        " writing, so what you wrote is not saved. Saving it takes the alert back to a draft,"
        " to be approved again.",
        version=alert.version,
        state=alert.state.value,
    )
