"""Who and what a batch is: proven against what was approved, then its addresses opened.

The snapshot is hashed anew when it is loaded, and chained to the frozen audience; every batch is
held against that chain before anything of it leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import structlog

from broadcaster.alerts import lifecycle
from broadcaster.alerts.lifecycle import SnapshotBrokenError
from broadcaster.db import Conn
from broadcaster.fanout import contents, proof, quiet
from broadcaster.fanout.audience import chain
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.contents import ChannelContent
from broadcaster.fanout.quiet import Quiet
from broadcaster.fanout.reasons import LEFT_EXERCISES, RETIRED, UNDECIPHERABLE
from broadcaster.keyring import Keyring, UndecipherableError
from channels.base import Outcome, Recipient, Result

log = structlog.get_logger(__name__)

DELIVERY_LINK = "delivery"
"""Purpose under which a delivery's token is signed (return paths, replies, unsubscribe)."""
_WITH_TOKENS = frozenset({"email"})
"""Channels that write a delivery's token anywhere: signing costs more than opening an address."""
_ALERTS_KEPT = 256
"""Alerts whose words are kept: more than are sent at once by a hundred communes."""

# Looks at the alert once more. A claim reads it before it is committed; this runs after. Either it
# sees that the alert has ended, or whoever ends it afterwards sees our claim and waits for it
# (`reached.accounted_for`): nobody is sent to behind a follow-up's back.
_READ = """
SELECT d.endpoint_id, d.lang::text || d.wording AS content, d.attempts, d.state = 'unknown',
    e.address_enc, e.state = 'retired',
    -- Whoever left the list of exercise recipients since this was written to them.
    (SELECT status = 'Exercise' AND widened_by IS NULL FROM alert WHERE alert_id = $1)
        AND NOT EXISTS (SELECT FROM exercise_recipient x
            WHERE x.endpoint_id = e.endpoint_id AND x.removed_at IS NULL)
FROM delivery d JOIN endpoint e USING (endpoint_id)
WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2::bigint[]) AND d.state IN ('pending', 'unknown')
    AND (SELECT state = 'sending' AND superseded_by IS NULL FROM alert WHERE alert_id = $1)
"""
_ENDED = "SELECT state <> 'sending' OR superseded_by IS NOT NULL FROM alert WHERE alert_id = $1"


class UnprovenError(RuntimeError):
    """A batch, an audience or a snapshot is not what was approved: nothing of it may be sent."""


class AlertEnded(Exception):  # noqa: N818 - a fact, not a fault
    """The alert was stopped or superseded while its batch was claimed: nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What one channel sends of an alert, and the chain its batches must hang on."""

    contents: dict[str, ChannelContent]
    chain_hash: bytes
    quiet: Quiet | None
    """Hours in which nothing of it leaves; None: it leaves at any time."""


@dataclass(slots=True)
class Addressed:
    """Who of a batch is still to be sent to."""

    recipients: list[Recipient] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)
    """Tries before this one, by endpoint."""
    in_doubt: set[int] = field(default_factory=set)
    """Endpoints whose earlier try is unknown."""
    lost: list[Outcome] = field(default_factory=list)
    """Those who cannot be sent to: retired, gone from exercises, or under a key we lack."""


def delivery_token(keyring: Keyring, alert_id: int, endpoint_id: int) -> str:
    """Make the opaque token of one delivery: the same on every try, and only ours."""
    return keyring.sign_link(DELIVERY_LINK, f"a{alert_id}e{endpoint_id}")


def read_delivery_token(keyring: Keyring, token: str) -> tuple[int, int] | None:
    """(alert_id, endpoint_id) of a token that came back, None when it is not ours."""
    value = keyring.read_link(DELIVERY_LINK, token)
    if value is None:
        return None
    alert_id, _, endpoint_id = value.lower().removeprefix("a").partition("e")
    return int(alert_id), int(endpoint_id)


class Reader:
    """Reads one channel's batches; keeps the words of the alerts under way."""

    def __init__(self, keyring: Keyring, channel: str) -> None:
        self._keyring = keyring
        self._channel = channel
        self._approved: OrderedDict[int, Approved] = OrderedDict()

    async def approved(self, conn: Conn, claim: Claim) -> Approved:
        """Return what was approved of the claim's alert; UnprovenError when the batch is not."""
        found = self._approved.get(claim.alert_id)
        if found is None:
            found = self._approved[claim.alert_id] = await self._load(conn, claim.alert_id)
            while len(self._approved) > _ALERTS_KEPT:
                self._approved.popitem(last=False)
        if proof.digest(found.chain_hash, self._channel, claim.endpoint_ids) != claim.digest:
            raise UnprovenError(f"batch {claim.batch_id} lists others than it was written for")
        return found

    async def _load(self, conn: Conn, alert_id: int) -> Approved:
        try:
            snapshot = await lifecycle.snapshot(conn, alert_id)
        except (SnapshotBrokenError, LookupError) as error:
            raise UnprovenError(str(error)) from error
        audience = await conn.fetchrow(
            "SELECT ids_hash, chain_hash FROM audience WHERE alert_id = $1", alert_id
        )
        if audience is None:
            raise UnprovenError(f"alert {alert_id} has no frozen audience")
        if chain(snapshot.content_hash, audience["ids_hash"]) != audience["chain_hash"]:
            raise UnprovenError(f"the audience of alert {alert_id} was chosen for other content")
        return Approved(
            contents.of_alert(snapshot, self._channel),
            audience["chain_hash"],
            quiet.of_snapshot(snapshot),
        )

    async def addressed(self, conn: Conn, claim: Claim) -> Addressed:
        """Read and open the addresses of a batch.

        One taken over from a dead worker holds some that are done: those are left out. Raises
        AlertEnded when nothing of the alert may be sent any more. Ask outside of the claim's
        transaction.
        """
        rows = await conn.fetch(_READ, claim.alert_id, claim.endpoint_ids)
        if not rows and await conn.fetchval(_ENDED, claim.alert_id):
            raise AlertEnded(claim.alert_id)
        unseal = self._keyring.unseal
        with_token = self._channel in _WITH_TOKENS
        found = Addressed()
        for endpoint_id, content, tries, in_doubt, sealed, retired, left in rows:
            found.tries[endpoint_id] = tries
            if in_doubt:
                found.in_doubt.add(endpoint_id)
            if retired or left:
                reason = RETIRED if retired else LEFT_EXERCISES
                found.lost.append(Outcome(endpoint_id, Result.PERMANENT, reason))
                continue
            try:
                address = unseal(sealed, "endpoint", "address_enc", endpoint_id).decode()
            except UndecipherableError as error:
                log.error("address does not open", endpoint_id=endpoint_id, error=str(error))
                found.lost.append(Outcome(endpoint_id, Result.PERMANENT, UNDECIPHERABLE))
                continue
            token = delivery_token(self._keyring, claim.alert_id, endpoint_id) if with_token else ""
            found.recipients.append(Recipient(endpoint_id, address, content, token))
        return found
