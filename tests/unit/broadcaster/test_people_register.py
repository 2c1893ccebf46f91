import re
from datetime import timedelta

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import Refused
from broadcaster.keyring import Keyring
from broadcaster.people import claims, endpoints
from broadcaster.people.problems import InvalidRegistration
from broadcaster.people.register import (
    UNVERIFIED_KEPT,
    Place,
    Registration,
    forget_unverified,
    leave,
    register,
)
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import (
    BA_DINH,
    NGOC_HA,
    NOW,
    endpoint_of,
    registration,
    unit_id,
)

PHONE = ("sms", "0912 345 678")


async def codes(conn: Conn) -> list[str]:
    rows = await conn.fetch("SELECT content::text FROM direct_message ORDER BY message_id")
    return [re.findall(r"\d{6}", row[0])[0] for row in rows]


async def prove(pool: Pool, conn: Conn, keyring: Keyring, receipt: object) -> list[str]:
    """Give back the codes of the newest registration."""
    under_way = receipt.claims  # type: ignore[attr-defined]
    newest = (await codes(conn))[-len(under_way) :]
    return [
        await claims.verify(pool, keyring, NOW, claim.claim_id, code)
        for claim, code in zip(under_way, newest, strict=True)
    ]


async def test_somebody_registers_proves_every_address_and_is_reached(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    told = registration(
        PHONE, ("email", "An@Dan.example"), ("push", "fid:" + "a" * 22),
        name="Nguyễn Văn An", watched=(Place(unit_code=NGOC_HA, label="mẹ"),),
    )  # fmt: skip
    receipt = await register(conn, keyring, units, NOW, told)
    assert [claim.channel for claim in receipt.claims] == ["sms", "email", "push"]
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'active'") == 0
    tokens = await prove(pool, conn, keyring, receipt)
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'active'") == 3
    person = await conn.fetchrow("SELECT person_id, public_id, name_enc FROM person")
    assert person["public_id"] == receipt.public_id
    assert await claims.person_of(conn, keyring, NOW, tokens[0]) == person["person_id"]
    name = keyring.unseal(person["name_enc"], "person", "name_enc", person["person_id"])
    assert name.decode() == "Nguyễn Văn An"
    places = await conn.fetch("SELECT place_no, unit_id, by_unit_only FROM person_place ORDER BY 1")
    assert [tuple(place) for place in places] == [
        (0, await unit_id(conn, BA_DINH), False), (1, await unit_id(conn, NGOC_HA), True),
    ]  # fmt: skip


async def test_no_address_and_no_code_is_stored_in_clear(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await register(conn, keyring, units, NOW, registration(PHONE, name="Bí Mật"))
    [code] = await codes(conn)
    for table in ("endpoint", "endpoint_claim", "person", "person_place"):
        stored = " ".join(
            str(value).lower()
            for row in await conn.fetch(f"SELECT * FROM {table}")
            for value in row.values()
        )
        assert "912345678" not in stored
        assert "bí mật" not in stored
        assert code not in re.findall(r"\b\d{6}\b", stored)
    sealed = await conn.fetchrow("SELECT endpoint_id, address_enc FROM endpoint")
    opened = keyring.unseal(sealed["address_enc"], "endpoint", "address_enc", sealed["endpoint_id"])
    assert opened == b"+84912345678"


async def test_every_problem_is_told_at_once_with_its_field(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    wrong = Registration(
        home=Place(100.0, 10.0), endpoints=(("sms", "024 3826 1234"), ("email", "x")),
        consent_at=None, consent_source="  ", lang="fr",
        watched=(
            Place(unit_code="99999", label="a"), Place(label="b"),
            Place(float("nan"), 21.0, label="c"), Place(lon=105.8, label="d"),
        ),
    )  # fmt: skip
    with pytest.raises(InvalidRegistration) as refused:
        await register(conn, keyring, units, NOW, wrong)
    assert {(p.field, p.code) for p in refused.value.problems} == {
        ("lang", "lang_unknown"), ("consent_at", "consent_missing"),
        ("consent_source", "consent_missing"), ("home", "point_outside"),
        ("watched[0]", "unit_unknown"), ("watched[1]", "place_missing"),
        ("watched[2]", "point_invalid"), ("watched[3]", "point_invalid"),
        ("endpoints[0]", "phone_landline"), ("endpoints[1]", "email_invalid"),
    }  # fmt: skip
    assert "ngoài địa bàn" in refused.value.message("vi")
    assert await conn.fetchval("SELECT count(*) FROM person") == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"endpoints": ()}, "endpoint_missing"),
        ({"consent_at": NOW + timedelta(hours=1)}, "consent_ahead"),
        ({"consent_at": NOW.replace(tzinfo=None)}, "consent_missing"),
        (
            {"watched": tuple(Place(unit_code=BA_DINH, label=f"{n}") for n in range(6))},
            "too_many_places",
        ),
        ({"watched": (Place(unit_code=BA_DINH),)}, "label_missing"),
    ],
)
async def test_a_registration_lacks_one_thing(
    conn: Conn, keyring: Keyring, units: UnitMap, change: dict[str, object], code: str
) -> None:
    with pytest.raises(InvalidRegistration) as refused:
        await register(conn, keyring, units, NOW, registration(PHONE, **change))
    assert [problem.code for problem in refused.value.problems] == [code]


async def test_a_known_address_is_answered_as_a_new_one_and_linked_when_proven(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    first = await register(conn, keyring, units, NOW, registration(PHONE, lang="en"))
    await prove(pool, conn, keyring, first)
    endpoint = await endpoint_of(conn, keyring, "sms", "+84912345678")
    assert await conn.fetchval("SELECT lang::text FROM endpoint") == "en"
    second = await register(conn, keyring, units, NOW, registration(("sms", "+84912345678")))
    assert [(c.channel, c.expires_at) for c in second.claims] == [
        (c.channel, c.expires_at) for c in first.claims
    ]
    assert await conn.fetchval("SELECT count(*) FROM person_endpoint") == 1
    await prove(pool, conn, keyring, second)
    linked = await conn.fetch("SELECT endpoint_id FROM person_endpoint")
    assert [row["endpoint_id"] for row in linked] == [endpoint, endpoint]
    # One in the household does not read English.
    assert await conn.fetchval("SELECT lang::text FROM endpoint") == "vi"


async def test_wrong_codes_are_counted_and_a_used_or_late_one_is_refused(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    receipt = await register(conn, keyring, units, NOW, registration(PHONE, ("email", "a@b.vn")))
    (phone, mail), (right, other) = receipt.claims, await codes(conn)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(claims.TRIES):
        with pytest.raises(Refused):
            await claims.verify(pool, keyring, NOW, phone.claim_id, wrong)
    with pytest.raises(Refused):
        await claims.verify(pool, keyring, NOW, phone.claim_id, right)
    with pytest.raises(Refused):
        await claims.verify(pool, keyring, NOW + claims.VALID, mail.claim_id, other)
    await claims.verify(pool, keyring, NOW, mail.claim_id, f" {other} ")
    with pytest.raises(Refused):
        await claims.verify(pool, keyring, NOW, mail.claim_id, other)


async def test_a_stranger_is_not_pestered_with_codes(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    for _ in range(claims.CODES_AN_HOUR + 2):
        receipt = await register(conn, keyring, units, NOW, registration(PHONE))
        assert len(receipt.claims) == 1
    assert len(await codes(conn)) == claims.CODES_AN_HOUR
    later = NOW + timedelta(hours=1, seconds=1)
    await register(conn, keyring, units, later, registration(PHONE))
    assert len(await codes(conn)) == claims.CODES_AN_HOUR + 1


async def test_who_leaves_is_forgotten_but_not_the_household(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    both = await register(conn, keyring, units, NOW, registration(PHONE, ("email", "an@dan.vn")))
    [token, _] = await prove(pool, conn, keyring, both)
    other = await register(conn, keyring, units, NOW, registration(PHONE, lang="en"))
    await prove(pool, conn, keyring, other)
    person = await claims.person_of(conn, keyring, NOW, token)
    assert person is not None
    await leave(conn, NOW, person)
    await leave(conn, NOW + timedelta(days=1), person)
    assert await claims.person_of(conn, keyring, NOW, token) is None
    rows = await conn.fetch(
        "SELECT channel::text, state::text, lang::text, address_enc = '' FROM endpoint ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("email", "retired", "vi", True), ("sms", "active", "en", False),
    ]  # fmt: skip
    gone = await conn.fetchrow(
        "SELECT p.left_at, p.name_enc, c.withdrawn_at FROM person p JOIN consent c"
        " USING (person_id) WHERE person_id = $1", person,
    )  # fmt: skip
    assert tuple(gone) == (NOW, None, NOW)
    places = await conn.fetchval("SELECT count(*) FROM person_place WHERE person_id = $1", person)
    assert places == 0


async def test_an_erased_address_can_come_back(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    [token] = await prove(
        pool, conn, keyring, await register(conn, keyring, units, NOW, registration(PHONE))
    )
    await leave(conn, NOW, await claims.person_of(conn, keyring, NOW, token) or 0)
    again = await register(conn, keyring, units, NOW, registration(PHONE))
    await prove(pool, conn, keyring, again)
    row = await conn.fetchrow("SELECT endpoint_id, state::text, address_enc FROM endpoint")
    assert row["state"] == "active"
    opened = keyring.unseal(row["address_enc"], "endpoint", "address_enc", row["endpoint_id"])
    assert opened == b"+84912345678"


async def test_an_address_sealed_with_an_old_secret_is_the_same_endpoint(conn: Conn) -> None:
    old, new = Keyring("o" * 40), Keyring("n" * 40, ["o" * 40])
    address = endpoints.Address("sms", "+84912345678")
    endpoint = await endpoints.ensure(conn, old, NOW, address)
    assert await endpoints.ensure(conn, new, NOW, address) == endpoint
    row = await conn.fetchrow("SELECT hash_key_id, address_hash FROM endpoint")
    assert tuple(row) == (new.key_id, new.address_hash("sms", "+84912345678"))


async def test_retiring_is_counted_once_and_a_proof_brings_back(conn: Conn) -> None:
    keyring = Keyring("k" * 40)
    endpoint = await endpoints.ensure(conn, keyring, NOW, endpoints.Address("sms", "+84912345678"))
    assert await endpoints.retire(conn, NOW, [endpoint], "unknown subscriber") == 1
    assert await endpoints.retire(conn, NOW, [endpoint], "again") == 0
    assert await conn.fetchval("SELECT retired_reason FROM endpoint") == "unknown subscriber"
    await endpoints.activate(conn, endpoint)
    row = await conn.fetchrow("SELECT state::text, retired_at, retired_reason FROM endpoint")
    assert tuple(row) == ("active", None, None)


async def test_who_proves_no_address_is_not_counted_and_forgotten_in_a_day(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    async def counted() -> int:
        area = {"units": [{"code": BA_DINH, "vintage": "2025-07-01"}]}
        return await Selector().people(conn, NOW, area)

    given = registration(("sms", "0912345678"), ("email", "an@hn.example"), name="An")
    stranger = await register(conn, keyring, units, NOW, given)
    assert await counted() == 0
    owner = await register(conn, keyring, units, NOW, registration(("sms", "0912345678")))
    await prove(pool, conn, keyring, owner)
    assert await counted() == 1
    last = NOW + claims.VALID + UNVERIFIED_KEPT
    assert await forget_unverified(conn, last - timedelta(seconds=1)) == 0
    assert await forget_unverified(conn, last) == 1
    assert await forget_unverified(conn, last) == 0
    [gone] = await conn.fetch(
        "SELECT person_id, left_at, name_enc FROM person WHERE public_id = $1", stranger.public_id
    )
    assert (gone["left_at"], gone["name_enc"]) == (last, None)
    for table in ("consent", "person_place", "endpoint_claim"):
        left = await conn.fetchval(
            f"SELECT count(*) FROM {table} WHERE person_id = $1", gone["person_id"]
        )
        assert left == 0
    # The number is its owner's; the address was nobody's.
    assert await conn.fetch("SELECT channel::text, state::text FROM endpoint ORDER BY 1") == [
        ("email", "retired"), ("sms", "active"),
    ]  # fmt: skip
    assert await counted() == 1
