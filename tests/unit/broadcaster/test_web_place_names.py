"""The names an alert gives its places: a former district never bears the name of a ward."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.db import Pool
from broadcaster.people.units import seed_units
from broadcaster.web.console.places import cover, place_names
from broadcaster.web.geography import Atlas, Geography
from templates.values import PLACE_MAX
from tests.unit.broadcaster.city import NOW

VINTAGE = "2025-07-01"
HOAN_KIEM = "002"


@pytest.fixture
async def atlas(pool: Pool) -> Atlas:
    async with pool.acquire() as conn:
        await seed_units(conn, NOW)
    return await Geography(pool).atlas()


def named(atlas: Atlas, area: dict[str, Any]) -> dict[str, list[str]]:
    return place_names(atlas, cover(atlas, area), area)


def members(atlas: Atlas, code: str) -> list[dict[str, str]]:
    keys = atlas.map.outlines.groups[code].keys
    return [{"code": key.code, "vintage": VINTAGE} for key in keys]


async def test_a_former_district_is_told_from_the_ward_of_its_name(atlas: Atlas) -> None:
    district = {"groups": [HOAN_KIEM]}
    assert named(atlas, district) == {
        "vi": ["quận Hoàn Kiếm cũ"],
        "en": ["former Hoan Kiem District"],
    }
    ward = {"units": [{"code": "00070", "vintage": VINTAGE}]}
    assert named(atlas, ward) == {"vi": ["Hoàn Kiếm"], "en": ["Hoan Kiem Ward"]}


async def test_a_district_without_one_of_its_wards_is_a_part_of_it(atlas: Atlas) -> None:
    first, *others = members(atlas, HOAN_KIEM)
    less = {"groups": [HOAN_KIEM], "exclusions": {"units": [first]}}
    assert named(atlas, less) == {
        "vi": ["một phần quận Hoàn Kiếm cũ"],
        "en": ["part of former Hoan Kiem District"],
    }
    elsewhere = {"groups": [HOAN_KIEM], "exclusions": {"groups": ["275"]}}
    assert named(atlas, elsewhere)["vi"] == ["quận Hoàn Kiếm cũ"]
    ward = {"code": "09877", "vintage": VINTAGE}
    nothing = {
        "groups": [HOAN_KIEM], "units": [ward], "exclusions": {"units": [first, *others]}
    }  # fmt: skip
    assert len(named(atlas, nothing)["vi"]) == 1
    assert "Hoàn Kiếm" not in named(atlas, nothing)["vi"][0]


async def test_every_district_fits_where_one_place_fits(atlas: Atlas) -> None:
    for group in atlas.groups:
        less = {"groups": [group.code], "exclusions": {"units": members(atlas, group.code)[:1]}}
        for lang, names in named(atlas, less).items():
            assert len(names) == 1, group.name
            assert len(names[0]) <= PLACE_MAX, (lang, names)
