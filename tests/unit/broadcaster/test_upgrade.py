"""A database of before digests, dead letters and moments of deliveries, brought up in mid-send."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from broadcaster import db
from broadcaster.alerts.content import canonical, parse
from broadcaster.db import Conn, Pool
from broadcaster.fanout import audience, claims, reader, record, retention
from broadcaster.fanout.proof import digest
from broadcaster.fanout.reasons import family_of
from broadcaster.fanout.record import HOLDS
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from broadcaster.people.selection import Selector
from broadcaster.people.units import seed_units
from tests.unit.broadcaster.city import BA_DINH, alert, unit_id
from tests.unit.broadcaster.sending import TABLE, endpoints
from tests.unit.broadcaster.site import BA_DINH_AREA

BEFORE = "0010"
NOW = datetime.now(UTC)
BEGAN, CHANGED = NOW - timedelta(minutes=20), NOW - timedelta(minutes=19)
ENDED = NOW - timedelta(days=9)
BEGAN_BEFORE = ENDED - timedelta(hours=6)
ADDED_TO_CONTENT = ("update_wording", "left_wording", "prepared")
REASONS = [
    "", "RETIRED", "UNDECIPHERABLE", "UNREGISTERED", "INVALID_ARGUMENT", "SENDER_ID_MISMATCH",
    "0x0000000b", "0x0000000b err:011", "0x00000062", "0x00000065", "0x000000ff", "not a number",
    "unknown subscriber", "UNDELIV", "UNDELIV err:001", "DELETED", "REJECTD", "EXPIRED",
    "invalid address", "556", "556 5.1.10", "550", "550 5.1.0", "550 5.1.1", "550 5.1.9",
    "550 5.1.10", "552 5.2.2", "550 5.4.7", "554 5.7.1", "5.1.1", "554 no thanks", "odd",
]  # fmt: skip


@dataclass
class Old:
    """What stood in the database before."""

    url: str
    sending: int
    over: int
    numbers: list[int]
    """SMS of the alert being sent: handed off, unknown, two pending, then a failed one a reason."""
    provider: int


async def _official(conn: Conn, login: str) -> Actor:
    """Write an official as one was written then."""
    official_id = await conn.fetchval(
        "INSERT INTO official (login, name, title, lang, password_hash, training, created_at)"
        " VALUES ($1, $1, '', 'vi', '', false, $2) RETURNING official_id",
        login, BEGAN_BEFORE,
    )  # fmt: skip
    return Actor(official_id, login, login, "", "vi", training=False, roles=())


async def _alert(conn: Conn, code: str, state: str, began: datetime, expires: datetime) -> int:
    """Write an alert as it was approved and frozen then: its content lacks what was added since."""
    approver = await _official(conn, f"approver-{code.lower()}")
    alert_id = await alert(
        conn, await _official(conn, f"author-{code.lower()}"), await unit_id(conn, BA_DINH),
        code=code, state=state, expires=expires, started_at=began, approved_at=began,
        approved_by=approver.official_id, approved_version=1,
    )  # fmt: skip
    wording = {"vi": {"sms": {"text": "Bão đến."}, "push": {"title": "Bão", "body": "Bão đến."}}}
    content = parse(
        {
            "event": "storm",
            "class": "warning",
            "wording": wording,
            "expires": expires,
            "area": BA_DINH_AREA,
        }
    ).to_json()
    data, content_hash = canonical(
        {
            "alert_id": alert_id, "code": code, "kind": "alert", "version": 1,
            "content": {name: content[name] for name in content if name not in ADDED_TO_CONTENT},
        }
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO alert_snapshot VALUES ($1, 1, $2, $3, $4)", alert_id, data, content_hash, began
    )
    packed = audience.pack(content_hash, np.array([1, 2, 3], dtype=np.uint32))
    await conn.execute(
        "INSERT INTO audience (alert_id, people, ids, ids_hash, chain_hash, frozen_at,"
        " expanded_through, expanded_at) VALUES ($1, 3, $2, $3, $4, $5, 3, $5)",
        alert_id, packed.bitmap, packed.ids_hash, packed.chain_hash, began,
    )  # fmt: skip
    return alert_id


async def _deliveries(
    conn: Conn, alert_id: int, channel: str, rows: Sequence[tuple[int, str, str | None]]
) -> None:
    await conn.executemany(
        "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, state, attempts, reason,"
        " updated_at) VALUES ($1, $2, $3, 'vi', $4, 1, $5, $6)",
        [(alert_id, one, channel, state, reason, CHANGED) for one, state, reason in rows],
    )
    await conn.execute(
        "INSERT INTO progress (alert_id, channel, pending, handed_off, failed, unknown)"
        " SELECT $1, $2, count(*) FILTER (WHERE state = 'pending'),"
        " count(*) FILTER (WHERE state = 'handed_off'), count(*) FILTER (WHERE state = 'failed'),"
        " count(*) FILTER (WHERE state = 'unknown')"
        " FROM delivery WHERE alert_id = $1 AND channel = $2",
        alert_id, channel,
    )  # fmt: skip


async def _batches(
    conn: Conn, alert_id: int, channel: str, lists: Sequence[tuple[str, list[int]]]
) -> None:
    await conn.executemany(
        "INSERT INTO batch (alert_id, channel, endpoint_ids, state, not_before, lease_until)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (alert_id, channel, ids, state, BEGAN, CHANGED if state == "claimed" else None)
            for state, ids in lists
        ],
    )


@pytest.fixture
async def old(
    empty_database: str, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Old:
    """A database as the older program left it, with one alert in mid-send and one that is over."""
    for script in db.MIGRATIONS.glob("*.sql"):
        if script.name[:4] <= BEFORE:
            shutil.copy(script, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(db, "MIGRATIONS", tmp_path)
        assert len(await db.migrate(empty_database)) == int(BEFORE)
    pool = await db.connect(empty_database, most=1)
    failed = [("failed", why or None) for why in REASONS]
    async with pool.acquire() as conn:
        await seed_units(conn, BEGAN)
        provider = await conn.fetchval(
            "INSERT INTO provider (channel, name, account) VALUES ('sms', 'smpp', '')"
            " RETURNING provider_id"
        )
        sending = await _alert(conn, "HN-1", "sending", BEGAN, NOW + timedelta(hours=6))
        numbers = await endpoints(conn, keyring, "sms", 4 + len(REASONS))
        await _deliveries(
            conn, sending, "sms",
            [(numbers[0], "handed_off", None), (numbers[1], "unknown", "TIMED_OUT"),
             (numbers[2], "pending", None), (numbers[3], "pending", None),
             *((one, *how) for one, how in zip(numbers[4:], failed, strict=True))],
        )  # fmt: skip
        await conn.executemany(
            "INSERT INTO attempt VALUES ($1, $2, 1, $3, $4, 7, 'permanent', 'x')",
            [(sending, one, CHANGED, provider) for one in numbers[4:]],
        )
        await _batches(
            conn, sending, "sms",
            [("done", [numbers[0], *numbers[4:]]), ("ready", [numbers[3], numbers[1]]),
             ("claimed", [numbers[2]])],
        )  # fmt: skip
        over = await _alert(conn, "HN-2", "expired", BEGAN_BEFORE, ENDED)
        await _deliveries(
            conn, over, "sms", [(numbers[0], "handed_off", None), (numbers[1], "failed", "UNDELIV")]
        )
        await _batches(conn, over, "sms", [("done", numbers[:2])])
    await pool.close()
    assert (await db.migrate(empty_database))[0].startswith("0011")
    return Old(empty_database, sending, over, numbers, provider)


@pytest.fixture
async def pool(old: Old) -> AsyncIterator[Pool]:
    """A pool on the database that was brought up."""
    opened = await db.connect(old.url)
    yield opened
    await opened.close()


async def test_what_was_there_gets_its_digest_its_moment_and_its_letter(
    old: Old, conn: Conn
) -> None:
    listed = await conn.fetch(
        "SELECT b.state::text AS state, b.channel::text AS channel, endpoint_ids, digest,"
        " chain_hash FROM batch b JOIN audience USING (alert_id)"
    )
    assert sorted(row["state"] for row in listed) == ["claimed", "done", "done", "ready"]
    for row in listed:
        assert row["digest"] == digest(row["chain_hash"], row["channel"], row["endpoint_ids"])
    written = await conn.fetch(
        "SELECT DISTINCT alert_id, created_at FROM delivery ORDER BY alert_id"
    )
    assert [tuple(row) for row in written] == [(old.sending, BEGAN), (old.over, BEGAN_BEFORE)]
    # Only of the alert in force; each in the family the program gives.
    letters = await conn.fetch(
        "SELECT alert_id, endpoint_id, channel::text, provider_id, state::text, reason, family, at"
        " FROM dead_letter ORDER BY endpoint_id"
    )
    assert [tuple(row) for row in letters] == [
        (old.sending, one, "sms", old.provider, "failed", why, family_of(why, "failed"), CHANGED)
        for one, why in zip(old.numbers[4:], REASONS, strict=True)
    ]


async def test_a_sender_goes_on_and_records_are_proven(
    old: Old, pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    # The server of the tests may be younger than a lease: the claimed batch is given back by hand.
    await conn.execute("UPDATE batch SET state = 'ready' WHERE state = 'claimed'")
    found: list[int] = []
    for _ in range(2):
        claim = await claims.claim(conn, "w", "sms", [0, 1, 2])
        assert claim is not None
        reads = reader.Reader(keyring, "sms")
        approved = await reads.approved(conn, claim)
        addressed = await reads.addressed(conn, claim)
        found += [one.ref for one in addressed.recipients]
        assert {one.content for one in addressed.recipients} <= set(approved.contents)
    assert sorted(found) == old.numbers[1:4]
    assert await claims.claim(conn, "w", "sms", [0, 1, 2]) is None

    number = TABLE["sms"].format(old.numbers[0])
    assert await retention.pack_settled(pool, NOW) == 1
    for code, began in (("HN-1", BEGAN), ("HN-2", BEGAN_BEFORE)):
        made = await record.show_to_operator(conn, keyring, Selector(), NOW, code, number)
        assert made.proven, made.chain
        [one] = made.people[0].sent
        assert (one.proof, one.said, one.written_at) == (HOLDS, ("Bão đến.",), began)
    assert (made.chain.batches, made.chain.batches_unproven) == (1, 0)
