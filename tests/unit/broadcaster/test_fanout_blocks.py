"""The codec of the archive: whatever goes in comes out, and what was touched is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.fanout import blocks
from broadcaster.fanout.blocks import ArchiveBrokenError, Columns, kind_of

TIMES = st.integers(0, 2**50)
TEXTS = st.lists(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=8),
    unique=True,
    max_size=4,
)


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    ids = sorted(draw(st.sets(st.integers(0, 2**62), min_size=1, max_size=30)))
    texts = tuple(draw(TEXTS))
    attempts = [draw(st.integers(0, 3)) for _ in ids]

    def some(count: int, values: st.SearchStrategy[int]) -> np.ndarray:
        return np.array([draw(values) for _ in range(count)], dtype=np.int64)

    n, m, told = len(ids), sum(attempts), st.integers(0, len(texts))
    small = st.integers(-(2**15), 2**15 - 1)
    return Columns(
        endpoint_ids=np.array(ids), channels=some(n, st.integers(0, 2)),
        langs=some(n, st.integers(0, 1)), states=some(n, st.integers(0, 7)),
        wordings=some(n, st.integers(0, 2)), tries=some(n, st.integers(0, 2**15 - 1)),
        created_at=some(n, TIMES), updated_at=some(n, TIMES), reasons=some(n, told),
        attempts=np.array(attempts), numbers=some(m, st.integers(0, 2**15 - 1)),
        at=some(m, TIMES), providers=some(m, small.filter(lambda p: p >= 0)),
        results=some(m, told), attempt_reasons=some(m, told), texts=texts,
    )  # fmt: skip


@given(columns())
def test_what_goes_in_comes_out(before: Columns) -> None:
    block = blocks.pack(before, b"c" * 32)
    after = blocks.unpack(block.first_id, block.ids, block.facts)
    assert after.same(before)
    assert np.array_equal(blocks.unpack_ids(block.first_id, block.ids), before.endpoint_ids)
    assert (block.first_id, block.last_id) == (before.endpoint_ids[0], before.endpoint_ids[-1])


@given(columns(), st.data())
def test_some_are_picked_without_opening_all(whole: Columns, data: st.DataObject) -> None:
    block = blocks.pack(whole, b"c" * 32)
    asked = data.draw(st.sets(st.sampled_from([*whole.endpoint_ids.tolist(), 5, 2**62])))
    wanted = np.array(sorted(asked), dtype=np.int64)
    picked = blocks.pick(block.first_id, block.ids, block.facts, wanted)
    known = np.flatnonzero(np.isin(whole.endpoint_ids, wanted)).tolist()
    assert len(picked) == len(known)
    for place, at in enumerate(known):
        assert picked.part(place, place + 1).same(whole.part(at, at + 1))


@given(columns(), st.data())
def test_parts_make_the_whole(whole: Columns, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(whole)))
    one, other = whole.part(0, cut), whole.part(cut, len(whole))
    assert len(one) + len(other) == len(whole)
    for name in ("endpoint_ids", "updated_at", "at", "attempt_reasons"):
        assert np.array_equal(np.append(one.plain(name), other.plain(name)), whole.plain(name))


@given(columns())
def test_kinds_have_the_bit_of_every_pair_and_no_other(some: Columns) -> None:
    pairs = set(zip(some.channels.tolist(), some.states.tolist(), strict=True))
    for number, channel in enumerate(blocks.CHANNELS):
        for place, state in enumerate(blocks.STATES):
            assert bool(some.kinds & kind_of(channel, state)) == ((number, place) in pairs)
    assert some.kinds & kind_of(None, None) == some.kinds


@given(columns())
def test_columns_that_differ_are_not_the_same(some: Columns) -> None:
    assert some.same(replace(some, texts=(*some.texts, "unused")))
    assert not some.same(replace(some, states=(some.states + 1) % 8))
    told = replace(some, reasons=np.full(len(some), len(some.texts) + 1), texts=(*some.texts, "x"))
    assert not some.same(told)


def test_a_damaged_block_is_refused() -> None:
    for damaged in (b"", b"no zlib", b"x\x9c\x03\x00\x00\x00\x00\x01"):
        with pytest.raises(ArchiveBrokenError):
            blocks.unpack_ids(1, damaged)
