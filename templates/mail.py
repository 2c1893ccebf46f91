"""HTML for a mail whose text an official has edited by hand."""

from __future__ import annotations

import re
from itertools import groupby

from markupsafe import Markup

_STEP = re.compile(r"\d+\.\s+")


def html_of_text(text: str) -> str:
    """Turn plain text into a fragment: paragraphs, and lists where lines are numbered."""
    return "\n".join(
        _steps(list(run)) if numbered else _paragraph(list(run))
        for paragraph in re.split(r"\n\s*\n", text.strip())
        for numbered, run in groupby(paragraph.splitlines(), _is_step)
    )


def _is_step(line: str) -> bool:
    return _STEP.match(line) is not None


def _paragraph(lines: list[str]) -> str:
    return Markup("<p>{}</p>").format(Markup("<br>").join(lines))


def _steps(lines: list[str]) -> str:
    items = Markup("").join(
        Markup("<li>{}</li>").format(_STEP.sub("", line, count=1)) for line in lines
    )
    return Markup("<ol>{}</ol>").format(items)
