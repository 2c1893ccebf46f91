"""Words for what follows an alert: the short update, who is left out, a cancel, a correction.

They speak of the alert by its title, so one set of them serves every event. An official may write
others in their place; these are what a draft begins with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args

from templates.catalogue import Catalogue, load
from templates.check import TITLE_MAX, first_sentence
from templates.pieces import Wording
from templates.render import KEPT, Same, fill
from templates.values import ShownTime

Variant = Literal["update", "left", "cancel", "correction", "withdrawn"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""`withdrawn` takes back an all-clear, where a cancel would say that nothing need be done."""

_HEADS = {"vi": ("Cập nhật: ", "Mới: "), "en": ("Update: ", "New: ")}
"""What an update's title begins with on a lock screen, the longest that leaves room first."""
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
    return _rendered(Same(catalogue or load()), variant, lang, said)


@lru_cache(KEPT)
def _rendered(known: Same, variant: Variant, lang: str, said: Said) -> Wording:
    catalogue = known.catalogue
    templates = catalogue.follow_ups[variant, lang]
    order, title = first_sentence(said.body).rstrip(), said.title.rstrip(". ")
    values: Mapping[str, Any] = {
        "title": title,
        "headed": _headed(title, lang),
        "order": order if order.endswith((".", "?", "…")) else f"{order}.",
        "noun": _NOUNS[lang][said.alert_class],
        "until": "" if said.until is None else ShownTime(said.until, lang),
        "contacts": catalogue.contacts,
    }
    return fill(templates, values)


def _headed(title: str, lang: str) -> str:
    """Return the title of an update: a phone that showed the alert must show that this is another.

    What a lock screen would cut is left out by whole words.
    """
    for head in _HEADS[lang]:
        if len(head + title) <= TITLE_MAX:
            return head + title
    head = _HEADS[lang][-1]
    fits = title[: TITLE_MAX - len(head) - 1]
    return f"{head}{fits.rpartition(' ')[0] or fits}…"
