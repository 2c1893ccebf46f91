"""run.py people record and received: a proof by telephone number, the secrets read from files."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from broadcaster import db
from broadcaster.alerts.draft import Alert
from broadcaster.cli.main import main
from broadcaster.db import Pool
from broadcaster.fanout import stages
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.settings import Settings, load
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster import site
from tests.unit.broadcaster.site import NOW

NUMBER = "0912 345 678"


@pytest.fixture
def code(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An alert that went to one number; the command finds its secrets in files alone."""
    for name, value in (("SECRET_KEY", SECRET_KEY), ("DATABASE_URL", database)):
        file = tmp_path / name.lower()
        file.write_text(f"{value}\n")
        monkeypatch.delenv(f"BROADCASTER_{name}", raising=False)
        monkeypatch.setenv(f"BROADCASTER_{name}_FILE", str(file))
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    return asyncio.run(_with_pool(load(), database, _sent)).code


async def _with_pool(
    settings: Settings, database: str, work: Callable[[Settings, Pool], Awaitable[Alert]]
) -> Alert:
    pool = await db.connect(database)
    try:
        return await work(settings, pool)
    finally:
        await pool.close()


async def _sent(settings: Settings, pool: Pool) -> Alert:
    async with site.running(settings, pool) as city:
        async with pool.acquire() as conn:
            number = Address("sms", "+84912345678")
            known = await endpoints.ensure_active(conn, city.keyring, NOW, [number])
            await endpoints.link(conn, NOW, [(1, known[number])])
            made = await site.approved(city, conn)

        async def nothing() -> None:
            return None

        await stages.start(pool, city.now, city.selector, nothing)
        return made


async def _spoil(database: str) -> None:
    pool = await db.connect(database)
    await pool.execute("UPDATE audience SET chain_hash = sha256('x')")
    await pool.close()


def test_a_record_is_proven_by_the_number_and_says_when_it_is_not(
    code: str,
    database: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = ["people", "record", "--alert", code, "--address"]
    assert main([*asked, NUMBER, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["proven"], made["people"][0]["sent"][0]["address"]) == (True, "…678")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NUMBER}\n"))
    assert main([*asked, "-"]) == 0
    out = capsys.readouterr().out
    assert "every link holds" in out
    assert "345" not in out, "the number is masked"
    assert main([*asked, "0987654321"]) == 0
    assert "Nobody" in capsys.readouterr().out
    assert main([*asked, "not a number"]) == 1
    assert main(["people", "record", "--alert", "HN-0000-0000-000", "--address", NUMBER]) == 1
    assert main(["people", "received", "--address", NUMBER]) == 0
    capsys.readouterr()
    asyncio.run(_spoil(database))
    assert main([*asked, NUMBER]) == 1
    assert "NOT EVERY LINK HOLDS" in capsys.readouterr().out
