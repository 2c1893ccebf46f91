"""The map the tests of this package draw on."""

import os
from datetime import date
from pathlib import Path

import pytest

from targeting.outlines import Outlines
from targeting.units import read_groups, read_units
from targeting.units_file import UnitsFile, read_units_file
from tests.unit.targeting.maps import SQUARE, TRIANGLE, parts_of, write_shapefile

REPOSITORY = Path(__file__).resolve().parents[3]
REFORM = date(2025, 7, 1)


@pytest.fixture(scope="session")
def drawn() -> Outlines:
    return Outlines.drawn(read_units(), read_groups())


@pytest.fixture(scope="session")
def boundaries() -> Path:
    shared = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("BOUNDARIES_DIR", shared)) / "hanoi"
    if not (folder / "hanoi_communes_2025.geojson").exists():
        pytest.skip("the real boundary files are not here")
    return folder


@pytest.fixture(scope="session")
def real_file(boundaries: Path) -> UnitsFile:
    return read_units_file(boundaries / "hanoi_communes_2025.geojson", REFORM)


@pytest.fixture(scope="session")
def real(real_file: UnitsFile) -> Outlines:
    return Outlines(real_file.units, read_groups(), real_file.outlines)


@pytest.fixture
def shapefile(tmp_path: Path) -> dict[str, bytes]:
    return parts_of(write_shapefile(tmp_path / "vùng.shp", [SQUARE, TRIANGLE]))
