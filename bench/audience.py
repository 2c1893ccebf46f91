"""People of an area, counted and written down, with PostGIS beside us on the same people.

Polygons of 2,000 vertices over more than a third of everybody; a person counts once, whatever
number of their places is inside. PostGIS is measured where a PostgreSQL with it is installed
(Debian: postgresql-15-postgis-3) and must give the same numbers, to the person.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely import Polygon

from bench import deliveries, load, plot, postgis
from bench.population import Population, Random, hanoi, populate, storm_areas
from bench.report import Figure, Peer, Report
from broadcaster.processes import runner
from broadcaster.terminal import say
from targeting.index import PeopleIndex
from targeting.outlines import Outlines
from targeting.select import taken_units
from targeting.units import UnitKey

SIZES = (100_000, 1_000_000, 10_000_000)
POLYGONS, PEER_POLYGONS = 40, 3
SEED = 2026
_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Questions:
    """The areas asked about, each with the units it takes."""

    shapes: list[Polygon]
    taken: list[list[int]]
    unit_sets: list[list[int]]


@dataclass(frozen=True, slots=True)
class Measured:
    """One city's size: milliseconds of every question, and what the index weighs."""

    samples: dict[str, list[float]]
    bytes_per_place: float
    build_s: float
    peer_ms: list[float]
    peer_load_s: float
    loaded: load.Loaded


def questions(
    outlines: Outlines, ids: dict[UnitKey, int], population: Population, rng: Random
) -> Questions:
    """Draw the areas; whole units are added up until they hold more than a third, too."""
    shapes = storm_areas(population, POLYGONS, rng)
    taken = [[ids[key] for key in taken_units(shape, outlines)] for shape in shapes]
    residents = {ids[key]: outlines.units[key].population for key in outlines.lowest}
    third = sum(residents.values()) / 3
    unit_sets = []
    for _ in range(POLYGONS):
        order = rng.permutation(list(residents)).tolist()
        upto = np.cumsum([residents[unit] for unit in order])
        unit_sets.append(order[: int(np.searchsorted(upto, third)) + 1])
    return Questions(shapes, taken, unit_sets)


def ask(index: PeopleIndex, asked: Questions) -> dict[str, list[float]]:
    """Time every question once; shapes come unprepared, as they do from a request."""
    pairs = list(zip(asked.shapes, asked.taken, strict=True))
    return {
        "count_ms": [_timed(index.count, _fresh(shape), taken) for shape, taken in pairs],
        "breakdown_ms": [_timed(index.breakdown, _fresh(shape), taken) for shape, taken in pairs],
        "units_ms": [_timed(index.count_units, units) for units in asked.unit_sets],
        "select_ms": [_timed(index.select, _fresh(shape), taken) for shape, taken in pairs[:8]],
    }


def _fresh(shape: Polygon) -> Polygon:
    return Polygon(shapely.get_coordinates(shape))


def _timed(question: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    question(*arguments)
    return (time.perf_counter() - start) * _MS


async def measure(n: int, programs: Path | None, directory: Path) -> Measured:
    """Build, save and map an index of n people, ask everything, and hold it against the peer."""
    rng = np.random.default_rng([SEED, n])
    outlines, ids = hanoi()
    say(f"{n:,} people: made up")
    population = populate(outlines, ids, n, rng)
    asked = questions(outlines, ids, population, rng)
    start = time.perf_counter()
    built = PeopleIndex.build(*population.columns, outlines=outlines, unit_keys=ids)
    build_s = time.perf_counter() - start
    path = directory / f"people-{n}.idx"
    built.save(path)
    del built
    index = PeopleIndex.open(path)
    ask(index, asked)
    say(f"{n:,} people: asked")
    samples = ask(index, asked)
    peer_ms, load_s = [], 0.0
    if programs is not None:
        say(f"{n:,} people: PostGIS loads them")
        async with postgis.peer(programs, population) as peer:
            load_s = peer.seconds_to_load
            for shape, taken in list(zip(asked.shapes, asked.taken, strict=True))[:PEER_POLYGONS]:
                people, seconds = await peer.count(shape, taken)
                ours = index.count(_fresh(shape), taken)
                if people != ours:
                    raise RuntimeError(f"PostGIS counts {people} people, the index {ours}")
                peer_ms.append(seconds * _MS)
    say(f"{n:,} people: loaded from the database")
    weight = path.stat().st_size / len(population.person_ids)
    loaded = await load.measure(population, ids)
    return Measured(samples, weight, build_s, peer_ms, load_s, loaded)


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 % of the samples do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


async def report(sizes: Sequence[int], *, with_peer: bool, drawing: Path | None) -> Report:
    """Measure every size; the figures are those of the largest."""
    programs = postgis.programs() if with_peer else None
    if with_peer and programs is None:
        say("no PostgreSQL with PostGIS here (Debian: postgresql-15-postgis-3): measured alone")
    with tempfile.TemporaryDirectory(prefix="bench-audience-") as directory:
        found = {n: await measure(n, programs, Path(directory)) for n in sizes}
    if drawing is not None:
        plot.draw(drawing, _curves(found))
    n, largest = max(found.items())
    say("writing 1.5 million deliveries")
    written = await deliveries.measure_deliveries()
    ours = statistics.median(largest.samples["count_ms"])
    peers = []
    if largest.peer_ms:
        theirs = statistics.median(largest.peer_ms)
        what = f"PostGIS, GiST and ST_Subdivide, same people; loaded in {largest.peer_load_s:.0f} s"
        peers.append(Peer(what, round(theirs, 1), "ms", round(theirs / ours, 1)))
    samples = {name: [round(v, 3) for v in values] for name, values in largest.samples.items()}
    samples["postgis_ms"] = [round(v, 1) for v in largest.peer_ms]
    return Report(
        bench="audience",
        figures=_figures(n, largest, written, peers),
        peers=peers,
        n=n,
        sink="none: the index of one process, mapped from its file; PostgreSQL for the last two",
        samples=samples,
    )


def _figures(
    n: int,
    largest: Measured,
    written: deliveries.Written,
    peers: Sequence[Peer],
) -> list[Figure]:
    times = largest.samples
    city = f"{n:,} people"
    figures = [
        Figure("audience.count_p95_ms", f"people of 2,000 vertices, {city}",
               round(p95(times["count_ms"]), 1), "ms", 60),
        Figure("audience.count_worst_ms", "the same, worst",
               round(max(times["count_ms"]), 1), "ms"),
        Figure("audience.breakdown_p95_ms", "by channel, language and unit",
               round(p95(times["breakdown_ms"]), 1), "ms", 120),
        Figure("audience.breakdown_worst_ms", "the same, worst",
               round(max(times["breakdown_ms"]), 1), "ms"),
        Figure("audience.units_p95_ms", "people of whole units", round(p95(times["units_ms"]), 2),
               "ms", 5),
        Figure("audience.select_ms", "the ids of everybody inside, median",
               round(statistics.median(times["select_ms"]), 1), "ms"),
        Figure("audience.bytes_per_place", "the file, by places",
               round(largest.bytes_per_place, 1), "bytes", 32),
        Figure("audience.build_s", "columns to index", round(largest.build_s, 2), "s"),
        Figure("audience.load_10m_s", f"from the database to a mapped index, {city}",
               round(largest.loaded.seconds, 2), "s", 10),
        Figure("audience.change_visible_s", "from a commit to the next count",
               round(largest.loaded.change_visible_s, 2), "s", 2),
        Figure("audience.deliveries_1_5m_s", "1.5 million deliveries written",
               round(written.seconds, 2), "s", 5),
        Figure("audience.first_chunk_s", "start of sending to the first chunk",
               round(written.first_chunk_s, 3), "s", 0.5),
    ]  # fmt: skip
    figures += [
        Figure("audience.ratio_postgis", "PostGIS's median to ours", peer.ratio, "times", 100,
               at_most=False)
        for peer in peers
    ]  # fmt: skip
    return figures


def _curves(found: dict[int, Measured]) -> dict[str, list[tuple[int, float]]]:
    curves = {
        "people": [(n, statistics.median(m.samples["count_ms"])) for n, m in found.items()],
        "with breakdown": [
            (n, statistics.median(m.samples["breakdown_ms"])) for n, m in found.items()
        ],
        "whole units": [(n, statistics.median(m.samples["units_ms"])) for n, m in found.items()],
        "PostGIS": [(n, statistics.median(m.peer_ms)) for n, m in found.items() if m.peer_ms],
    }
    return {name: points for name, points in curves.items() if points}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="run.py bench audience", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--people", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--alone", action="store_true", help="leave PostGIS out")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw cost over people")
    given = parser.parse_args()
    runner.set_up_logging("warning")
    asyncio.run(report(given.people, with_peer=not given.alone, drawing=given.plot)).show()


if __name__ == "__main__":
    main()
