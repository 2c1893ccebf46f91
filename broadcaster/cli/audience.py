"""audience: how many people an area holds, whatever file or list of names says it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from broadcaster.terminal import say
from targeting.area import Area, Shapes
from targeting.area_files import read_area_file
from targeting.errors import AreaError, AreaProblem
from targeting.former import former_units
from targeting.index import Counts
from targeting.names import PlaceNames
from targeting.place_list import read_place_list

_TOP = 10


def add_to(commands: Any) -> None:
    """Add the command."""
    cmd = commands.add_parser("audience", help="how many people an area holds")
    what = cmd.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--area",
        type=Path,
        metavar="FILE",
        help="GeoJSON, Shapefile (zipped too), GeoPackage, KML, KMZ, TopoJSON or CAP",
    )
    what.add_argument(
        "--names", metavar="TEXT", help='names of units, old and new: "P. Ba Đình, quan hoan kiem"'
    )
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=with_context(_audience))


async def _audience(context: Context, given: argparse.Namespace) -> int:
    selector = Selector(context.settings.data_dir / "index")
    try:
        async with context.pool.acquire() as conn:
            units = await selector.map(conn)
            area = _of_file(given.area) if given.area else _of_names(given.names, units)
            now, asked = datetime.now(UTC), area.to_json()
            # The first question loads the index; what an official waits for is the second.
            await selector.count(conn, now, asked)
            start = time.perf_counter()
            counts = await selector.count(conn, now, asked)
            took = (time.perf_counter() - start) * 1000
    except AreaError as error:
        for problem in error.problems:
            mend = f" (repair: {problem.repair})" if problem.repair else ""
            say(f"{given.area or 'names'}: {problem.where}: {problem.message_en}{mend}")
        return 1
    finally:
        await selector.close()
    result = _result(counts, units, round(took, 2))
    if given.as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        _print(result)
    return 0


def _of_file(path: Path) -> Area:
    return read_area_file(path.name, path.read_bytes())


def _of_names(text: str, units: UnitMap) -> Area:
    """Read the names; say what was assumed. Raises AreaError when one is not understood."""
    outlines = units.outlines
    names = PlaceNames(outlines.units.values(), outlines.groups.values(), former_units())
    found = read_place_list(text, names)
    for line in found.lines:
        if line.assumed and line.taken:
            say(line.message_en)
    # The people of the other names are not those that were asked for.
    missed = [line for line in found.lines if not line.taken]
    if missed:
        raise AreaError(
            AreaProblem(line.assumed or "unknown", line.text, line.message_vi, line.message_en)
            for line in missed
        )
    return Area(Shapes(units=found.units, groups=found.groups))


def _result(counts: Counts, units: UnitMap, ms: float) -> dict[str, Any]:
    known = units.outlines.units
    by_unit = [
        {
            "code": known[key].code,
            "vintage": key.vintage.isoformat(),
            "name": known[key].name,
            "people": people,
        }
        for unit_id, people in counts.by_unit.items()
        if (key := units.keys.get(unit_id))
    ]
    return {
        "people": counts.people,
        "channels": dict(counts.by_channel),
        "languages": dict(counts.by_lang),
        "units": sorted(by_unit, key=lambda one: (-int(one["people"]), one["code"])),
        "by_unit_only": counts.by_unit_only,
        "ms": ms,
    }


def _print(result: Mapping[str, Any]) -> None:
    print(f"{'people':<24} {result['people']:>10,}")
    for name, number in {**result["channels"], **result["languages"]}.items():
        print(f"  {name:<22} {number:>10,}")
    for one in result["units"][:_TOP]:
        print(f"  {one['name']:<22} {one['people']:>10,}")
    more = len(result["units"]) - _TOP
    if more > 0:
        print(f"  and {more} units more; all of them with --json")
    print(f"{'known by unit only':<24} {result['by_unit_only']:>10,}")
    print(f"{'ms':<24} {result['ms']:>10}")
