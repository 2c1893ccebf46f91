"""The words of a PDF as its reader would copy them: by the maps its fonts bring along."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*)\r?\nendstream", re.DOTALL)
_SHOWN = re.compile(rb"/(F\d+) [\d.]+ Tf|\(((?:[^()\\]|\\.)*)\) ?Tj", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def text_of(pdf: bytes) -> str:
    """All that is shown, page after page."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    streams = {number: _unpacked(body) for number, body in objects.items()}
    fonts = {}
    for body in objects.values():
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", body):
            found = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])
            if found:
                fonts[name] = _map(streams[int(found[1])])
    shown, font = [], b""
    for _, body in sorted(streams.items()):
        if b"BT" in body and b"Tj" in body:
            for name, text in _SHOWN.findall(body):
                if name:
                    font = name
                else:
                    shown.append(_decoded(text, fonts[font]))
            shown.append("\n")
    return " ".join(shown)


def _unpacked(body: bytes) -> bytes:
    found = _STREAM.search(body)
    if found is None:
        return b""
    return zlib.decompress(found[1]) if b"/FlateDecode" in body else found[1]


def _map(cmap: bytes) -> dict[int, str]:
    pairs: dict[int, str] = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for glyph, letters in re.findall(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block):
            pairs[int(glyph, 16)] = bytes.fromhex(letters.decode()).decode("utf-16-be")
    return pairs


def _decoded(text: bytes, letters: dict[int, str]) -> str:
    plain = re.sub(rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
    codes = (int.from_bytes(plain[at : at + 2]) for at in range(0, len(plain), 2))
    return "".join(letters.get(code, "?") for code in codes)
