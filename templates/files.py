"""The wording files of one event in one language, cut into pieces and compiled.

Each piece is compiled by itself, so that nothing an official types can open a new line and turn
a body into a title or a cause into an instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    meta,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from templates.values import Gap, ShownPlaces

FILES = ("push.txt", "sms.txt", "email.txt", "email.html", "page.txt")
_STEP = re.compile(r"\d+\.\s+")


class CatalogueError(Exception):
    """The catalogue on disk is wrong: which file, and what about it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


@dataclass(frozen=True, slots=True)
class Templates:
    """One language of one event, compiled."""

    push_title: Template
    push_body: Template
    sms: Template
    email_subject: Template
    email_text: Template
    email_html: Template
    headline: Template
    description: Template
    instructions: tuple[Template, ...]
    placeholders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles sources; text is left as it is, HTML is escaped."""

    text: ImmutableSandboxedEnvironment
    html: ImmutableSandboxedEnvironment

    @classmethod
    def at(cls, root: Path) -> Compiler:
        """Compile for the catalogue in `root`, whose layout folder may be extended."""
        text, html = (
            ImmutableSandboxedEnvironment(
                loader=FileSystemLoader(root),
                undefined=StrictUndefined,
                autoescape=escape,
                trim_blocks=True,
                lstrip_blocks=True,
            )
            for escape in (False, True)
        )
        for environment in (text, html):
            environment.filters["within"] = _within
            environment.filters["opening"] = _opening
        return cls(text, html)

    def folder(self, folder: Path) -> Templates:
        """Compile the five files of one language."""
        return self.sources(folder, {name: _source(folder / name) for name in FILES})

    def sources(self, folder: Path, sources: Mapping[str, str]) -> Templates:
        """Compile the five sources of one language; `folder` names them in what is raised."""
        title, body = _first_line(sources["push.txt"])
        subject, text = _first_line(sources["email.txt"])
        headline, cause, steps = page_lines(sources["page.txt"])
        if not steps:
            raise CatalogueError(folder / "page.txt", "no numbered line says what to do")
        words = {
            "push.title": title,
            "push.body": body,
            "sms.text": sources["sms.txt"],
            "email.subject": subject,
            "page.headline": headline,
            "page.description": "\n".join(cause),
            "page.instructions": "\n".join(steps),
        }
        placeholders = frozenset(self._placeholders(folder, sources))
        return self.pieces(folder, words, text, sources["email.html"], placeholders)

    def pieces(
        self,
        folder: Path,
        words: Mapping[str, str],
        mail_text: str,
        mail_html: str,
        placeholders: frozenset[str],
    ) -> Templates:
        """Compile the pieces of one language, each by itself, and the mail made from them."""
        page, push, email = folder / "page.txt", folder / "push.txt", folder / "email.txt"
        steps = [line for line in words["page.instructions"].splitlines() if line.strip()]
        return Templates(
            push_title=self._compile(push, words["push.title"]),
            push_body=self._compile(push, words["push.body"]),
            sms=self._compile(folder / "sms.txt", words["sms.text"]),
            email_subject=self._compile(email, words["email.subject"]),
            email_text=self._compile(email, mail_text),
            email_html=self._compile(folder / "email.html", mail_html, html=True),
            headline=self._compile(page, words["page.headline"]),
            description=self._compile(page, words["page.description"]),
            instructions=tuple(self._compile(page, step) for step in steps),
            placeholders=placeholders,
        )

    def _compile(self, path: Path, source: str, *, html: bool = False) -> Template:
        if not source.strip():
            raise CatalogueError(path, "a piece is empty; see README.md for what each line is")
        try:
            return _from_string(self.html if html else self.text, source)
        except TemplateError as error:
            raise CatalogueError(path, str(error)) from error

    def _placeholders(self, folder: Path, sources: Mapping[str, str]) -> Iterator[str]:
        for name, source in sources.items():
            try:
                yield from _placeholders_of(self.text, source)
            except TemplateNotFound as error:
                raise CatalogueError(folder / name, f"extends {error.name}, not found") from error
            except TemplateError as error:
                raise CatalogueError(folder / name, str(error)) from error


def _within(places: ShownPlaces | Gap, limit: int) -> str:
    return places.within(limit)


def _opening(value: object) -> str:
    text = str(value)
    return text[:1].upper() + text[1:]


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogueError(path, "is not UTF-8") from error


@lru_cache(maxsize=4096)
def _from_string(environment: ImmutableSandboxedEnvironment, source: str) -> Template:
    """Compile a piece once: who types changes one of them, and the others stay as they are."""
    return environment.from_string(source)


@lru_cache(maxsize=1024)
def _placeholders_of(environment: ImmutableSandboxedEnvironment, source: str) -> frozenset[str]:
    """Find what a source asks for, with the layouts it extends: each of them is read once."""
    tree = environment.parse(source)
    found = set(meta.find_undeclared_variables(tree))
    for layout in meta.find_referenced_templates(tree):
        if layout and environment.loader:
            text = environment.loader.get_source(environment, layout)[0]
            found |= _placeholders_of(environment, text)
    return frozenset(found)


def page_lines(source: str) -> tuple[str, list[str], list[str]]:
    """Cut a page into its headline, its lines of description and its steps without numbers."""
    headline, rest = _first_line(source)
    lines = rest.splitlines()
    cause = [line for line in lines if not _STEP.match(line)]
    return headline, cause, [_STEP.sub("", line, 1) for line in lines if _STEP.match(line)]


def _first_line(source: str) -> tuple[str, str]:
    first, _, rest = source.lstrip().partition("\n")
    return first, rest
