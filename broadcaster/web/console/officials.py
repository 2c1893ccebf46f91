"""Officials: who works where, and what an administrator of the place does to their accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from multidict import MultiMapping

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.people import (
    enrolment,
    enrolment_codes,
    officials,
    officials_list,
    roles,
    signin,
)
from broadcaster.people.officials import ROLES, Actor, Role
from broadcaster.people.officials_list import Account, Filters
from broadcaster.people.roles import AdminReach
from broadcaster.web import i18n
from broadcaster.web.collation import spelled
from broadcaster.web.console import frame, trail_words
from broadcaster.web.console.account import ROLE_WORDS
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.geography import Atlas, group_name, unit_name
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/officials"
ONE = f"{PAGE}/{{login}}"
_FILTERS = ("q", "unit", "role", "show")
_ACTS = 15
_TYPED = ("login", "name", "title", "lang", "role", "place")


@routes.get(PAGE)
@official("admin")
async def listing(request: web.Request) -> web.StreamResponse:
    """Show the accounts within reach, searched and filtered."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    given = {name: request.query[name] for name in _FILTERS if request.query.get(name)}
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        reach = await roles.admin_reach(conn, actor)
        page = await officials_list.listing(
            conn, actor, now, await _filters(conn, given), request.query.get("after", "")
        )
        return await frame.screen(
            request, conn, "officials.html", "officials", page=page,
            given={name: given.get(name, "") for name in _FILTERS}, asked=bool(given),
            counts=await officials_list.counts(conn, actor), query=urlencode(given),
            units=atlas.of(reach.units), unit_name=unit_name, me=actor.official_id,
            held=lambda one: _held(atlas, one.roles), role_words=_role_words(),
        )  # fmt: skip


async def _filters(conn: Conn, given: MultiMapping[Any] | dict[str, str]) -> Filters:
    unit, show = given.get("unit", ""), given.get("show", "")
    units = None
    if unit:
        # The unit and all under it: as somebody with a role there would reach.
        there = Role("any", posted_number(unit, "unit"))
        units = await officials.authority(conn, _holding(there), "any")
    return Filters(
        words=given.get("q", ""),
        unit_ids=units,
        role=given.get("role") if given.get("role") in ROLES else None,
        without_factor=show == "without-factor",
        retired=show == "retired",
    )


def _holding(role: Role) -> Actor:
    return Actor(0, "", "", "", "vi", False, (role,))


def _role_words() -> dict[str, str]:
    return {role: _(ROLE_WORDS[role]) for role in ROLES}


def _namer(atlas: Atlas) -> Callable[[Role], str]:
    groups = {group.group_id: group_name(group) for group in atlas.groups}
    return lambda role: (
        atlas.name(role.unit_id) if role.unit_id else groups.get(role.group_id or 0, "?")
    )


def _held(atlas: Atlas, held: tuple[Role, ...]) -> list[tuple[str, str]]:
    """Return what somebody may do where, each place once."""
    name_of, by_place = _namer(atlas), dict[str, list[str]]()
    for role in held:
        by_place.setdefault(name_of(role), []).append(_(ROLE_WORDS[role.role]))
    return [(place, ", ".join(words)) for place, words in by_place.items()]


def _places(atlas: Atlas, reach: AdminReach) -> list[tuple[str, str]]:
    """Return where a role may be given: the units and the groups that lie within reach."""
    units = [(f"u{unit.unit_id}", unit_name(unit)) for unit in atlas.of(reach.units)]
    groups = [
        (f"g{group.group_id}", group_name(group))
        for group in atlas.groups
        if reach.covers((Role("author", group_id=group.group_id),))
    ]
    return units + sorted(groups, key=lambda one: spelled(one[1]))


def _posted_role(fields: MultiMapping[Any]) -> Role:
    """Read a role and its place; raises Refused."""
    role, place = str(fields.get("role", "")), str(fields.get("place", ""))
    if role not in ROLES or place[:1] not in ("u", "g"):
        raise Refused(
            "role_missing",
            "Chọn vai trò và nơi giữ vai trò đó.",
            "Choose a role and where it is held.",
        )
    number = posted_number(place[1:], "place")
    return Role(role, number, None) if place[0] == "u" else Role(role, None, number)


@routes.get(f"{PAGE}/new")
@official("admin")
async def form(request: web.Request) -> web.StreamResponse:
    """Ask who is to have an account."""
    return await _form(request)


async def _form(request: web.Request, refusal: Refused | None = None) -> web.Response:
    fields = await request.post() if request.method == "POST" else {}
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        reach = await roles.admin_reach(conn, frame.actor_of(request))
        return await frame.screen(
            request, conn, "officials_new.html", "officials",
            status_of(refusal) if refusal else 200, places=_places(atlas, reach),
            typed={name: str(fields.get(name, "")) for name in _TYPED},
            training=bool(fields.get("training")), role_words=_role_words(),
            problem=refusal.message(i18n.language()) if refusal else "",
        )  # fmt: skip


@routes.post(f"{PAGE}/new")
@official("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Make an account; its password and its code to enrol stand on this answer and nowhere else."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    now, password = app[CLOCK](), signin.new_password()
    typed = {name: str(fields.get(name, "")).strip() for name in _TYPED}
    try:
        _complete(typed)
        async with app[POOL].acquire() as conn, conn.transaction():
            made = await officials.create_official(
                conn, actor, now, login=typed["login"], name=typed["name"], title=typed["title"],
                lang="en" if typed["lang"] == "en" else "vi", training="training" in fields,
                roles=[_posted_role(fields)], password=password,
                password_until=now + signin.ONCE_HOLDS,
            )  # fmt: skip
            code = await enrolment_codes.give(conn, app[KEYRING], actor, now, made.official_id)
    except Refused as refusal:
        return await _form(request, refusal)
    return await _secrets(request, made.login, password=password, code=code)


def _complete(typed: dict[str, str]) -> None:
    if not typed["login"] or not typed["name"] or any(one.isspace() for one in typed["login"]):
        raise Refused(
            "account_incomplete",
            "Ghi họ tên và tên đăng nhập; tên đăng nhập không có dấu cách.",
            "Give the name and a login; a login has no spaces.",
        )
    if typed["login"].lower() == "new":
        # Its page would be this form's.
        raise Refused(
            "login_reserved",
            "Không dùng được tên đăng nhập “new”; hãy chọn tên khác.",
            "The login “new” cannot be used; choose another.",
        )


async def _secrets(request: web.Request, login: str, **made: str) -> web.Response:
    """Show what was made up for somebody, this once."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        return await frame.screen(
            request, conn, "officials_secrets.html", "officials",
            account=await officials_list.one(conn, actor, now, login),
            password=made.get("password", ""), code=made.get("code", ""),
        )  # fmt: skip


@routes.get(ONE)
@official("admin")
async def one(request: web.Request) -> web.StreamResponse:
    """Show one account."""
    return await _one(request)


async def _one(request: web.Request, refusal: Refused | None = None) -> web.Response:
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        account = await officials_list.one(conn, actor, now, request.match_info["login"])
        reach = await roles.admin_reach(conn, actor)
        own = account.official_id == actor.official_id
        return await frame.screen(
            request, conn, "officials_one.html", "officials",
            status_of(refusal) if refusal else 200, account=account, own=own,
            may=account.mine and not own, place_of=_namer(atlas), places=_places(atlas, reach),
            role_words=_role_words(), may_take=lambda role: reach.covers((role,)),
            done=request.query.get("done", ""), address=_address(account.login),
            acts=await audit.trail(conn, "official", account.official_id, _ACTS),
            sentence=trail_words.sentence,
            problem=refusal.message(i18n.language()) if refusal else "",
        )  # fmt: skip


def _address(login: str) -> str:
    return f"{PAGE}/{quote(login, safe='')}"


Act = Callable[[web.Request, Account, MultiMapping[Any]], Awaitable[None]]


async def _do(request: web.Request, act: Act, done: str) -> web.StreamResponse:
    """Do something to an account and go back to it; a refusal is told there."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        account = await officials_list.one(conn, actor, now, request.match_info["login"])
    try:
        await act(request, account, await request.post())
    except Refused as refusal:
        return await _one(request, refusal)
    try:
        async with request.app[POOL].acquire() as conn:
            await officials_list.one(conn, actor, now, account.login)
    except NotFound:
        # Without the role that was taken they are somebody else's to administer.
        raise web.HTTPSeeOther(PAGE) from None
    raise web.HTTPSeeOther(f"{_address(account.login)}?done={done}")


async def _change_role(
    request: web.Request, change: Callable[[Conn, Actor, datetime, int, Role], Awaitable[Actor]]
) -> web.StreamResponse:
    async def act(request: web.Request, account: Account, fields: MultiMapping[Any]) -> None:
        actor, now = frame.actor_of(request), request.app[CLOCK]()
        async with request.app[POOL].acquire() as conn:
            await change(conn, actor, now, account.official_id, _posted_role(fields))

    return await _do(request, act, "roles")


@routes.post(f"{ONE}/grant")
@official("admin")
async def grant(request: web.Request) -> web.StreamResponse:
    """Give one more role."""
    return await _change_role(request, roles.grant)


@routes.post(f"{ONE}/revoke")
@official("admin")
async def revoke(request: web.Request) -> web.StreamResponse:
    """Take a role away."""
    return await _change_role(request, roles.revoke)


@routes.post(f"{ONE}/password")
@official("admin")
async def password(request: web.Request) -> web.StreamResponse:
    """Make up a password, shown this once."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        account = await officials_list.one(conn, actor, now, request.match_info["login"])
    try:
        made = await signin.give_password(request.app[POOL], now, actor, account.official_id)
    except Refused as refusal:
        return await _one(request, refusal)
    return await _secrets(request, account.login, password=made)


@routes.post(f"{ONE}/second-factor")
@official("admin")
async def factor(request: web.Request) -> web.StreamResponse:
    """Take a second factor away where there is one, and show a code to enrol anew, this once."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    now = app[CLOCK]()
    async with app[POOL].acquire() as conn:
        account = await officials_list.one(conn, actor, now, request.match_info["login"])
        try:
            if account.enrolled_at is not None:
                reason = str(fields.get("reason", ""))
                await enrolment.reset(conn, actor, now, account.official_id, reason)
            code = await enrolment_codes.give(conn, app[KEYRING], actor, now, account.official_id)
        except Refused as refusal:
            return await _one(request, refusal)
    return await _secrets(request, account.login, code=code)


@routes.post(f"{ONE}/retire")
@official("admin")
async def retire(request: web.Request) -> web.StreamResponse:
    """Take the account out of use."""

    async def act(request: web.Request, account: Account, fields: MultiMapping[Any]) -> None:
        actor, now = frame.actor_of(request), request.app[CLOCK]()
        reason = str(fields.get("reason", ""))
        async with request.app[POOL].acquire() as conn:
            await signin.retire(conn, actor, now, account.official_id, reason)

    return await _do(request, act, "retired")
