"""A person's record of an alert: which words went where, when, by whom, why; and that it is proven.

The proof is a chain: the approved content's hash, the frozen people's hash tied to it, and of every
batch, or of every block of the archive, a digest tied to both. Each link is verified anew for every
record, and what does not hold is said. Addresses are masked; every record shown is in the trail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster import audit
from broadcaster.alerts import lifecycle
from broadcaster.alerts.draft import Alert, find
from broadcaster.alerts.lifecycle import Snapshot, SnapshotBrokenError
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout import archive, audience, contents, deliveries, received, whom, why
from broadcaster.fanout.audience import Audience, AudienceBrokenError
from broadcaster.fanout.contents import ChannelContent
from broadcaster.fanout.deliveries import Delivery
from broadcaster.fanout.proof import digest
from broadcaster.fanout.received import Cursor, ReceivedPage
from broadcaster.fanout.whom import Asked, Reached
from broadcaster.fanout.why_words import Words
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, authority
from broadcaster.people.selection import Selector
from channels.email import EmailContent
from channels.push import PushContent

HOLDS, BROKEN, MISSING = "holds", "broken", "missing"
"""What verifying a link of the chain says; missing: there is nothing to verify it by."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The links every delivery of an alert has in common, as hexadecimal hashes."""

    content_hash: str
    content: str
    """HOLDS or BROKEN: the approved words, byte for byte."""
    people: int
    people_hash: str
    chain_hash: str
    audience: str
    """HOLDS or BROKEN: the frozen people, and that they were chosen for these words."""
    packed_at: datetime | None
    """When the deliveries went into the archive."""
    batches: int | None
    batches_unproven: int | None
    """Of those deleted when it was packed."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try, with the account it went through."""

    number: int
    at: datetime
    provider: str
    result: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What went to one endpoint."""

    channel: str
    address: str
    """Masked."""
    lang: str
    wording: int
    said: tuple[str, ...]
    """The very text: title and body of a push, subject and text of a mail. Empty when broken."""
    said_hash: str
    """SHA-256 over these texts, a line break between them."""
    state: str
    reason: str | None
    written_at: datetime
    changed_at: datetime
    tries: tuple[Try, ...]
    proof: str
    """HOLDS, BROKEN or MISSING: its batch, or its block of the archive."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person behind the address, and what went to each endpoint of theirs."""

    why: why.Person | None
    """None: nobody is behind the endpoint any more, or the frozen people do not verify."""
    sent: tuple[Sent, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one alert for everybody behind one address."""

    alert: Alert
    made_at: datetime
    chain: Chain
    people: tuple[PersonRecord, ...]
    nobody: Words | None
    """Why there is nobody, or why it is told by the endpoint alone."""

    @property
    def proven(self) -> bool:
        """Whether every link of every delivery told here holds."""
        links = [self.chain.content, self.chain.audience]
        links += [one.proof for person in self.people for one in person.sent]
        return all(link == HOLDS for link in links) and not self.chain.batches_unproven


async def show(
    conn: Conn, keyring: Keyring, selector: Selector, actor: Actor, now: datetime, code: str,
    *, address: str = "", report: str = "",
) -> Record:  # fmt: skip
    """Make the record of an alert for everybody behind an address or a report; it is audited.

    One transaction. Raises Refused (no such number, not begun), NotAllowed, NotFound.
    """
    alert = await whom.alert_of(conn, actor, code)
    asked = await whom.find(conn, keyring, actor, address=address, report=report)
    with archive.refusing():
        return await _audited(conn, keyring, selector, actor, now, alert, asked)


async def show_to_operator(
    conn: Conn, keyring: Keyring, selector: Selector, now: datetime, code: str, address: str
) -> Record:
    """Make the same at the command line, where whoever asks holds the keys; it is audited."""
    alert = await find(conn, code)
    asked = await whom.find(conn, keyring, None, address=address)
    asked.by["at"] = "command line"
    with archive.refusing():
        return await _audited(conn, keyring, selector, None, now, alert, asked)


async def what_received(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime,
    *, address: str = "", report: str = "", before: Cursor | None = None,
) -> tuple[Asked, ReceivedPage]:  # fmt: skip
    """List the alerts of the actor's units that went to anybody behind an address; it is audited.

    Raises Refused (no such number), NotAllowed, NotFound.
    """
    units = await authority(conn, actor, *whom.ROLES)
    asked = await whom.find(conn, keyring, actor, address=address, report=report)
    await audit.record(
        conn, actor.official_id, now, "person.received_shown", "endpoint", asked.endpoint_id,
        person_ids=asked.person_ids, **asked.by,
    )  # fmt: skip
    ways = await _ways(conn, keyring, asked)
    with archive.refusing():
        return asked, await received.by_endpoints(conn, sorted(ways), units=units, before=before)


async def _ways(conn: Conn, keyring: Keyring, asked: Asked) -> dict[int, Reached]:
    """Return all their endpoints, and the one that was asked by, whoever is behind it now."""
    ways = await whom.ways_to(conn, keyring, asked.person_ids)
    if asked.endpoint_id is not None and asked.endpoint_id not in ways:
        ways |= await whom.ways_by_id(conn, keyring, [asked.endpoint_id])
    return ways


async def _audited(
    conn: Conn, keyring: Keyring, selector: Selector, actor: Actor | None, now: datetime,
    alert: Alert, asked: Asked,
) -> Record:  # fmt: skip
    if alert.started_at is None:
        raise Refused(
            "not_begun",
            "Tin này chưa phát nên chưa có gì để lập hồ sơ.",
            "This alert was never sent: there is nothing to make a record of.",
        )
    await audit.record(
        conn, None if actor is None else actor.official_id, now, "alert.record_shown", "alert",
        alert.alert_id, endpoint_id=asked.endpoint_id, person_ids=asked.person_ids, **asked.by,
    )  # fmt: skip
    snapshot = await _snapshot(conn, alert)
    chain, frozen = await _chain(conn, alert, snapshot)
    explained: Sequence[why.Person] = ()
    if snapshot is not None and frozen is not None:
        explained = await why.explain(
            conn, keyring, selector, now, alert, snapshot.content, frozen.ids, asked.person_ids
        )
    told = await _Teller.of(conn, alert, snapshot, chain)
    people = []
    for person in explained:
        ways = await whom.ways_to(conn, keyring, [person.person_id])
        people.append(PersonRecord(person, await told.sent(conn, ways)))
    if not explained:
        people.append(PersonRecord(None, await told.sent(conn, await _ways(conn, keyring, asked))))
    return Record(alert, now, chain, tuple(people), asked.nobody)


async def _snapshot(conn: Conn, alert: Alert) -> Snapshot | None:
    """Return what was approved; None when it does not verify."""
    try:
        return await lifecycle.snapshot(conn, alert.alert_id)
    except SnapshotBrokenError:
        return None


async def _chain(
    conn: Conn, alert: Alert, snapshot: Snapshot | None
) -> tuple[Chain, Audience | None]:
    """Verify what every delivery hangs on."""
    row = await conn.fetchrow(
        "SELECT s.content_hash, u.people, u.ids_hash, u.chain_hash, c.packed_at, c.batches,"
        " c.batches_unproven FROM audience u JOIN alert a USING (alert_id)"
        " JOIN alert_snapshot s ON s.alert_id = a.alert_id AND s.version = a.approved_version"
        " LEFT JOIN archive c ON c.alert_id = u.alert_id WHERE u.alert_id = $1",
        alert.alert_id,
    )
    if row is None:
        raise LookupError(f"alert {alert.alert_id} was sent without an audience")
    try:
        frozen = await audience.read(conn, alert.alert_id, row["content_hash"])
    except AudienceBrokenError:
        frozen = None
    chain = Chain(
        content_hash=row["content_hash"].hex(),
        content=BROKEN if snapshot is None else HOLDS,
        people=row["people"],
        people_hash=row["ids_hash"].hex(),
        chain_hash=row["chain_hash"].hex(),
        audience=BROKEN if frozen is None else HOLDS,
        packed_at=row["packed_at"],
        batches=row["batches"],
        batches_unproven=row["batches_unproven"],
    )
    return chain, frozen


@dataclass(frozen=True, slots=True)
class _Teller:
    """What is the same for all endpoints of an alert."""

    alert: Alert
    snapshot: Snapshot | None
    chain_hash: bytes
    packed: bool
    accounts: dict[int, str]

    @classmethod
    async def of(cls, conn: Conn, alert: Alert, snapshot: Snapshot | None, chain: Chain) -> _Teller:
        rows = await conn.fetch("SELECT provider_id, name, account FROM provider")
        accounts = {
            row["provider_id"]: f"{row['name']} ({row['account']})".removesuffix(" ()")
            for row in rows
        }
        return cls(
            alert, snapshot, bytes.fromhex(chain.chain_hash), chain.packed_at is not None, accounts
        )

    async def sent(self, conn: Conn, ways: dict[int, Reached]) -> tuple[Sent, ...]:
        """Tell what went to these endpoints."""
        keys = [(self.alert.alert_id, endpoint_id) for endpoint_id in ways]
        found = await deliveries.of_keys(conn, keys)
        return tuple(
            [await self._one(conn, found[key], ways[key[1]]) for key in keys if key in found]
        )

    async def _one(self, conn: Conn, one: Delivery, reached: Reached) -> Sent:
        said = self._said(one)
        return Sent(
            channel=one.channel,
            address=reached.address,
            lang=one.lang,
            wording=one.wording,
            said=said,
            said_hash=hashlib.sha256("\n".join(said).encode()).hexdigest() if said else "",
            state=one.state,
            reason=one.reason,
            written_at=one.created_at,
            changed_at=one.updated_at,
            tries=tuple(
                Try(t.number, t.at, self.accounts.get(t.provider_id, str(t.provider_id)),
                    t.result, t.reason)
                for t in one.attempts
            ),
            # A block that opened has been verified against the same chain.
            proof=HOLDS if self.packed else await self._batch(conn, one),
        )  # fmt: skip

    def _said(self, one: Delivery) -> tuple[str, ...]:
        if self.snapshot is None:
            return ()
        by_key = contents.of_alert(self.snapshot, one.channel)
        content = by_key.get(f"{one.lang}{one.wording}")
        return () if content is None else _texts(content)

    async def _batch(self, conn: Conn, one: Delivery) -> str:
        """Verify a batch that lists a delivery: one with this digest was written for this alert."""
        rows = await conn.fetch(
            "SELECT endpoint_ids, digest FROM batch WHERE alert_id = $1 AND channel = $2"
            " AND $3 = ANY(endpoint_ids)",
            one.alert_id,
            one.channel,
            one.endpoint_id,
        )
        if not rows:
            return MISSING
        proven = all(
            row["digest"] == digest(self.chain_hash, one.channel, row["endpoint_ids"])
            for row in rows
        )
        return HOLDS if proven else BROKEN


def _texts(content: ChannelContent) -> tuple[str, ...]:
    """Return what a phone or a mail program shows of it."""
    if isinstance(content, PushContent):
        return content.title, content.body
    if isinstance(content, EmailContent):
        return content.subject, content.text
    return (content.text,)
