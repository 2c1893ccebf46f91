"""The catalogue of events, read from wording/ once and checked as it is read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from templates.event import LANGS, Bilingual, Event, Field, Lang, Option
from templates.files import CatalogueError, Compiler, Templates
from templates.kinds import expanded
from templates.pieces import Problem
from templates.values import read

__all__ = [
    "LANGS",
    "Bilingual",
    "Catalogue",
    "CatalogueError",
    "Event",
    "Field",
    "Lang",
    "Option",
    "load",
    "load_from",
]

WORDING = Path(__file__).parent / "wording"
_LAYOUT = "layout"
_FOLLOW_UP = "follow_up"
_NO_EVENTS = frozenset({_LAYOUT, _FOLLOW_UP})
_ALWAYS = frozenset({"contacts", "page"})
"""Placeholders every wording has besides its fields."""
_OF_FOLLOW_UPS = frozenset({"title", "headed", "order", "noun", "until"})

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Common:
    """What all events share: the city's numbers and the fields every wording asks for."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    contacts: dict[str, str]
    fields: tuple[Field, ...]
    registering: tuple[str, ...] = ()
    """Operators that carry a text message only under the id of its registered wording."""

    @classmethod
    def read(cls, root: Path) -> Common:
        """Read `common.toml` of a catalogue; raises CatalogueError."""
        return _read(root / "common.toml", TypeAdapter(Common))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every event by code, and its wording by event and language."""

    events: Mapping[str, Event]
    contacts: Mapping[str, str]
    """Numbers named in the wording: reply, rescue, medical."""
    templates: Mapping[tuple[str, str], Templates]
    follow_ups: Mapping[tuple[str, str], Templates]
    """Wording of what follows an alert, by variant and language."""
    registering: tuple[str, ...] = ()
    """Operators that carry a text message only under the id of its registered wording."""


@cache
def load() -> Catalogue:
    """Read the catalogue that ships with the service."""
    return load_from(WORDING)


def load_from(root: Path) -> Catalogue:
    """Read a catalogue; raise CatalogueError at the first thing wrong with it."""
    common = Common.read(root)
    compiler = Compiler.at(root)
    events: dict[str, Event] = {}
    templates: dict[tuple[str, str], Templates] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and p.name not in _NO_EVENTS):
        event = _event(folder, common)
        events[event.code] = event
        for lang in LANGS:
            templates[event.code, lang] = _wording(compiler, folder / lang, event)
    if not events:
        raise CatalogueError(root, "holds no event")
    return Catalogue(
        MappingProxyType(events),
        MappingProxyType(common.contacts),
        MappingProxyType(templates),
        MappingProxyType(_follow_ups(compiler, root / _FOLLOW_UP)),
        common.registering,
    )


def _follow_ups(compiler: Compiler, root: Path) -> dict[tuple[str, str], Templates]:
    """Read the wordings of follow-ups; a catalogue without them has none."""
    found: dict[tuple[str, str], Templates] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        for lang in LANGS:
            templates = compiler.folder(folder / lang)
            unknown = sorted(templates.placeholders - _OF_FOLLOW_UPS - _ALWAYS)
            if unknown:
                raise CatalogueError(folder, f"unknown placeholders: {', '.join(unknown)}")
            found[folder.name, lang] = templates
    return found


def _event(folder: Path, common: Common) -> Event:
    path = folder / "event.toml"
    event = _read(path, TypeAdapter(Event), common.fields)
    if event.code != folder.name:
        raise CatalogueError(path, f"code is “{event.code}”, the folder is “{folder.name}”")
    for field in event.fields:
        for lang in LANGS:
            shown = read(field, lang, field.example)
            if shown is None or isinstance(shown, Problem):
                why = shown.message_en if shown else "empty"
                raise CatalogueError(path, f"example of “{field.name}” ({lang}): {why}")
    return event


def _read(path: Path, adapter: TypeAdapter[_Read], more_fields: tuple[Field, ...] = ()) -> _Read:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(path, str(error)) from error
    try:
        complete(data, more_fields)
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CatalogueError(path, f"{where or 'file'}: {first['msg']}") from error


def complete(data: dict[str, Any], more_fields: tuple[Field, ...]) -> None:
    """Spell out what each field's kind stands for, and add the fields every wording asks for."""
    own = data.get("fields")
    if isinstance(own, list):
        names = [field.get("name") for field in own]
        data["fields"] = [
            *(expanded(field) for field in own),
            *(field for field in more_fields if field.name not in names),
        ]


def _wording(compiler: Compiler, folder: Path, event: Event) -> Templates:
    templates = compiler.folder(folder)
    fields = {field.name for field in event.fields}
    unknown = sorted(templates.placeholders - fields - _ALWAYS)
    if unknown:
        raise CatalogueError(folder, f"placeholders without a field: {', '.join(unknown)}")
    unused = sorted(fields - templates.placeholders)
    if unused:
        raise CatalogueError(folder, f"fields no file shows: {', '.join(unused)}")
    return templates
