from datetime import date

import pytest

from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import (
    Role,
    authority,
    create_official,
    find_actor,
    require,
    root_ids,
)
from broadcaster.people.units import UnitMap, groups_of
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, PASSWORD, official, unit_id


async def test_a_role_at_a_unit_reaches_its_subtree_and_nothing_else(
    conn: Conn, units: UnitMap
) -> None:
    [root] = await root_ids(conn)
    ward = await unit_id(conn, BA_DINH)
    actor = await official(conn, "ba", Role("author", ward), Role("monitor", root))
    assert await authority(conn, actor, "author") == {ward}
    assert len(await authority(conn, actor, "monitor")) == 127
    assert await authority(conn, actor, "approver") == frozenset()


async def test_a_role_at_a_group_reaches_its_members(conn: Conn, units: UnitMap) -> None:
    group = (await groups_of(conn))[0]
    actor = await official(conn, "quan", Role("approver", group_id=group.group_id))
    assert await authority(conn, actor, "approver") == set(group.shares)


async def test_a_unit_that_is_no_more_is_not_reached(conn: Conn, units: UnitMap) -> None:
    ward = await unit_id(conn, BA_DINH)
    actor = await official(conn, "cu", Role("author", ward))
    await conn.execute("UPDATE unit SET valid_to = $2 WHERE unit_id = $1", ward, date(2025, 12, 31))
    assert await authority(conn, actor, "author") == frozenset()


async def test_require_names_the_units_beyond_reach(conn: Conn, units: UnitMap) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    actor = await official(conn, "mot", Role("staff", ward))
    await require(conn, actor, "staff", [ward])
    with pytest.raises(NotAllowed) as refused:
        await require(conn, actor, "staff", [ward, other])
    assert refused.value.details["units"] == [other]
    with pytest.raises(NotAllowed):
        await require(conn, actor, "admin", [])


async def test_an_admin_makes_officials_only_within_reach(conn: Conn, units: UnitMap) -> None:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    admin = await official(conn, "quantri", Role("admin", ward))
    made = await create_official(
        conn, admin, NOW, login=" Moi ", name="Mới", password=PASSWORD,
        roles=[Role("author", ward)],
    )  # fmt: skip
    assert made == await find_actor(conn, "MOI")
    for roles in ([Role("author", other)], [Role("author", group_id=1)]):
        with pytest.raises(NotAllowed):
            await create_official(
                conn, admin, NOW, login="xa", name="Xa", password=PASSWORD, roles=roles
            )


async def test_a_login_is_taken_once_and_a_short_password_refused(conn: Conn) -> None:
    await official(conn, "trung")
    with pytest.raises(Conflict):
        await official(conn, "trung")
    with pytest.raises(Refused, match="at least"):
        await create_official(conn, None, NOW, login="ngan", name="Ngắn", password="123456789")
