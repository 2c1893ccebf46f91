"""run.py officials: accounts made and mended by somebody named, each act in the trail."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broadcaster import db
from broadcaster.cli.main import main
from broadcaster.keyring import Keyring
from broadcaster.people import enrolment_codes, signin
from broadcaster.people.officials import Role, find_actor
from tests import factor
from tests.conftest import SECRET_KEY
from tests.unit.broadcaster.city import official, unit_id

NOW = datetime(2026, 9, 10, 3, 0, tzinfo=UTC)
NEW = "một mật khẩu khác hẳn"


@pytest.fixture
def city(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with an administrator and an approver who is enrolled."""
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NEW}\n"))
    asyncio.run(_fill(database))
    return database


async def _fill(database: str) -> None:
    pool = await db.connect(database)
    async with pool.acquire() as conn:
        whole = await unit_id(conn, "01")
        await official(conn, "anna", Role("admin", whole))
        lan = await official(conn, "lan", Role("approver", whole))
        await factor.enrol(conn, Keyring(SECRET_KEY), lan, NOW)
    await pool.close()


def _of(database: str, ask: Any) -> Any:
    async def asked() -> Any:
        pool = await db.connect(database)
        try:
            return await ask(pool)
        finally:
            await pool.close()

    return asyncio.run(asked())


def done(*arguments: str) -> None:
    assert main(["officials", *arguments, "--as", "anna"]) == 0


def test_an_account_is_made_given_a_role_and_called(
    city: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done("create", "Long", "--name", "Vũ Đức Long")
    done("grant", "long", "--role", "approver", "--unit", "00091")
    done("address", "long", "email", "long@hanoi.example")
    done("substitute", "long", "--unit", "00004")
    assert main(["officials", "list"]) == 0
    told = capsys.readouterr().out
    assert "Vũ Đức Long  [no factor]  approver Phường Phú Thượng" in told
    assert "stands in   long         Phường Ba Đình" in told
    done("end-substitute", "long", "--unit", "00004")
    done("revoke", "long", "--role", "approver", "--unit", "00091")
    assert _of(city, lambda pool: find_actor(pool, "long")).roles == ()
    assert _of(city, lambda pool: signin.sign_in(pool, NOW, "long", NEW)).login == "long"


def test_a_lost_phone_and_a_forgotten_password(
    city: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done("password", "lan")
    assert _of(city, lambda pool: signin.sign_in(pool, NOW, "lan", NEW)).login == "lan"
    done("reset-second-factor", "lan", "--reason", "mất máy")
    assert main(["officials", "list"]) == 0
    assert "Lan  [no factor]" in capsys.readouterr().out
    trail = _of(city, lambda pool: pool.fetch("SELECT action, official_id FROM audit"))
    done("retire", "lan", "--reason", "nghỉ hưu")
    assert main(["officials", "list"]) == 0
    assert "Lan" not in capsys.readouterr().out
    acts = {row["action"] for row in trail if row["official_id"] is not None}
    assert {"official.password_changed", "official.second_factor_reset"} <= acts


def test_the_first_administrator_is_made_once_and_enrols_with_what_was_printed(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("BROADCASTER_DATABASE_URL", database)
    monkeypatch.setenv("BROADCASTER_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("BROADCASTER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NEW}\n{NEW}\n"))
    assert main(["officials", "first", "anna", "--name", "Anna"]) == 0
    printed = capsys.readouterr().out.strip()
    assert main(["officials", "first", "eve", "--name", "Eve"]) == 1
    assert "have them make the account" in capsys.readouterr().err

    async def used(pool: Any) -> None:
        async with pool.acquire() as conn:
            anna = await find_actor(conn, "anna")
            await enrolment_codes.use(
                conn, Keyring(SECRET_KEY), anna.official_id, datetime.now(UTC), printed
            )

    _of(database, used)
    assert main(["officials", "enrolment-code", "anna"]) == 0
    assert len(capsys.readouterr().out.strip()) == 14


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("grant", "lan", "--role", "author", "--unit", "99999", "--as", "anna"), "no unit 99999"),
        (("reset-second-factor", "lan", "--reason", " ", "--as", "anna"), "Say why"),
        (("retire", "anna", "--reason", "why", "--as", "anna"), "their own account"),
        (("password", "anna", "--as", "lan"), "do not administer"),
    ],
)
def test_what_cannot_be_done_is_told(
    city: str, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["officials", *arguments]) == 1
    assert told in capsys.readouterr().err
