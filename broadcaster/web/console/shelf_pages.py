"""What pages of templates and of scenarios have in common: ids, states, review, withdrawal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.alerts import shelf
from broadcaster.alerts.shelf import Item, Kind, Version
from broadcaster.alerts.shelf_read import missing
from broadcaster.db import Conn, transaction
from broadcaster.people.officials import Actor, authority
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import CLOCK, POOL
from broadcaster.web.labels import mark

VERSION_STATES = {
    "draft": (mark("Being written"), "pencil"),
    "submitted": (mark("Waiting for review"), "hourglass"),
    "in_force": (mark("In force"), "circle-check"),
    "superseded": (mark("Replaced"), "history"),
}
PutInForce = Callable[[Conn, Actor, datetime, int, int, int], Awaitable[object]]
"""Takes the id of the document, the version and the revision that were on the screen."""


def on_the_screen(fields: Mapping[str, Any]) -> tuple[int, int]:
    """Return the version and the revision a form was shown with; raises Refused."""
    return (
        posted_number(str(fields.get("version", "")), "version"),
        posted_number(str(fields.get("revision", "")), "revision"),
    )


async def may(conn: Conn, actor: Actor, item: Item, version: Version) -> dict[str, bool]:
    """Say what an official may do with a version: nobody reviews what they wrote or sent."""
    wrote = actor.official_id in (*version.writers, version.submitted_by)
    return {
        "may_write": item.unit_id in await authority(conn, actor, "author"),
        "may_review": item.unit_id in await authority(conn, actor, "approver") and not wrote,
    }


@dataclass(frozen=True, slots=True)
class Shelf:
    """The pages of one kind of document."""

    kind: Kind
    address: str

    def item_id(self, request: web.Request) -> int:
        """Return the id in the path; raises NotFound for anything else."""
        text = request.match_info["id"]
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise missing(self.kind)
        return int(text)

    async def review(self, request: web.Request, put_in_force: PutInForce) -> web.Response:
        """Put the version on the screen in force, or return it with a reason."""
        fields, item_id = await request.post(), self.item_id(request)
        number, revision = on_the_screen(fields)
        actor, now = frame.actor_of(request), request.app[CLOCK]()
        async with transaction(request.app[POOL]) as conn:
            if fields.get("decision") == "return":
                reason = str(fields.get("reason", ""))
                await shelf.send_back(conn, actor, now, self.kind, item_id, number, reason)
            else:
                await put_in_force(conn, actor, now, item_id, number, revision)
        raise web.HTTPSeeOther(f"{self.address}/{item_id}")

    async def withdraw(self, request: web.Request) -> web.Response:
        """Take a document out of force; its versions stay."""
        item_id = self.item_id(request)
        actor, now = frame.actor_of(request), request.app[CLOCK]()
        async with transaction(request.app[POOL]) as conn:
            await shelf.withdraw(conn, actor, now, self.kind, item_id)
        raise web.HTTPSeeOther(f"{self.address}/{item_id}")
