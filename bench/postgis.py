"""The peer of targeting: PostGIS with GiST and ST_Subdivide, a server of its own for one run."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import asyncpg
import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from bench.population import Population
from targeting.grid import to_degrees
from targeting.index import NO_POINT

_INSTALLED = Path("/usr/lib/postgresql")
_EXTENSIONS = Path("/usr/share/postgresql")
_NAME = "peer"
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_CHUNK = 500_000
_WGS84 = 4326
_POINT_WITH_SRID = 0x20000001
# As much as this machine's memory and cores allow: the peer shall be at its best.
_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "4GB",
    "work_mem": "1GB",
    "maintenance_work_mem": "2GB",
    "max_parallel_workers_per_gather": "2",
    "max_wal_size": "16GB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
}
_COUNT = (
    "SELECT count(*) FROM ("
    " SELECT p.person_id FROM piece JOIN place p ON ST_Intersects(piece.geom, p.geom)"
    " UNION SELECT person_id FROM by_unit WHERE unit_id = ANY($1::int[])) AS people"
)


def programs() -> Path | None:
    """Return the folder of a PostgreSQL that has PostGIS, None where there is none."""
    for folder in sorted(_INSTALLED.glob("*/bin"), reverse=True):
        version = folder.parent.name
        if (_EXTENSIONS / version / "extension" / "postgis.control").exists():
            return folder
    return None


@dataclass(frozen=True, slots=True)
class Peer:
    """PostGIS with the same people in it."""

    conn: asyncpg.Connection
    seconds_to_load: float

    async def count(self, shape: BaseGeometry, taken: Iterable[int]) -> tuple[int, float]:
        """Return the people of a shape and the seconds the question took."""
        await self.conn.execute("TRUNCATE piece")
        start = time.perf_counter()
        await self.conn.execute(
            "INSERT INTO piece SELECT ST_Subdivide(ST_GeomFromWKB($1, 4326), 128)", shape.wkb
        )
        people: int = await self.conn.fetchval(_COUNT, list(taken))
        return people, time.perf_counter() - start


@asynccontextmanager
async def peer(bin_dir: Path, population: Population) -> AsyncIterator[Peer]:
    """Give a server with the population in it; it and its files are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="postgis-"))
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(home, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(bin_dir / program), "-D", str(home / "data"), *arguments],
            user=user.pw_uid, group=user.pw_gid, cwd="/", check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    options = {**_OPTIONS, "unix_socket_directories": str(home)}
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    try:
        await asyncio.to_thread(
            run, "initdb", "-U", _NAME, "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync"
        )
        await asyncio.to_thread(
            run, "pg_ctl", "-w", "-l", str(home / "log"), "-o", settings, "start"
        )
        conn = await asyncpg.connect(host=str(home), user=_NAME, database="postgres")
        try:
            yield Peer(conn, await _load(conn, population))
        finally:
            await conn.close()
    finally:
        if (home / "data" / "postmaster.pid").exists():
            await asyncio.to_thread(run, "pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


async def _load(conn: asyncpg.Connection, population: Population) -> float:
    start = time.perf_counter()
    await conn.execute(
        "CREATE EXTENSION postgis;"
        "CREATE UNLOGGED TABLE place (person_id int NOT NULL, geom geometry(Point, 4326) NOT NULL);"
        "CREATE UNLOGGED TABLE by_unit (person_id int NOT NULL, unit_id int NOT NULL);"
        "CREATE UNLOGGED TABLE piece (geom geometry NOT NULL)"
    )
    known = np.flatnonzero(population.x != NO_POINT)
    # In the order of a coarse grid, as CLUSTER would put them: neighbours share pages.
    cell = (population.y[known] // 500).astype(np.int64) << 32 | (population.x[known] // 500)
    known = known[np.argsort(cell, kind="stable")]
    for first in range(0, len(known), _CHUNK):
        rows = known[first : first + _CHUNK]
        body = _HEADER + _points(population, rows).tobytes() + _TRAILER
        await conn.copy_to_table("place", source=BytesIO(body), format="binary")
    unit_only = np.flatnonzero(population.x == NO_POINT)
    await conn.copy_records_to_table(
        "by_unit",
        records=zip(
            population.person_ids[unit_only].tolist(),
            population.unit_ids[unit_only].tolist(),
            strict=True,
        ),
    )
    await conn.execute("CREATE INDEX ON place USING gist (geom)")
    await conn.execute("CREATE INDEX ON by_unit (unit_id) INCLUDE (person_id)")
    await conn.execute("VACUUM ANALYZE place")
    await conn.execute("VACUUM ANALYZE by_unit")
    return time.perf_counter() - start


def _points(population: Population, rows: NDArray[np.int64]) -> NDArray[np.void]:
    """Return rows of binary COPY: the person, and the point as EWKB."""
    row = np.dtype(
        [
            ("fields", ">i2"), ("person_len", ">i4"), ("person", ">i4"), ("geom_len", ">i4"),
            ("order", "u1"), ("type", "<u4"), ("srid", "<u4"), ("x", "<f8"), ("y", "<f8"),
        ]
    )  # fmt: skip
    out = np.zeros(len(rows), row)
    out["fields"], out["person_len"], out["geom_len"] = 2, 4, 25
    out["person"] = population.person_ids[rows]
    out["order"], out["type"], out["srid"] = 1, _POINT_WITH_SRID, _WGS84
    out["x"], out["y"] = to_degrees(population.x[rows]), to_degrees(population.y[rows])
    return out
