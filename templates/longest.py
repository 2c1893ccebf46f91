"""The longest legal values of a field: what a limit has to be proven with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from templates.event import LANGS, Event, Field
from templates.values import HANOI, PLACE_MAX

LONGEST_TIME = datetime(2026, 9, 28, 23, 30, tzinfo=HANOI)
"""Two digits each, and a day that is as long in both languages as any."""
_LONGEST_PERIOD = {"from": LONGEST_TIME, "to": datetime(2026, 10, 28, 23, 30, tzinfo=HANOI)}
_PLACES: tuple[Sequence[str], ...] = (
    ("Ễ" * PLACE_MAX,),
    ("Ữ" * PLACE_MAX,) * 126,
    ("Văn Miếu", "Ô Chợ Dừa") * 60,
)
"""One name of the greatest length, every unit of the city with such a name, many short names."""


def longest(field: Field) -> list[Any]:
    """Return the values among which the longest is, in whatever language it is shown."""
    match field.type:
        case "text":
            return ["Ộ" * field.max_length]
        case "time":
            return [LONGEST_TIME]
        case "period":
            return [_LONGEST_PERIOD]
        case "choice":
            return sorted({_longest_option(field, lang) for lang in LANGS})
        case "number":
            return sorted({field.minimum, field.maximum}, key=str)
        case "places":
            return [list(names) for names in _PLACES]
        case "phone":
            return ["+842438253536"]


def _longest_option(field: Field, lang: str) -> str:
    return max(field.options, key=lambda option: len(option.label[lang])).code


def fills(event: Event) -> Iterator[dict[str, Any]]:
    """Fill an event so that each piece is as long as it can be.

    Everything there, each field's candidates in turn, and each optional field left out by
    itself, because a wording may say more without a value than with it; then only what is
    required.
    """
    candidates = {field.name: longest(field) for field in event.fields}
    most = {name: values[0] for name, values in candidates.items()}
    yield most
    for name, values in candidates.items():
        for value in values[1:]:
            yield {**most, name: value}
    optional = [field.name for field in event.fields if not field.required]
    for name in optional:
        yield {**most, name: None}
    if optional:
        yield {**most, **dict.fromkeys(optional)}
