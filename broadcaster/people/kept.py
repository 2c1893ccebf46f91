"""Everything kept of one person, for that person alone: what a request for one's data answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people import own_places


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A consent, in force until it was withdrawn; `hours` for one to keep positions."""

    at: datetime
    source: str
    withdrawn_at: datetime | None
    hours: int | None = None


@dataclass(frozen=True, slots=True)
class KeptEndpoint:
    """A way somebody is reached. Its address is not told: a lost phone would give it away."""

    channel: str
    state: str
    follow_ups: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """All of it."""

    public_id: UUID
    lang: str
    name: str
    registered_at: datetime
    consents: tuple[GivenConsent, ...]
    position_consents: tuple[GivenConsent, ...]
    places: tuple[own_places.KeptPlace, ...]
    endpoints: tuple[KeptEndpoint, ...]


async def of_person(conn: Conn, keyring: Keyring, now: datetime, person_id: int) -> Kept:
    """Return what is kept of somebody registered, as it is at one moment."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        person = await conn.fetchrow(
            "SELECT public_id, lang::text, name_enc, created_at FROM person WHERE person_id = $1",
            person_id,
        )
        if person is None:
            raise LookupError("there is no such person")
        consents = await conn.fetch(
            "SELECT given_at, source, withdrawn_at, NULL::smallint AS hours FROM consent"
            " WHERE person_id = $1 ORDER BY consent_id",
            person_id,
        )
        position_consents = await conn.fetch(
            "SELECT given_at, source, withdrawn_at, hours FROM position_consent"
            " WHERE person_id = $1 ORDER BY position_consent_id",
            person_id,
        )
        endpoints = await conn.fetch(
            "SELECT e.channel::text, e.state::text, e.follow_ups FROM person_endpoint l"
            " JOIN endpoint e USING (endpoint_id) WHERE l.person_id = $1 ORDER BY e.endpoint_id",
            person_id,
        )
        places = await own_places.kept(conn, keyring, now, person_id)
    sealed = person["name_enc"]
    return Kept(
        public_id=person["public_id"],
        lang=person["lang"],
        name=keyring.unseal(sealed, "person", "name_enc", person_id).decode() if sealed else "",
        registered_at=person["created_at"],
        consents=tuple(GivenConsent(*row) for row in consents),
        position_consents=tuple(GivenConsent(*row) for row in position_consents),
        places=tuple(places),
        endpoints=tuple(KeptEndpoint(**row) for row in endpoints),
    )
