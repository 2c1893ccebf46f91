"""The file of an index: a JSON header and aligned columns, opened as views that processes share.

A file is written beside its place under a temporary name, synced and moved over the old one, so
that a reader sees a whole file or none, and one that holds the old file keeps it.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

MAGIC = b"PLACEIDX"
VERSION = 1
# Columns begin on a cache line.
ALIGN = 64
# The header's length, in bytes, as a little-endian number of this many bytes after the magic.
_LENGTH_BYTES = 8
_PREFIX = len(MAGIC) + _LENGTH_BYTES
_KINDS = frozenset("iu")

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class IndexFileError(Exception):
    """The file cannot be used: not there, not ours, of another version, or cut short."""


@dataclass(frozen=True, slots=True)
class Sections:
    """What a file holds: small facts, the writer's own notes, and named columns."""

    facts: dict[str, Any]
    arrays: Arrays
    meta: dict[str, Any] = field(default_factory=dict)


def write_sections(path: Path, sections: Sections) -> None:
    """Write the file whole or not at all, readable by its owner only."""
    table, size = _layout(sections.arrays)
    header = {
        "version": VERSION,
        "size": size,
        "facts": sections.facts,
        "meta": sections.meta,
        "sections": table,
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open("r+b") as file:
            text = json.dumps(header).encode()
            file.write(MAGIC + len(text).to_bytes(_LENGTH_BYTES, "little") + text)
            start = file.tell()
            for name, array in sections.arrays.items():
                file.seek(_aligned(start) + table[name]["offset"])
                np.ascontiguousarray(array).tofile(file)
            file.truncate(_aligned(start) + size)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read_sections(path: Path) -> Sections:
    """Open the columns of a file as read-only views; nothing is copied.

    Raises IndexFileError when the file is not there, not one of ours, of another version, or
    shorter than its header says.
    """
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
    except FileNotFoundError as error:
        raise IndexFileError(f"there is no index at {path}") from error
    except (OSError, ValueError) as error:
        raise IndexFileError(f"{path} cannot be opened: {error}") from error
    header, start = _header(path, data)
    if len(data) != start + header["size"]:
        raise IndexFileError(f"{path} is damaged: it is not as long as it says")
    try:
        arrays = {
            name: _view(data, start + entry["offset"], entry["dtype"], entry["shape"])
            for name, entry in header["sections"].items()
        }
        return Sections(header["facts"], arrays, header["meta"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexFileError(f"{path} is damaged: its header is wrong") from error


def _header(path: Path, data: NDArray[np.uint8]) -> tuple[dict[str, Any], int]:
    """Return the header and where the columns begin."""
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise IndexFileError(f"{path} is not an index of people's places")
    length = int.from_bytes(bytes(data[len(MAGIC) : _PREFIX]), "little")
    try:
        header = json.loads(bytes(data[_PREFIX : _PREFIX + length]))
        version, size = header["version"], int(header["size"])
    except (ValueError, KeyError, TypeError) as error:
        raise IndexFileError(f"{path} is damaged: its header cannot be read") from error
    if version != VERSION:
        raise IndexFileError(f"{path} has version {version}, this program reads {VERSION}")
    return {**header, "size": size}, _aligned(_PREFIX + length)


def _layout(arrays: Arrays) -> tuple[dict[str, dict[str, Any]], int]:
    """Return where each column goes, counted from the end of the header, and the size of all."""
    table: dict[str, dict[str, Any]] = {}
    end = 0
    for name, array in arrays.items():
        offset = _aligned(end)
        table[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "offset": offset}
        end = offset + array.nbytes
    return table, end


def _view(data: NDArray[np.uint8], offset: int, dtype: str, shape: list[int]) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or offset < 0 or min(shape, default=0) < 0:
        raise ValueError("not a column")
    end = offset + kind.itemsize * math.prod(shape)
    if end > len(data):
        raise ValueError("a column lies outside the file")
    # A plain array over the map: the subclass costs a microsecond at every slice.
    return np.asarray(data[offset:end]).view(kind).reshape(shape)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


def _sync_directory(directory: Path) -> None:
    """Make the move itself survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
