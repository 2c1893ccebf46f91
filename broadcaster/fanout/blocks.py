"""Deliveries and their attempts as columns, and columns as few bytes: the codec of the archive.

Sorted ids are kept as differences; times, which whole groups of outcomes share, as places in a
list of the block's moments; everything in the order of channels, so that equal things stand side
by side; then byte plane by byte plane through zlib. Of the compressors at hand it is the one that
comes with Python and opens a block in a fraction of a millisecond: lzma saves a tenth more and
takes ten times as long to read.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.fanout.policy import CHANNELS
from broadcaster.states import DeliveryState

BLOCK = 1_024
"""Deliveries of a block. Opened in half a millisecond; twice as many would save a tenth of a byte
a delivery and take half as long again for each alert of a person's list."""
STATES = tuple(state.value for state in DeliveryState)
LANGS = ("vi", "en")
_VERSION = 1
_LEVEL = 6
_DIGEST = 16
_WIDTHS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))

Numbers = NDArray[np.int64]


class ArchiveBrokenError(RuntimeError):
    """A stored block does not match its digest, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Deliveries of one alert, endpoint ids ascending, and their attempts in the same order.

    Times count microseconds since 2000, as PostgreSQL does. Texts are places in `texts`, from 1;
    0 is NULL.
    """

    endpoint_ids: Numbers
    channels: Numbers
    """Positions in CHANNELS."""
    langs: Numbers
    """Positions in LANGS."""
    states: Numbers
    """Positions in STATES."""
    wordings: Numbers
    tries: Numbers
    created_at: Numbers
    updated_at: Numbers
    reasons: Numbers
    attempts: Numbers
    """How many rows of the attempts below are each delivery's."""
    numbers: Numbers
    at: Numbers
    providers: Numbers
    results: Numbers
    attempt_reasons: Numbers
    texts: tuple[str, ...]

    def __len__(self) -> int:
        """Count the deliveries."""
        return len(self.endpoint_ids)

    @property
    def kinds(self) -> int:
        """Return a bit for each pair of channel and state among the deliveries."""
        pairs = np.unique(self.channels * len(STATES) + self.states)
        return int(np.bitwise_or.reduce(np.left_shift(np.int64(1), pairs), initial=np.int64(0)))

    @property
    def first_attempts(self) -> Numbers:
        """Return the place of each delivery's first attempt."""
        return np.cumsum(self.attempts) - self.attempts

    def part(self, start: int, end: int) -> Columns:
        """Return some deliveries with their attempts."""
        taken = slice(start, end)
        ends = np.concatenate(([0], np.cumsum(self.attempts)))
        tried = slice(int(ends[start]), int(ends[min(end, len(self))]))
        return replace(
            self,
            **{name: getattr(self, name)[taken] for name in _OF_DELIVERY},
            **{name: getattr(self, name)[tried] for name in _OF_ATTEMPT},
        )

    def same(self, other: Columns) -> bool:
        """Tell whether all facts are the same, wherever the texts stand."""
        return all(np.array_equal(self.plain(name), other.plain(name)) for name in _NAMES[:-1])

    def plain(self, name: str) -> NDArray[Any]:
        """Return a column by its name, texts as they read; NULL and an empty text differ."""
        column: Numbers = getattr(self, name)
        if name not in _TOLD:
            return column
        return np.array(["0", *(f"1{text}" for text in self.texts)])[column]


_NAMES = tuple(field.name for field in fields(Columns))
_OF_DELIVERY = _NAMES[: _NAMES.index("numbers")]
_OF_ATTEMPT = _NAMES[len(_OF_DELIVERY) : -1]
_TOLD = frozenset({"reasons", "results", "attempt_reasons"})


def kind_of(channel: str | None, state: str | None) -> int:
    """Return the bits of `kinds` that a search for a channel, a state or both asks for."""
    return sum(
        1 << (number * len(STATES) + place)
        for number, name in enumerate(CHANNELS)
        for place, label in enumerate(STATES)
        if channel in (None, name) and state in (None, label)
    )


@dataclass(frozen=True, slots=True)
class Block:
    """Columns as they are stored."""

    first_id: int
    last_id: int
    kinds: int
    ids: bytes
    facts: bytes
    digest: bytes


def pack(columns: Columns, chain_hash: bytes) -> Block:
    """Pack at least one delivery; the digest ties them to what the audience is chained by."""
    first, last = int(columns.endpoint_ids[0]), int(columns.endpoint_ids[-1])
    ids = _squeeze([np.diff(columns.endpoint_ids, prepend=first)], ())
    facts = _squeeze(*_facts(columns))
    return Block(first, last, columns.kinds, ids, facts, digest(chain_hash, first, ids, facts))


def digest(chain_hash: bytes, first_id: int, ids: bytes, facts: bytes) -> bytes:
    """Return 16 bytes of SHA-256 over an audience's chain and a block as it is stored."""
    start = chain_hash + struct.pack("<qi", first_id, len(ids))
    return hashlib.sha256(start + ids + facts).digest()[:_DIGEST]


def unpack_ids(first_id: int, ids: bytes) -> Numbers:
    """Return the sorted endpoint ids of a block; raises ArchiveBrokenError."""
    (steps,), _ = _spread(ids)
    return first_id + np.cumsum(steps.all())


def unpack(first_id: int, ids: bytes, facts: bytes) -> Columns:
    """Return everything of a block; raises ArchiveBrokenError."""
    endpoint_ids = unpack_ids(first_id, ids)
    packed, texts = _spread(facts)
    try:
        return _columns(endpoint_ids, [column.all() for column in packed], texts)
    except (IndexError, ValueError) as error:
        raise ArchiveBrokenError("a block of the archive does not add up") from error


def pick(first_id: int, ids: bytes, facts: bytes, wanted: Numbers) -> Columns:
    """Return those of the wanted endpoints (sorted) that are in a block, without opening it all.

    Raises ArchiveBrokenError.
    """
    endpoint_ids = unpack_ids(first_id, ids)
    places = np.searchsorted(endpoint_ids, wanted)
    there = places < len(endpoint_ids)
    there[there] = endpoint_ids[places[there]] == wanted[there]
    packed, texts = _spread(facts)
    try:
        return _picked(endpoint_ids, places[there], packed, texts)
    except (IndexError, ValueError) as error:
        raise ArchiveBrokenError("a block of the archive does not add up") from error


def _facts(columns: Columns) -> tuple[list[Numbers], tuple[str, ...]]:
    """Return everything but the ids, grouped by channel, and the texts that are in use."""
    order = np.argsort(columns.channels, kind="stable")
    tried = _of_attempts(columns, order)
    moments, places = np.unique(
        np.concatenate((columns.created_at[order], columns.updated_at[order], columns.at[tried])),
        return_inverse=True,
    )
    count = len(columns)
    written, moved, at = places[:count], places[count : 2 * count], places[2 * count :]
    texts, reasons, results, attempt_reasons = _texts(columns, order, tried)
    counts = columns.attempts[order]
    facts = [
        np.diff(moments, prepend=moments[0]), moments[:1], columns.channels, columns.langs[order],
        columns.states[order], columns.wordings[order], columns.tries[order] - counts + _SHIFT,
        counts, written, _since_last(moved, at, counts), reasons,
        columns.numbers[tried] - _expected(counts) + _SHIFT, at, columns.providers[tried],
        results, attempt_reasons,
    ]  # fmt: skip
    return facts, texts


_SHIFT = 1 << 15
"""Keeps differences of two small numbers positive."""


def _columns(ids: Numbers, packed: list[Numbers], texts: tuple[str, ...]) -> Columns:
    (steps, start, channels, langs, states, wordings, tries, counts, written, moved, reasons,
     numbers, at, providers, results, attempt_reasons) = packed  # fmt: skip
    moments = start[0] + np.cumsum(steps)
    order = np.argsort(channels, kind="stable")
    moved = _of_last(moved, at, counts)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    # Attempts go back to where their deliveries stand.
    tried = _ranges((np.cumsum(counts) - counts)[back], counts[back])
    return Columns(
        endpoint_ids=ids, channels=channels, langs=langs[back], states=states[back],
        wordings=wordings[back], tries=(tries + counts - _SHIFT)[back],
        created_at=moments[written][back], updated_at=moments[moved][back], reasons=reasons[back],
        attempts=counts[back], numbers=(numbers + _expected(counts) - _SHIFT)[tried],
        at=moments[at][tried], providers=providers[tried], results=results[tried],
        attempt_reasons=attempt_reasons[tried], texts=texts,
    )  # fmt: skip


def _picked(
    ids: Numbers, places: Numbers, packed: list[_Packed], texts: tuple[str, ...]
) -> Columns:
    (steps, start, of_channels, langs, states, wordings, tries, of_counts, written, moved, reasons,
     numbers, at, providers, results, attempt_reasons) = packed  # fmt: skip
    # Where each stands in the order of channels: counting bytes costs a tenth of sorting them.
    channels, counts = of_channels.plain, of_counts.all()
    own = of_channels.some(places)
    order = np.array(
        [
            sum(channels.count(less) for less in range(channels[place]))
            + channels.count(channels[place], 0, place)
            for place in places.tolist()
        ],
        dtype=np.int64,
    )
    attempts = counts[order]
    firsts = (np.cumsum(counts) - counts)[order]
    tried = _ranges(firsts, attempts)
    moments = start.all()[0] + np.cumsum(steps.all())
    at_own = at.some(tried)
    return Columns(
        endpoint_ids=ids[places], channels=own, langs=langs.some(order), states=states.some(order),
        wordings=wordings.some(order), tries=tries.some(order) + attempts - _SHIFT,
        created_at=moments[written.some(order)],
        updated_at=moments[_of_last(moved.some(order), at_own, attempts)],
        reasons=reasons.some(order), attempts=attempts,
        numbers=numbers.some(tried) + _expected(attempts) - _SHIFT, at=moments[at_own],
        providers=providers.some(tried), results=results.some(tried),
        attempt_reasons=attempt_reasons.some(tried), texts=texts,
    )  # fmt: skip


def _of_attempts(columns: Columns, order: Numbers) -> Numbers:
    """Return the places of the attempts when their deliveries are put in another order."""
    return _ranges(columns.first_attempts[order], columns.attempts[order])


def _ranges(starts: Numbers, lengths: Numbers) -> Numbers:
    """Return start, start + 1, … for each range, one behind the other."""
    return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


def _expected(counts: Numbers) -> Numbers:
    """Return the number each attempt has when nobody lost a batch: they are counted from 1."""
    return _ranges(np.ones_like(counts), counts)


def _last(at: Numbers, counts: Numbers) -> Numbers:
    """Return the moment of each delivery's last attempt, -1 where there is none."""
    if not len(at):
        return np.full(len(counts), -1)
    return np.where(counts > 0, at[np.maximum(np.cumsum(counts) - 1, 0)], -1)


def _since_last(moved: Numbers, at: Numbers, counts: Numbers) -> Numbers:
    """Say 0 where nothing moved a delivery after its last attempt: so it is with most."""
    return np.where(moved == _last(at, counts), 0, moved + 1)


def _of_last(moved: Numbers, at: Numbers, counts: Numbers) -> Numbers:
    return np.where(moved == 0, _last(at, counts), moved - 1)


def _texts(
    columns: Columns, order: Numbers, tried: Numbers
) -> tuple[tuple[str, ...], Numbers, Numbers, Numbers]:
    """Return the texts of a block alone, and what refers to them."""
    told = [columns.reasons[order], columns.results[tried], columns.attempt_reasons[tried]]
    used = np.unique(np.concatenate(told))
    used = used[used > 0]
    texts = tuple(columns.texts[place - 1] for place in used.tolist())
    reasons, results, why = (
        np.where(column > 0, np.searchsorted(used, column) + 1, 0) for column in told
    )
    return texts, reasons, results, why


def _squeeze(columns: Sequence[Numbers], texts: Sequence[str]) -> bytes:
    """Put columns of whole numbers from 0, and texts, into few bytes."""
    parts = [struct.pack("<BB", _VERSION, len(columns))]
    for column in columns:
        largest = int(column.max()) if len(column) else 0
        width = next(w for w in _WIDTHS if largest < 1 << (8 * w.itemsize))
        plain = column.astype(width).view(np.uint8).reshape(len(column), width.itemsize)
        parts.append(struct.pack("<BI", width.itemsize, len(column)))
        parts.append(np.ascontiguousarray(plain.T).tobytes())
    # PostgreSQL has no text with this character.
    parts.append("".join(f"{text}\0" for text in texts).encode())
    return zlib.compress(b"".join(parts), _LEVEL)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A column as its byte planes."""

    plain: bytes
    shape: tuple[int, int]
    """Planes, numbers."""

    def all(self) -> Numbers:
        """Return every number."""
        width, length = self.shape
        planes = np.frombuffer(self.plain, np.uint8).reshape(width, length)
        plain = np.ascontiguousarray(planes.T).view(f"<u{width}")
        return plain.reshape(length).astype(np.int64)

    def some(self, places: Numbers) -> Numbers:
        """Return the numbers at these places."""
        # For one or two of them plain numbers are quicker than arrays of them.
        planes, (_, length) = self.plain, self.shape
        found = [
            sum(planes[start + place] << (8 * number)
                for number, start in enumerate(range(0, len(planes), length or 1)))
            for place in places.tolist()
        ]  # fmt: skip
        return np.array(found, dtype=np.int64)


def _spread(packed: bytes) -> tuple[list[_Packed], tuple[str, ...]]:
    try:
        plain = zlib.decompress(packed)
        version, count = struct.unpack_from("<BB", plain)
        if version != _VERSION:
            raise ArchiveBrokenError(f"a block of version {version} is not known")
        columns, place = [], 2
        for _ in range(count):
            width, length = struct.unpack_from("<BI", plain, place)
            start, place = place + 5, place + 5 + width * length
            if place > len(plain):
                raise ArchiveBrokenError("a block of the archive is cut off")
            columns.append(_Packed(plain[start:place], (width, length)))
        # Every text ends with the character PostgreSQL has none with.
        return columns, tuple(plain[place:].decode().split("\0")[:-1])
    except (zlib.error, struct.error, ValueError, TypeError) as error:
        raise ArchiveBrokenError("a block of the archive cannot be read") from error
