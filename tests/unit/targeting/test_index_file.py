"""An index in its file: the same answers, shared pages, and a clear word when it is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from targeting.index import IndexFileError, PeopleIndex
from targeting.index_file import MAGIC
from tests.unit.targeting.people import (
    LANGUAGES,
    SOUTH,
    WEST,
    People,
    check,
    random_people,
    square,
)

PEOPLE = random_people(np.random.default_rng(1), 300).add(9_999, 10_666_000, 1_077_000, 3)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "people.idx"
    PEOPLE.index().save(path, {"built": "2026-03-01T07:00:00+07:00", "upto": 12})
    return path


def test_a_saved_index_answers_as_it_did_and_keeps_its_notes(saved: Path) -> None:
    index = PeopleIndex.open(saved)
    assert index.meta == {"built": "2026-03-01T07:00:00+07:00", "upto": 12}
    assert index.languages == LANGUAGES
    for edge in (100, 500, 999):
        check(PEOPLE, square(WEST, SOUTH, WEST + edge, SOUTH + 700), {2, 3}, index)
    check(PEOPLE, shapely.box(0, 0, 179, 89), set(), index)
    built = PEOPLE.index()
    assert index.count_units([1, 3]) == built.count_units([1, 3])
    assert (index.people, index.places, index.nbytes) == (built.people, built.places, built.nbytes)
    box = 105, 20, 106, 22, 7, 5
    assert np.array_equal(index.density(*box), built.density(*box))
    for mine, theirs in zip(index.places_of([9_999]), built.places_of([9_999]), strict=True):
        assert mine.tolist() == theirs.tolist()


def test_columns_are_views_of_the_file_that_nobody_can_write(saved: Path) -> None:
    index = PeopleIndex.open(saved)
    for name, column in index._arrays().items():
        assert not column.flags.owndata, name
        assert not column.flags.writeable, name


def test_the_file_is_its_owners_and_an_open_one_outlives_its_successor(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    before = PeopleIndex.open(saved)
    People().add(1, WEST, SOUTH).index().save(saved)
    assert PeopleIndex.open(saved).people == 1
    assert before.people == 301
    check(PEOPLE, square(WEST, SOUTH, WEST + 500, SOUTH + 500), {1}, before)
    assert [path.name for path in saved.parent.iterdir()] == ["people.idx"]


def test_an_empty_index_is_a_file_too(tmp_path: Path) -> None:
    PeopleIndex.build([], [], [], [], [], []).save(tmp_path / "nobody.idx")
    index = PeopleIndex.open(tmp_path / "nobody.idx")
    assert (index.people, index.places, index.meta) == (0, 0, {})
    assert index.count(shapely.box(0, 0, 179, 89), [1]) == 0


def test_nothing_is_left_behind_when_writing_fails(saved: Path) -> None:
    whole = saved.read_bytes()
    with pytest.raises(TypeError):
        PEOPLE.index().save(saved, {"when": object()})
    assert saved.read_bytes() == whole
    assert [path.name for path in saved.parent.iterdir()] == ["people.idx"]


def test_a_file_that_is_cut_short_anywhere_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in {0, 3, 8, 12, 40, len(whole) // 2, len(whole) - 1}:
        saved.write_bytes(whole[:length])
        with pytest.raises(IndexFileError, match=str(saved)):
            PeopleIndex.open(saved)
    saved.write_bytes(whole + b"x")
    with pytest.raises(IndexFileError, match="damaged"):
        PeopleIndex.open(saved)


def header_of(path: Path) -> tuple[dict[str, object], bytes]:
    data = path.read_bytes()
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    return json.loads(data[start : start + length]), data[start + length :]


def rewritten(path: Path, **changes: object) -> None:
    header, rest = header_of(path)
    text = json.dumps(header)
    # The header keeps its length, so that the columns stay where they are.
    new = json.dumps(header | changes, separators=(",", ":")).ljust(len(text)).encode()
    path.write_bytes(MAGIC + len(new).to_bytes(8, "little") + new + rest)


def test_another_version_is_named(saved: Path) -> None:
    rewritten(saved, version=99)
    with pytest.raises(IndexFileError, match="has version 99, this program reads"):
        PeopleIndex.open(saved)


@pytest.mark.parametrize("wrong", ["sections", "facts", "offset", "dtype", "shape", "lacking"])
def test_a_header_that_lies_is_refused(saved: Path, wrong: str) -> None:
    header, _ = header_of(saved)
    sections = json.loads(json.dumps(header["sections"]))
    if wrong == "offset":
        sections["persons"]["offset"] = 10**9
    elif wrong == "dtype":
        sections["persons"]["dtype"] = "|O8"
    elif wrong == "shape":
        sections["persons"]["shape"] = [-1]
    elif wrong == "lacking":
        del sections["persons"]
    changes = {"facts": {}} if wrong == "facts" else {"sections": sections}
    rewritten(saved, **({"sections": 7} if wrong == "sections" else changes))
    with pytest.raises(IndexFileError, match="damaged"):
        PeopleIndex.open(saved)


def test_what_is_not_an_index_is_refused(tmp_path: Path) -> None:
    for name, content in (("a", b"hello"), ("b", b"PK" * 500)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(IndexFileError, match="is not an index"):
            PeopleIndex.open(tmp_path / name)
    with pytest.raises(IndexFileError, match="there is no index at"):
        PeopleIndex.open(tmp_path / "missing")
    with pytest.raises(IndexFileError):
        PeopleIndex.open(tmp_path)


def test_the_file_keeps_to_32_bytes_a_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    n = 200_000
    x, y = WEST + rng.integers(0, 40_000, (2, n))
    person = rng.integers(0, n, n)
    index = PeopleIndex.build(person, x, y, rng.integers(1, 127, n), np.ones(n), np.zeros(n))
    index.save(tmp_path / "people.idx")
    assert (tmp_path / "people.idx").stat().st_size / index.places <= 32
