"""Legal values for an event's fields: the longest ones, and any."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

from hypothesis import strategies as st

from templates.catalogue import LANGS, Event, Field
from templates.values import PLACE_MAX

LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxyáàảãạắằẳẵặấầẩẫậếềểễệốồổỗộớờởỡợứừửữựýỳỷỹỵĐẠỆỘỮ"
SIGNS = " 0123456789.,;:!?()/-'\"%+–’…&<>"
LONGEST_TIME = datetime(2026, 9, 28, 23, 30, tzinfo=timezone(timedelta(hours=7)))


def longest(event: Event) -> Iterator[dict[str, Any]]:
    """Every combination of the longest values of each field."""
    names = [field.name for field in event.fields]
    for values in product(*(_longest(field) for field in event.fields)):
        yield dict(zip(names, values, strict=True))


def _longest(field: Field) -> list[Any]:
    values: list[Any]
    match field.type:
        case "text":
            values = ["Ộ" * field.max_length]
        case "time":
            values = [LONGEST_TIME]
        case "choice":
            values = sorted({_longest_option(field, lang) for lang in LANGS})
        case "number":
            values = [field.maximum]
        case "places":
            values = [["Ễ" * PLACE_MAX], ["Ữ" * PLACE_MAX] * 126, ["Văn Miếu", "Ô Chợ Dừa"] * 60]
        case "phone":
            values = ["+842438253536"]
    return values if field.required else [*values, None]


def _longest_option(field: Field, lang: str) -> str:
    return max(field.options, key=lambda option: len(option.label[lang])).code


def any_legal(event: Event) -> st.SearchStrategy[dict[str, Any]]:
    """Whatever an official may legally fill in."""
    return st.fixed_dictionaries({field.name: _any(field) for field in event.fields})


def _any(field: Field) -> st.SearchStrategy[Any]:
    values: st.SearchStrategy[Any]
    match field.type:
        case "text":
            values = _words(field.max_length)
        case "time":
            values = st.datetimes(
                min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the zone is given below
                max_value=datetime(2100, 1, 1),  # noqa: DTZ001
                timezones=st.just(UTC),
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
