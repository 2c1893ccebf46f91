"""The trail: who did what and when, looked through, and as a file."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from broadcaster import audit, spreadsheet
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people import officials, trail
from broadcaster.people.officials import Actor, Role
from broadcaster.people.trail import Act, Cursor, Filters
from broadcaster.web import formats, i18n
from broadcaster.web.collation import spelled
from broadcaster.web.console import frame, trail_words
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.geography import unit_name
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/audit"
_NAMES = ("official", "unit", "action", "alert", "from", "until")
_COLUMNS = ("at", "by", "login", "action", "what", "subject", "about", "detail")
_CURSOR = re.compile(r"(?P<at>[0-9T:.+Z-]{19,40})_(?P<id>[0-9]{1,18})", re.ASCII)


@routes.get(PAGE)
@official(*trail.ROLES)
async def listing(request: web.Request) -> web.StreamResponse:
    """Show a page of the trail that fits the terms in the address."""
    actor, given = frame.actor_of(request), _given(request)
    atlas = await request.app[GEOGRAPHY].atlas()
    page, problem = trail.Page((), None), None
    async with request.app[POOL].acquire() as conn:
        try:
            filters = await _filters(conn, given)
            page = await trail.acts(conn, actor, filters, _cursor(request.query.get("before", "")))
        except Refused as refusal:
            problem = refusal
        reach, _whole = await officials.reach_so_far(conn, actor, *trail.ROLES)
        return await frame.screen(
            request, conn, "audit.html", "audit", status_of(problem) if problem else 200,
            page=page, given={name: given.get(name, "") for name in _NAMES},
            asked=bool(given), query=urlencode(given), kinds=await _kinds(conn),
            units=atlas.of(reach), unit_name=unit_name, sentence=trail_words.sentence,
            icon_name=trail_words.icon_name,
            before=_written(page.before), guarded=await trail.guarded(conn),
            problem=problem.message(i18n.language()) if problem else "",
            wrong=problem.details.get("where", "") if problem else "",
        )  # fmt: skip


def _given(request: web.Request) -> dict[str, str]:
    said = {name: request.query.get(name, "").strip() for name in _NAMES}
    return {name: value for name, value in said.items() if value}


def _cursor(text: str) -> Cursor | None:
    """Return where the page before ended; anything else begins anew."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found["at"])
    except ValueError:
        return None
    return Cursor(at, int(found["id"])) if at.tzinfo else None


def _written(cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    return urlencode({"before": f"{cursor.at.isoformat()}_{cursor.audit_id}"})


async def _kinds(conn: Conn) -> list[tuple[str, str]]:
    """Return what may be asked for, by its words."""
    known = [(kind, trail_words.action_words(kind)) for kind in await trail.kinds(conn)]
    return sorted(known, key=lambda one: spelled(one[1]))


async def _filters(conn: Conn, given: dict[str, str]) -> Filters:
    """Read the terms; raises Refused naming the one that says nothing."""
    units = None
    if "unit" in given:
        there = Role("any", posted_number(given["unit"], "unit"))
        holding = Actor(0, "", "", "", "vi", False, (there,))
        units = await officials.authority_so_far(conn, holding, "any")
    return Filters(
        official_id=await _official(conn, given),
        unit_ids=units,
        action=given.get("action"),
        alert_id=await _alert(conn, given),
        since=_day(given, "from"),
        until=_day(given, "until", timedelta(days=1)),
    )


async def _official(conn: Conn, given: dict[str, str]) -> int | None:
    if "official" not in given:
        return None
    rows = await conn.fetch(
        "SELECT official_id, login = lower($1) AS exactly FROM official WHERE login = lower($1)"
        " OR unmarked(lower(name)) = unmarked(lower($1)) ORDER BY 2 DESC LIMIT 2",
        given["official"],
    )
    if not rows:
        raise Refused(
            "no_such_official",
            f"Không có cán bộ “{given['official']}”. Ghi đúng tên đăng nhập hoặc cả họ tên.",
            f"There is no official “{given['official']}”. Give the login or the whole name.",
            where="official",
        )
    if len(rows) > 1 and not rows[0]["exactly"]:
        raise Refused(
            "several_officials",
            f"Có nhiều người tên “{given['official']}”. Ghi tên đăng nhập.",
            f"Several are called “{given['official']}”. Give the login.",
            where="official",
        )
    found: int = rows[0]["official_id"]
    return found


async def _alert(conn: Conn, given: dict[str, str]) -> int | None:
    if "alert" not in given:
        return None
    found: int | None = await conn.fetchval(
        "SELECT alert_id FROM alert WHERE code = upper($1)", given["alert"]
    )
    if found is None:
        raise Refused(
            "no_such_alert",
            f"Không có tin “{given['alert']}”. Kiểm tra lại mã tin.",
            f"There is no alert “{given['alert']}”. Check its code.",
            where="alert",
        )
    return found


def _day(given: dict[str, str], name: str, later: timedelta = timedelta()) -> datetime | None:
    if name not in given:
        return None
    try:
        day = date.fromisoformat(given[name])
        return datetime.combine(day, time(), formats.HANOI) + later
    except (ValueError, OverflowError):
        raise Refused(
            "bad_day",
            f"“{given[name]}” không phải là ngày. Viết như 2026-09-10.",
            f"“{given[name]}” is no day. Write it as 2026-09-10.",
            where=name,
        ) from None


@routes.get(f"{PAGE}/{{audit_id:[0-9]{{1,18}}}}")
@official(*trail.ROLES)
async def one(request: web.Request) -> web.StreamResponse:
    """Show one act and all it says of itself."""
    actor, atlas = frame.actor_of(request), await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        act = await trail.act(conn, actor, int(request.match_info["audit_id"]))
        names = await _officials_named(conn, [act])
        return await frame.screen(
            request, conn, "audit_one.html", "audit", act=act,
            sentence=trail_words.sentence,
            icon_name=trail_words.icon_name, said=trail_words.said(act, atlas.name, names),
        )  # fmt: skip


async def _officials_named(conn: Conn, acts: list[Act]) -> dict[int, str]:
    rows = await conn.fetch(
        "SELECT official_id, name FROM official WHERE official_id = ANY($1)",
        list(trail_words.officials_in(acts)),
    )
    return {row["official_id"]: row["name"] for row in rows}


@routes.get(f"{PAGE}.csv")
@official(*trail.ROLES)
async def file(request: web.Request) -> web.StreamResponse:
    """Give everything that fits as CSV, written while it is read; the export is in the trail."""
    app, actor, given = request.app, frame.actor_of(request), _given(request)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        filters = await _filters(conn, given)
        await audit.record(
            conn, actor.official_id, app[CLOCK](), "audit.exported", "audit", None, **given
        )
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="audit.csv"',
                "Cache-Control": "no-store",
            }
        )
        await answer.prepare(request)
        await answer.write(spreadsheet.heading(_COLUMNS).encode())
        async for some in trail.every(conn, actor, filters):
            names = await _officials_named(conn, list(some))
            lines = [_line(act, trail_words.said(act, atlas.name, names)) for act in some]
            await answer.write(spreadsheet.lines(lines).encode())
    await answer.write_eof()
    return answer


def _line(act: Act, said: list[tuple[str, str]]) -> tuple[Any, ...]:
    return (
        formats.iso(act.at), act.by or "", act.login or "", act.action,
        trail_words.action_words(act.action), act.subject, act.about or "",
        "; ".join(f"{name}: {value}" for name, value in said),
    )  # fmt: skip
