"""Legal values for an event's fields: the longest ones, and any."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from hypothesis import strategies as st

from templates.catalogue import Event, Field
from templates.longest import longest as of_field
from templates.values import PERIOD_MAX, PLACE_MAX

LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxyáàảãạắằẳẵặấầẩẫậếềểễệốồổỗộớờởỡợứừửữựýỳỷỹỵĐẠỆỘỮ"
SIGNS = " 0123456789.,;:!?()/-'\"%+–’…&<>"


def longest(event: Event) -> Iterator[dict[str, Any]]:
    """Every combination of the longest values of each field."""
    names = [field.name for field in event.fields]
    for values in product(*(_or_none(field) for field in event.fields)):
        yield dict(zip(names, values, strict=True))


def _or_none(field: Field) -> list[Any]:
    return of_field(field) if field.required else [*of_field(field), None]


def any_legal(event: Event) -> st.SearchStrategy[dict[str, Any]]:
    """Whatever an official may legally fill in."""
    return st.fixed_dictionaries({field.name: _any(field) for field in event.fields})


def _any(field: Field) -> st.SearchStrategy[Any]:
    values: st.SearchStrategy[Any]
    match field.type:
        case "text":
            values = _words(field.max_length)
        case "time":
            values = _moments()
        case "period":
            values = st.tuples(_moments(), st.timedeltas(timedelta(minutes=1), PERIOD_MAX)).map(
                lambda drawn: {"from": drawn[0], "to": drawn[0] + drawn[1]}
            )
        case "choice":
            values = st.sampled_from([option.code for option in field.options])
        case "number":
            values = st.floats(field.minimum, field.maximum)
        case "places":
            values = st.lists(_words(PLACE_MAX), min_size=1, max_size=130)
        case "phone":
            values = st.sampled_from(["114", "1022", "1900 1234", "024 3825 3536"])
    return values if field.required else st.none() | values


def _moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the zone is given below
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    )


def _words(limit: int) -> st.SearchStrategy[str]:
    def fits(text: str) -> bool:
        plain = unicodedata.normalize("NFC", text).replace("…", "...")
        return plain.strip(" .") != "" and len(plain) <= limit

    return st.text(LETTERS + SIGNS, min_size=1, max_size=limit).filter(fits)


def anything() -> st.SearchStrategy[Any]:
    """What a form or an API may hand in for a field, legal or not."""
    scalars = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals()
        | st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.binary()
        | st.sampled_from(["9999-12-31T23:59:59-12:00", "sNaN", "1e999999", "\ud800", "hong"])
    )  # fmt: skip
    return scalars | st.lists(scalars) | st.dictionaries(st.sampled_from(["vi", "en"]), scalars)
