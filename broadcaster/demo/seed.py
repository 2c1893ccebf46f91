"""The seeded city: units, officials of every level, residents, and notices of the past weeks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from broadcaster.alerts import escalation
from broadcaster.cadence.history import seed_history
from broadcaster.db import Conn, Pool
from broadcaster.demo import prepared
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints, enrolment, enrolment_codes
from broadcaster.people.addresses import normalise
from broadcaster.people.officials import Role, create_official, find_actor
from broadcaster.people.synth import synth
from broadcaster.people.units import load_map, seed_units

PASSWORD = "canh-bao-ha-noi"  # noqa: S105 - the demo's own, printed at its start
FACTOR_SECRET = "CANHBAOHANOICANHBAOHANOICANHBAOH"  # noqa: S105 - as the password
"""What the demo's approvers have on their phones; `lan` has none, to show how one enrols."""
ENROLMENT_CODE = "CANH-BAOH-ANOI"
"""What an administrator of the demo has given to everybody else, to enrol with."""
ENROLLED = ("tuan", "mai")
PHONES = {"tuan": "0990000001", "mai": "0990000002", "lan": "0990000003"}
"""Numbers of the approvers, to be asked and called at; no resident of the demo has one like it."""
STANDS_IN, NAMED_BY = "mai", "anna"
"""Who is asked for the city when its own approver does not answer, and who named them."""
SEED = 20260910

CITY, FORMER_DISTRICT, COMMUNE = "01", "003", "00091"
"""Hà Nội; the former district of Tây Hồ; the ward of Phú Thượng."""


@dataclass(frozen=True, slots=True)
class DemoOfficial:
    """One account of the demo."""

    login: str
    name: str
    title: str
    roles: tuple[str, ...]
    where: str
    lang: str = "vi"


OFFICIALS = (
    DemoOfficial("ha", "Lê Thu Hà", "Trực ban thành phố", ("author", "staff"), CITY),
    DemoOfficial("tuan", "Trần Quốc Tuấn", "Phó Trưởng ban, người duyệt",
                 ("approver", "author", "staff", "monitor"), CITY),
    DemoOfficial("dung", "Phạm Văn Dũng", "Khu vực Tây Hồ (cũ)", ("author", "staff"),
                 FORMER_DISTRICT),
    DemoOfficial("mai", "Nguyễn Thị Mai", "Khu vực Tây Hồ (cũ), người duyệt",
                 ("approver", "staff"), FORMER_DISTRICT),
    DemoOfficial("long", "Vũ Đức Long", "Cán bộ phường", ("author", "staff"), COMMUNE),
    DemoOfficial("lan", "Đỗ Thị Lan", "Chủ tịch phường, người duyệt", ("approver", "staff"),
                 COMMUNE),
    DemoOfficial("anna", "Anna Nguyen", "Administrator", ("admin", "monitor"), CITY, "en"),
)  # fmt: skip


async def seed(
    pool: Pool, keyring: Keyring, now: datetime, people: int, progress: Callable[[int], None]
) -> int:
    """Bring a database up to a seeded city of `people`; what is there is kept. Returns people."""
    async with pool.acquire() as conn:
        await seed_units(conn, now)
        await _officials(conn, keyring, now)
        await _on_call(conn, keyring, now)
        known: int = await conn.fetchval("SELECT count(*) FROM person")
        if not await conn.fetchval("SELECT EXISTS (SELECT FROM notice)"):
            await seed_history(conn, now, seed=SEED)
        await prepared.prepare(conn, now)
    progress(min(known, people))
    if known < people:
        async with pool.acquire() as conn:
            units = await load_map(conn)
        await synth(pool, keyring, units, now, people - known, SEED + known, progress)
    async with pool.acquire() as conn:
        await conn.execute("ANALYZE")
    return max(known, people)


async def _officials(conn: Conn, keyring: Keyring, now: datetime) -> None:
    known = {row["login"] for row in await conn.fetch("SELECT login FROM official")}
    for official in OFFICIALS:
        if official.login in known:
            await _may_enrol(conn, keyring, now, official.login)
            continue
        unit_id = await conn.fetchval(
            "SELECT unit_id FROM unit WHERE code = $1 AND valid_to IS NULL", official.where
        )
        group_id = await conn.fetchval(
            "SELECT group_id FROM unit_group WHERE code = $1", official.where
        )
        at_group = official.where == FORMER_DISTRICT
        roles = [
            Role(role, None if at_group else unit_id, group_id if at_group else None)
            for role in official.roles
        ]
        made = await create_official(
            conn, None, now, login=official.login, name=official.name, title=official.title,
            password=PASSWORD, lang=official.lang, roles=roles,
        )  # fmt: skip
        if official.login in ENROLLED:
            await enrolment.enrol_known(conn, keyring, made.official_id, now, FACTOR_SECRET)
        await _may_enrol(conn, keyring, now, official.login)


async def _on_call(conn: Conn, keyring: Keyring, now: datetime) -> None:
    """Give the approvers numbers, and the city somebody who stands in; what is there stays."""
    for login, number in PHONES.items():
        phone = endpoints.Address("sms", normalise("sms", number))
        endpoint_id = await endpoints.ensure(conn, keyring, now, phone)
        who = await find_actor(conn, login)
        await endpoints.link_official(conn, now, who.official_id, endpoint_id)
    if not await escalation.substitutes(conn):
        city = await conn.fetchval(
            "SELECT unit_id FROM unit WHERE code = $1 AND valid_to IS NULL", CITY
        )
        await escalation.name_substitute(
            conn, await find_actor(conn, NAMED_BY), now, city, await find_actor(conn, STANDS_IN)
        )


async def _may_enrol(conn: Conn, keyring: Keyring, now: datetime, login: str) -> None:
    """Put the demo's code into force again for who has no phone yet: a kept city grows old."""
    official_id = await conn.fetchval(
        "SELECT official_id FROM official o WHERE login = $1 AND NOT EXISTS"
        " (SELECT FROM second_factor f WHERE f.official_id = o.official_id"
        "  AND f.enrolled_at IS NOT NULL)",
        login,
    )
    if official_id is not None:
        await enrolment_codes.give_known(conn, keyring, official_id, now, ENROLMENT_CODE)
