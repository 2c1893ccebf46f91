"""Words for what follows an alert: the short update, who is left out, a cancel, a correction.

They speak of the alert by its title, so one set of them serves every event. An official may write
others in their place; these are what a draft begins with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from templates.catalogue import Catalogue, load
from templates.check import first_sentence
from templates.pieces import Wording
from templates.render import fill
from templates.values import ShownTime

Variant = Literal["update", "left", "cancel", "correction", "withdrawn"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""`withdrawn` takes back an all-clear, where a cancel would say that nothing need be done."""

_NOUNS = {
    "vi": {"emergency": "cảnh báo", "warning": "cảnh báo", "information": "thông báo"},
    "en": {"emergency": "warning", "warning": "warning", "information": "notice"},
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the follow-up speaks of, in one language."""

    alert_class: str
    title: str
    """The push title: what stands on people's lock screens."""
    body: str
    """The push body, whose first sentence is the order."""
    until: datetime | None


def render(
    variant: Variant, lang: str, said: Said, *, catalogue: Catalogue | None = None
) -> Wording:
    """Fill one variant in every channel. Raises KeyError for another language."""
    catalogue = catalogue or load()
    templates = catalogue.follow_ups[variant, lang]
    order = first_sentence(said.body).rstrip()
    values: Mapping[str, Any] = {
        "title": said.title.rstrip(". "),
        "order": order if order.endswith((".", "?", "…")) else f"{order}.",
        "noun": _NOUNS[lang][said.alert_class],
        "until": "" if said.until is None else ShownTime(said.until, lang),
        "contacts": catalogue.contacts,
    }
    return fill(templates, values)
