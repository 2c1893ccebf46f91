"""Millions of rows out of PostgreSQL as numpy columns, by binary COPY."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn

_HEADER = 19
"""Signature, flags and an empty extension: what PostgreSQL puts before the first row."""
_TRAILER = 2


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
