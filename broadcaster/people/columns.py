"""Millions of rows out of PostgreSQL as numpy columns, by binary COPY."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn

_HEADER = 19
"""Signature, flags and an empty extension: what PostgreSQL puts before the first row."""
_TRAILER = 2
_ROW_OF_ONE = struct.Struct(">hi")
"""How many columns follow, and the length of the first."""


async def copy_columns(
    conn: Conn, query: str, columns: Sequence[tuple[str, str]], *arguments: Any
) -> NDArray[Any]:
    """Return the rows of a query of fixed-size columns as one structured array.

    `columns` names each and gives its numpy type without byte order (`i2`, `i4`, `i8`). None of
    the columns may be null: a row then has one size and nothing needs to be read one by one.
    """
    sink = io.BytesIO()
    await conn.copy_from_query(query, *arguments, output=sink, format="binary")
    fields: list[tuple[str, str]] = [("_fields", ">i2")]
    for name, kind in columns:
        fields += [(f"_{name}", ">i4"), (name, f">{kind}")]
    shape = np.dtype(fields)
    body = sink.getbuffer()[_HEADER:]
    if (len(body) - _TRAILER) % shape.itemsize:
        raise ValueError("a row is not of the size its columns say: is one of them null?")
    return np.frombuffer(body, shape, (len(body) - _TRAILER) // shape.itemsize)


async def copy_values(conn: Conn, query: str, take: Callable[[bytes], None]) -> None:
    """Hand over the values of a query's one bytea column as they arrive, many joined at a time.

    None of them may be null. The work of `take` overlaps with the server's.
    """
    skip, rest = _HEADER, b""

    async def receive(piece: bytes) -> None:
        nonlocal skip, rest
        sent = memoryview(rest + piece if rest else piece)
        at, values = skip, []
        while at + _ROW_OF_ONE.size <= len(sent):
            _, length = _ROW_OF_ONE.unpack_from(sent, at)
            end = at + _ROW_OF_ONE.size + length
            if end > len(sent):
                break
            values.append(sent[at + _ROW_OF_ONE.size : end])
            at = end
        # The trailer, shorter than any row, is left over at the end.
        skip, rest = max(0, at - len(sent)), bytes(sent[at:])
        if values:
            take(b"".join(values))

    await conn.copy_from_query(query, output=receive, format="binary")
