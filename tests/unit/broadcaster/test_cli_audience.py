import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from broadcaster import db
from broadcaster.cli.main import main
from broadcaster.keyring import Keyring
from broadcaster.people.synth import synth
from broadcaster.people.units import load_map
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import NOW

SQUARE = {
    "type": "Polygon",
    "coordinates": [
        [[105.80, 21.00], [105.88, 21.00], [105.88, 21.06], [105.80, 21.06], [105.80, 21.00]]
    ],
}


@pytest.fixture
def city(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with people, which the settings of the command name; returns a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    asyncio.run(_fill(database))
    return tmp_path


async def _fill(database: str) -> None:
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        units = await load_map(conn)
    await synth(pool, Keyring(SECRET_KEY), units, NOW, 400, 2)
    await pool.close()


def audience(*arguments: str) -> int:
    return main(["audience", *arguments])


def test_files_and_names_are_counted(city: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = city / "vùng.geojson"
    path.write_text(json.dumps(SQUARE), encoding="utf-8")
    assert audience("--area", str(path), "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told.keys() == {"people", "channels", "languages", "units", "by_unit_only", "ms"}
    assert told["channels"].keys() == {"push", "sms", "email"}
    assert told["people"] == sum(one["people"] for one in told["units"]) > 10
    assert 0 < told["by_unit_only"] < told["people"]

    assert audience("--area", str(path)) == 0
    assert capsys.readouterr().out.split()[:2] == ["people", str(told["people"])]

    assert audience("--names", "quan hoan kiem, P. Ba Đình", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["people"] > 0
    assert "Former Hoan Kiem District" in said.err


def test_what_is_wrong_is_told_with_where_and_what_mends_it(
    city: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crossing = {"type": "Polygon", "coordinates": [[*SQUARE["coordinates"][0]]]}
    ring: Any = crossing["coordinates"][0]
    ring[1], ring[2] = ring[2], ring[1]
    path = city / "a.geojson"
    path.write_text(json.dumps(crossing), encoding="utf-8")
    for arguments, words in (
        (("--area", str(path)), ("a.geojson: polygons[0]", "crosses", "repair: uncross")),
        (("--area", str(city / "none.kml")), ("none.kml", "no such file")),
        (("--names", "Ba Đình, Xanh Đỏ"), ("names: Xanh Đỏ",)),
    ):
        assert audience(*arguments) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert all(word in said.err for word in words), said.err
    with pytest.raises(SystemExit):
        audience()
