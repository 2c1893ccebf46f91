"""What a template asked for has to fit together, and the template may have a newer version."""

from __future__ import annotations

from broadcaster.alerts import template_store
from broadcaster.alerts.content import Content
from broadcaster.alerts.problem import Problem
from broadcaster.alerts.template_store import Chosen
from broadcaster.db import Conn
from templates import rivers
from templates.event import Event


def check_river(content: Content, event: Event) -> list[Problem]:
    """Advise where the water level and the river's alarm level do not go together."""
    return [
        Problem(one.code, False, f"values.{one.field}", one.message_vi, one.message_en)
        for one in rivers.disagreements(event, content.values)
    ]


async def check_newer(conn: Conn, content: Content, chosen: Chosen, unit_id: int) -> list[Problem]:
    """Advise where another version of the template holds by now than the one it is written from.

    `chosen` is what the draft is filled from. It never blocks: the older words were reviewed too.
    """
    if content.template is None:
        return []
    name = chosen.event.name
    if chosen.used.digest != content.template.digest:
        return [
            Problem(
                "template_gone", False, "template",
                f"Mẫu “{name.vi}” đã đổi sau khi viết tin này. Lời đã viết vẫn giữ; muốn có lời mới"
                " thì bấm “Lấy lại chữ của mẫu” ở từng ô.",
                f"The template “{name.en}” has changed since this was written. The words stay as"
                " they are; to have the new ones, press “Take the template's words” at each field.",
            )
        ]  # fmt: skip
    holds = await template_store.newer(conn, content, unit_id)
    if holds is None:
        return []
    was, now = content.template.version, holds.used.version
    return [
        Problem(
            "template_newer", False, "template",
            f"Mẫu “{name.vi}” có bản {now}, tin này viết theo bản {was}. Lấy bản mới rồi đọc lại;"
            " chữ bạn tự viết vẫn giữ.",
            f"The template “{name.en}” is at version {now}, this is written from version {was}."
            " Take the new one and read it again; your own words stay.",
        )
    ]  # fmt: skip
