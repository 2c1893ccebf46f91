"""Reads XML from strangers: no document type, no entity, nothing fetched, every line known."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

MOST_BYTES = 8 * 1024 * 1024
_DEEPEST = 40


class UnsafeXml(ValueError):  # noqa: N818 - what it is, not that it failed
    """The file is not read: too large, or with declarations that could fetch or explode."""

    def __init__(self, code: str, line: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.line = line


@dataclass(slots=True)
class Node:
    """One element."""

    namespace: str
    name: str
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> list[Node]:
        """Return the children of a name."""
        return [child for child in self.children if child.name == name]

    def first(self, name: str) -> Node | None:
        """Return the first child of a name."""
        return next(iter(self.all(name)), None)

    def value(self, name: str) -> str:
        """Return the text of the first child of a name, "" when there is none."""
        child = self.first(name)
        return child.text.strip() if child else ""


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        node = Node(namespace, name, self.parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)
        if len(self._open) > _DEEPEST:
            raise UnsafeXml("too_deep", node.line, "elements are nested too deeply")

    def _end(self, qualified: str) -> None:
        self._open.pop()

    def _data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def _refuse(self, *declaration: object) -> None:
        line = self.parser.CurrentLineNumber
        raise UnsafeXml("doctype", line, "a document type or an entity is declared")


def read(data: bytes) -> Node:
    """Return the root element; raises UnsafeXml, also for what is no XML."""
    if len(data) > MOST_BYTES:
        raise UnsafeXml("too_large", 0, f"more than {MOST_BYTES} bytes")
    builder = _Builder()
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UnsafeXml("not_xml", error.lineno, str(error)) from error
    if builder.root is None:
        raise UnsafeXml("not_xml", 0, "there is no element")
    return builder.root
