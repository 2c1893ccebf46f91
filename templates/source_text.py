"""A piece's source with its placeholders: where a letter of the filled text came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from jinja2 import Environment, TemplateSyntaxError, nodes

_CONSTRUCT = re.compile(r"{{.*?}}|{%.*?%}|{#.*?#}", re.DOTALL)
_PARSER = Environment(autoescape=True)


def literal(source: str) -> str:
    """Blank out the constructs, letter for letter, so that every index stays what it was."""
    return _CONSTRUCT.sub(lambda found: " " * len(found[0]), source)


def tokens(source: str) -> Iterator[tuple[int, str]]:
    """Cut a source into its constructs and single letters, each with its index."""
    at = 0
    for found in _CONSTRUCT.finditer(source):
        yield from enumerate(source[at : found.start()], at)
        yield found.start(), found[0]
        at = found.end()
    yield from enumerate(source[at:], at)


def exceeding(source: str, filled: str, limit: int) -> int:
    """Return the index in the source of what carries the filled text past `limit` letters.

    Letters of the source are followed through the filled text; a placeholder takes whatever
    stands before the next letters of the source.
    """
    cursor, last = 0, 0
    parts = list(tokens(source))
    for number, (index, part) in enumerate(parts):
        if len(part) > 1:
            after = _run(parts, number + 1)
            found = filled.find(after, cursor) if after else len(filled)
            if found > limit:
                return index
            cursor = max(cursor, found)
        elif cursor < len(filled) and filled[cursor] == part:
            cursor += 1
            if cursor > limit:
                return index
        last = index
    return last


def _run(parts: list[tuple[int, str]], start: int) -> str:
    """Return the letters behind a construct, up to the next one."""
    letters = []
    for _, part in parts[start : start + 6]:
        if len(part) > 1:
            break
        letters.append(part)
    return "".join(letters)


@lru_cache(maxsize=4096)
def names(source: str) -> frozenset[str]:
    """Return the names a source shows or asks about; none where it cannot be parsed."""
    try:
        return frozenset(node.name for node in _PARSER.parse(source).find_all(nodes.Name))
    except TemplateSyntaxError:
        return frozenset()
