"""Is a template fit to be used? Every limit proven with the longest values beforehand.

Pure: a document in, a list of findings out. What is blocking keeps a template from review; the
rest is advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from templates import constructs, document, limits, parts, reading, sms_lint
from templates.catalogue import load
from templates.document import PIECES, Document
from templates.event import LANGS, Event
from templates.files import CatalogueError, Templates
from templates.finding import Finding, Place
from templates.pieces import Problem, Wording
from templates.render import fill
from templates.sms_lint import Figures
from templates.source_text import literal
from templates.values import Gap, read


@dataclass(frozen=True, slots=True)
class Report:
    """What the linter says of one template."""

    event: str
    findings: tuple[Finding, ...]
    sms: Mapping[str, Figures]
    """What the text message costs, by language; empty where it could not be filled."""

    @property
    def blocked(self) -> bool:
        """Whether anything must be mended first."""
        return any(finding.blocking for finding in self.findings)


def lint(written: Document, *, operators: Sequence[str] | None = None) -> Report:
    """Look at everything; `operators` want the wording of text messages registered with them.

    None: those that `common.toml` names.
    """
    operators = load().registering if operators is None else operators
    code = written.code or "document"
    findings = [*_constructs(written, code), *parts.shape(written)]
    try:
        event = document.read_event(written)
        if findings:
            return Report(code, tuple(findings), {})
        compiled = {lang: document.compiled(written, lang) for lang in LANGS}
    except CatalogueError as error:
        return Report(code, (*findings, _unreadable(code, error)), {})
    findings += parts.unknown(written, event)
    findings += sms_lint.approvals(event, operators)
    if any(finding.blocking and finding.code.startswith("field.") for finding in findings):
        return Report(code, (*findings, *_unfilled(written, code)), {})
    findings += parts.lint(written, event)
    figures: dict[str, Figures] = {}
    for lang in LANGS:
        examples = example(event, compiled[lang], lang)
        findings += limits.lint(written, event, lang, partial(_fill, event, compiled[lang], lang))
        required = _fill(event, compiled[lang], lang, _required(event))
        figures[lang] = sms_lint.figures(examples, required)
        findings += sms_lint.lint(written, lang, figures[lang])
        for piece in PIECES:
            source = written.words[lang][piece]
            findings += reading.lint(code, lang, piece, source, piece_of(examples, piece))
    findings.sort(key=lambda found: not found.blocking)
    return Report(code, tuple(findings), figures)


def _unfilled(written: Document, code: str) -> Iterator[Finding]:
    """Read what cannot be filled yet as it stands, its placeholders left out."""
    for lang in LANGS:
        for piece in PIECES:
            source = written.words[lang][piece]
            plain = " ".join(literal(source).split())
            yield from reading.lint(code, lang, piece, source, plain)


def example(event: Event, templates: Templates, lang: str) -> Wording:
    """Fill a template with the examples of its fields."""
    return _fill(event, templates, lang, event.examples())


def _required(event: Event) -> dict[str, Any]:
    return {field.name: field.example for field in event.fields if field.required}


def _fill(event: Event, templates: Templates, lang: str, values: Mapping[str, Any]) -> Wording:
    shown: dict[str, Any] = {"contacts": load().contacts}
    for field in event.fields:
        value = read(field, lang, values.get(field.name))
        shown[field.name] = Gap(field.label[lang]) if isinstance(value, Problem) else value
    # With diacritics: what the plain text costs is counted beside it.
    return fill(templates, shown, sms_diacritics=True)


def piece_of(wording: Wording, piece: str) -> str:
    """Return one piece of a filled wording as text."""
    channel, _, part = piece.partition(".")
    value = getattr(getattr(wording, channel), part)
    return value if isinstance(value, str) else "\n".join(value)


def _constructs(written: Document, code: str) -> Iterator[Finding]:
    for lang in LANGS:
        for piece in PIECES:
            for found in constructs.refused(written.words[lang][piece]):
                yield Finding(
                    "wording.construct", True, code, Place(lang, piece, found.line),
                    f"“{found.what}” không dùng được trong lời của mẫu.",
                    f"“{found.what}” cannot be used in a template's words.",
                    "Chỉ dùng {{ ô }}, {% if ô %}…{% endif %}, within và opening.",
                    "Use {{ field }}, {% if field %}…{% endif %}, within and opening only.",
                    piece.partition(".")[0],
                )  # fmt: skip


def _unreadable(code: str, error: CatalogueError) -> Finding:
    steps = error.path.parts
    lang = next((step for step in steps if step in LANGS), "")
    where = steps[-1] if lang else ""
    piece = next((one for one in PIECES if where in (one, document.FILE_OF[one])), where)
    return Finding(
        "document.unreadable", True, code, Place(lang, piece),
        f"Không đọc được mẫu: {error.what}.", f"The template cannot be read: {error.what}.",
        "Sửa chỗ này rồi lưu lại.", "Correct it and save again.",
    )  # fmt: skip
