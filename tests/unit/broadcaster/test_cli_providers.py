"""run.py providers: how each stands, and the switch by somebody named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from broadcaster import db
from broadcaster.cli.main import main
from broadcaster.fanout import providers
from broadcaster.people.officials import Role
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import official


@pytest.fixture
def two(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with two providers, which the settings of the command name."""
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    asyncio.run(_fill(database))
    return database


async def _fill(database: str) -> None:
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        for channel, name in (("sms", "smpp"), ("sms", "second")):
            provider_id = await providers.register(conn, channel, name, f"{name}@lab")
            await providers.configure(conn, provider_id, 50, {"rules": [[100, 1.0]]})
        city = await conn.fetchval("SELECT unit_id FROM unit WHERE parent_id IS NULL LIMIT 1")
        await official(conn, "operator", Role("admin", city))
    await pool.close()


def _states(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["providers", "list", "--json"]) == 0
    return {one["name"]: one["state"] for one in json.loads(capsys.readouterr().out)}


def test_a_switch_names_who_and_why_and_shows_in_the_list(
    two: str, capsys: pytest.CaptureFixture[str]
) -> None:
    switch = ["providers", "switch", "sms/second", "off", "--reason", "cable cut"]
    assert main([*switch, "--as", "operator"]) == 0
    assert _states(capsys) == {"smpp": "well", "second": "off"}
    assert main(["providers", "list"]) == 0
    assert "cable cut" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sms/third", "off", "--reason", "why", "--as", "operator"], "there are: sms/"),
        (["sms/second", "off", "--reason", " ", "--as", "operator"], "Write the reason"),
        (["sms/second", "off", "--reason", "why", "--as", "nobody"], "no such official"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    two: str, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "switch", *arguments]) == 1
    assert told in capsys.readouterr().err
    assert _states(capsys) == {"smpp": "well", "second": "well"}
