"""What a wording may be made of: fields, contacts, `if`, two filters; nothing that can loop.

Units write wordings themselves. A template language lets a writer multiply a text into gigabytes or
loop for hours, sandbox or not, so whatever is not on this short list is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, TemplateSyntaxError, nodes

_ATTRIBUTES = frozenset({"clock", "code", "start", "end", "reply", "rescue", "medical"})
_FILTERS = frozenset({"within", "opening"})
_PLAIN = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.Or,
    nodes.And, nodes.Not, nodes.Compare, nodes.Operand,
)  # fmt: skip
_PARSER = Environment(autoescape=True)
_NAMES = {"For": "for", "Call": "( )", "Assign": "set", "Mul": "*", "Pow": "**", "Add": "+",
          "Concat": "~", "Getitem": "[ ]", "Include": "include", "Extends": "extends",
          "Macro": "macro", "CondExpr": "if … else"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Construct:
    """Something a wording may not hold, and the line it stands on (from 1)."""

    line: int
    what: str


@lru_cache(maxsize=4096)
def refused(source: str) -> tuple[Construct, ...]:
    """Find what a wording may not hold; what cannot be parsed is one finding."""
    return tuple(_refused(source))


def _refused(source: str) -> Iterator[Construct]:
    try:
        tree = _PARSER.parse(source)
    except TemplateSyntaxError as error:
        yield Construct(error.lineno, error.message or "")
        return
    for node in [tree, *tree.find_all(nodes.Node)]:
        if isinstance(node, _PLAIN):
            continue
        if isinstance(node, nodes.Getattr) and node.attr in _ATTRIBUTES:
            continue
        if isinstance(node, nodes.Filter) and node.name in _FILTERS:
            continue
        if isinstance(node, nodes.Getattr):
            yield Construct(node.lineno, f".{node.attr}")
        elif isinstance(node, nodes.Filter):
            yield Construct(node.lineno, f"| {node.name}")
        else:
            kind = type(node).__name__
            yield Construct(node.lineno, _NAMES.get(kind, kind.lower()))
