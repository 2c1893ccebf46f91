"""officials: accounts by hand: made, listed, roles, passwords, a lost second factor."""

from __future__ import annotations

import argparse
import getpass
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadcaster.alerts import escalation
from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.people import (
    endpoints,
    enrolment,
    enrolment_codes,
    officials,
    roles,
    second_factor,
    signin,
)
from broadcaster.people.addresses import normalise
from broadcaster.people.officials import ROLES, Actor, Role, find_actor
from broadcaster.terminal import say


def add_to(commands: Any) -> None:
    """Add the command and what it can do."""
    cmd = commands.add_parser("officials", help="accounts of officials: roles, passwords, factors")
    does = cmd.add_subparsers(dest="does", required=True, metavar="WHAT")
    does.add_parser("list", help="every account in use, its roles, its second factor").set_defaults(
        run=with_context(_list)
    )
    first = does.add_parser("first", help="make the city's first administrator; asks a password")
    first.add_argument("login")
    _described(first).set_defaults(run=with_context(_first))
    made = _described(
        _acting(does, "create", "make an account; the password is asked for", _create)
    )
    made.add_argument("--training", action="store_true", help="for exercises alone")
    for name, about, run in (
        ("grant", "give one more role", _grant),
        ("revoke", "take a role away, at once", _revoke),
    ):
        _place(_acting(does, name, about, _about(run))).add_argument(
            "--role", choices=ROLES, required=True
        )
    _acting(
        does, "password", "set a password, asked for, to choose their own with; ends every session",
        _password,
    )  # fmt: skip
    _acting(
        does, "enrolment-code", "print a code to enrol a phone with, once", _enrolment_code, False
    )
    for name, about, run, named in (
        ("reset-second-factor", "for a lost phone: they enrol anew", _reset, False),
        ("retire", "take the account out of use; ends every session", _retire, True),
    ):
        why = _acting(does, name, about, _about(run), named)
        why.add_argument("--reason", required=True, help="for the trail")
    way = _acting(does, "address", "where approval calls go", _address)
    way.add_argument("channel", choices=("sms", "email"))
    way.add_argument("address", help="a number or a mail address")
    for name, about, run in (
        ("substitute", "stand in for a unit's approvers who do not answer", _substitute),
        ("end-substitute", "stand in no longer", _end_substitute),
    ):
        one = _acting(does, name, about, _about(run))
        one.add_argument("--unit", required=True, metavar="CODE", help="code of a unit of today")


def _described(cmd: argparse.ArgumentParser) -> argparse.ArgumentParser:
    cmd.add_argument("--name", required=True, help="as it stands beside what they do")
    cmd.add_argument("--title", default="")
    cmd.add_argument("--lang", choices=("vi", "en"), default="vi")
    return cmd


def _acting(
    does: Any, name: str, about: str, run: Any, named: bool = True
) -> argparse.ArgumentParser:
    """Add what an administrator does; unless one must be `named`, the machine's own may do it."""
    cmd: argparse.ArgumentParser = does.add_parser(name, help=about)
    cmd.add_argument("login", help="of the official it is about")
    whose = "an administrator of the place"
    cmd.add_argument(
        "--as", required=named, dest="admin", metavar="LOGIN",
        help=whose if named else f"{whose}; left out, it is done by whoever runs this machine",
    )  # fmt: skip
    cmd.set_defaults(run=with_context(run))
    return cmd


def _place(cmd: argparse.ArgumentParser) -> argparse.ArgumentParser:
    place = cmd.add_mutually_exclusive_group(required=True)
    place.add_argument("--unit", metavar="CODE", help="code of a unit of today")
    place.add_argument("--group", metavar="CODE", help="code of a group of units")
    return cmd


async def _list(context: Context, given: Namespace) -> int:
    now = datetime.now(UTC)
    async with context.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT 'unit' AS kind, unit_id AS id, name FROM unit"
            " UNION ALL SELECT 'group', group_id, name FROM unit_group"
        )
        places = {(row["kind"], row["id"]): row["name"] for row in rows}
        for row in await conn.fetch("SELECT login FROM official WHERE active ORDER BY login"):
            actor = await find_actor(conn, row["login"])
            factor = await second_factor.standing(conn, actor.official_id, now)
            print(_line(actor, factor, places))
        for one in await escalation.substitutes(conn):
            print(f"stands in   {one['login']:<12} {one['unit']}")
    return 0


def _line(actor: Actor, factor: second_factor.Standing, places: dict[Any, str]) -> str:
    roles = ", ".join(
        f"{one.role} {places.get(('unit', one.unit_id)) or places.get(('group', one.group_id))}"
        for one in actor.roles
    )
    enrolled = f"second factor, {factor.recovery_left} codes" if factor.enrolled else "no factor"
    training = "  training" if actor.training else ""
    return f"{actor.login:<12} {actor.name}{training}  [{enrolled}]  {roles or 'no role'}"


async def _first(context: Context, given: Namespace) -> int:
    now, password = datetime.now(UTC), _asked_password()
    async with context.pool.acquire() as conn:
        tops = await officials.root_ids(conn)
        if not tops:
            raise Refused("no_units", "Chưa có đơn vị nào.", "Import the units first.")
        if await roles.has_city_admin(conn, tops):
            raise Refused(
                "not_the_first",
                "Đã có quản trị viên cấp thành phố; hãy nhờ người đó.",
                "There is an administrator of the city: have them make the account.",
            )
        made = await officials.create_official(
            conn, None, now, login=given.login, name=given.name, title=given.title,
            lang=given.lang, password=password, roles=[Role("admin", one) for one in tops],
        )  # fmt: skip
        code = await enrolment_codes.give(
            conn, context.keyring, None, now, made.official_id
        )  # fmt: skip
    say(f"{made.login} administers the city. Enrol a phone under “My account” with this code:")
    print(code)
    return 0


async def _enrolment_code(context: Context, given: Namespace) -> int:
    async with context.pool.acquire() as conn:
        admin, official = await _perhaps(conn, given.admin), await find_actor(conn, given.login)
        code = await enrolment_codes.give(
            conn, context.keyring, admin, datetime.now(UTC), official.official_id
        )
    say(f"Hand this to {official.name} in person. Good once, for 7 days:")
    print(code)
    return 0


async def _perhaps(conn: Conn, login: str | None) -> Actor | None:
    return None if login is None else await find_actor(conn, login)


@dataclass(frozen=True, slots=True)
class Act:
    """What an administrator does about an official."""

    conn: Conn
    admin: Any
    """An Actor; None where one need not be named and is not."""
    official: Actor
    now: datetime
    given: Namespace


def _about(work: Callable[[Act], Awaitable[str]]) -> Callable[[Context, Namespace], Any]:
    """Make a command of what is done about an official; it returns what to say."""

    async def run(context: Context, given: Namespace) -> int:
        async with context.pool.acquire() as conn:
            admin, official = await _perhaps(conn, given.admin), await find_actor(conn, given.login)
            say(await work(Act(conn, admin, official, datetime.now(UTC), given)))
        return 0

    return run


async def _unit(conn: Conn, code: str) -> int:
    found = await conn.fetchval(
        f"SELECT unit_id FROM unit WHERE code = $1 AND {officials.IN_FORCE}", code
    )
    if found is None:
        raise NotFound("no_unit", f"Không có đơn vị {code}.", f"There is no unit {code} today.")
    return int(found)


async def _role(conn: Conn, given: Namespace) -> Role:
    if given.unit:
        return Role(given.role, await _unit(conn, given.unit))
    found = await conn.fetchval("SELECT group_id FROM unit_group WHERE code = $1", given.group)
    if found is None:
        raise NotFound(
            "no_group", f"Không có nhóm {given.group}.", f"There is no group {given.group}."
        )
    return Role(given.role, None, found)


async def _create(context: Context, given: Namespace) -> int:
    now, password = datetime.now(UTC), _asked_password()
    async with context.pool.acquire() as conn:
        admin = await find_actor(conn, given.admin)
        await officials.require(conn, admin, "admin", ())
        await officials.create_official(
            conn, admin, now, login=given.login, name=given.name, title=given.title,
            lang=given.lang, training=given.training, password=password,
            password_until=now + signin.ONCE_HOLDS,
        )  # fmt: skip
    say(f"{given.login} is made; at sign-in, within 3 days, they choose a password of their own.")
    say(
        "Give roles with `officials grant`, a code for their phone with `officials enrolment-code`."
    )
    return 0


def _asked_password() -> str:
    """Ask for a new password twice; from a pipe, take its one line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first, again = getpass.getpass("New password: "), getpass.getpass("Once more: ")
    if first != again:
        raise Refused("passwords_differ", "Hai lần nhập khác nhau.", "They differ. Do it again.")
    return first


async def _grant(act: Act) -> str:
    await roles.grant(
        act.conn, act.admin, act.now, act.official.official_id, await _role(act.conn, act.given)
    )
    return f"{act.given.login}: {act.given.role} at {act.given.unit or act.given.group}"


async def _revoke(act: Act) -> str:
    await roles.revoke(
        act.conn, act.admin, act.now, act.official.official_id, await _role(act.conn, act.given)
    )
    return f"{act.given.login}: no longer {act.given.role} at {act.given.unit or act.given.group}"


async def _password(context: Context, given: Namespace) -> int:
    now, password = datetime.now(UTC), _asked_password()
    async with context.pool.acquire() as conn:
        admin, official = await find_actor(conn, given.admin), await find_actor(conn, given.login)
    await signin.set_password(context.pool, now, admin, official.official_id, password)
    say(
        f"{given.login} is signed out everywhere and signs in with it within 3 days, to choose one."
    )
    return 0


async def _reset(act: Act) -> str:
    await enrolment.reset(act.conn, act.admin, act.now, act.official.official_id, act.given.reason)
    return (
        f"{act.given.login} has no second factor now and enrols anew under “My account”, with a"
        " code\nfrom `officials enrolment-code`."
    )


async def _retire(act: Act) -> str:
    await signin.retire(act.conn, act.admin, act.now, act.official.official_id, act.given.reason)
    return f"{act.given.login} is out of use."


async def _address(context: Context, given: Namespace) -> int:
    now = datetime.now(UTC)
    address = endpoints.Address(given.channel, normalise(given.channel, given.address))
    async with context.pool.acquire() as conn, conn.transaction():
        admin, official = await find_actor(conn, given.admin), await find_actor(conn, given.login)
        await roles.require_admin_over(conn, admin, official)
        endpoint_id = await endpoints.ensure(conn, context.keyring, now, address)
        await endpoints.link_official(conn, now, official.official_id, endpoint_id)
    say(f"{given.login} is called by {given.channel}.")
    return 0


async def _substitute(act: Act) -> str:
    unit_id = await _unit(act.conn, act.given.unit)
    await escalation.name_substitute(act.conn, act.admin, act.now, unit_id, act.official)
    return f"{act.given.login} stands in at {act.given.unit} when nobody answers."


async def _end_substitute(act: Act) -> str:
    unit_id = await _unit(act.conn, act.given.unit)
    await escalation.end_substitute(act.conn, act.admin, act.now, unit_id, act.official)
    return f"{act.given.login} stands in at {act.given.unit} no longer."
