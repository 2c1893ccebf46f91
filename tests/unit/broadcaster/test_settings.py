"""Settings: everything is documented, everything wrong is named with its remedy."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from broadcaster.settings import (
    KEY_FILE,
    SECRETS,
    Mode,
    Settings,
    SettingsError,
    load,
    variables,
)

KEY = "k" * 32
EXAMPLE = Path(__file__).parents[3] / ".env.example"
NO_FILE = Path("/nonexistent")


def read(tmp_path: Path, **values: str) -> Settings:
    return load({"BROADCASTER_DATA_DIR": str(tmp_path / "data"), **values}, NO_FILE)


def test_the_example_lists_every_variable_once_under_a_comment_with_its_default(
    tmp_path: Path,
) -> None:
    blocks = EXAMPLE.read_text(encoding="utf-8").split("\n\n")
    listed = [
        line.partition("=")[0]
        for block in blocks
        for line in block.splitlines()
        if not line.startswith("#")
    ]
    assert sorted(listed) == sorted(variables())
    assert all(block.startswith("#") for block in blocks)
    from_example = load({}, EXAMPLE, data_dir=tmp_path, secret_key=KEY)
    assert from_example == Settings(data_dir=tmp_path, secret_key=KEY)


def test_the_example_marks_the_secrets_that_may_come_from_a_file() -> None:
    marked = 0
    for block in EXAMPLE.read_text(encoding="utf-8").split("\n\n"):
        names = {name.lower() for name in re.findall(r"^BROADCASTER_(\w+)=", block, re.M)}
        assert bool(names & SECRETS) == ("# (secret)" in block or ". (secret)" in block), block
        marked += len(names & SECRETS)
    assert marked == len(SECRETS)


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("HTTP_PORT", "eighty", "8080"),
        ("HTTP_PORT", "70000", "8080"),
        ("MODE", "prod", "production"),
        ("LOG_LEVEL", "loud", "info"),
        ("SECRET_KEY", "short", "32 random characters"),
        ("OLD_SECRET_KEYS", f"{KEY},short", "separated by commas"),
        ("DATABASE_URL", "mysql://localhost/x", "postgresql://"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("SMPP_URL", "smpp://host:2775", "smpp://user:password@host:2775"),
        ("SMPP_INBOUND_URL", "http://a", "smpp://user:password@host:2775"),
        ("SMTP_URL", "smtp://", "smtp://user:password@host:587"),
        ("BASE_URL", "alerts.example.org", "https://alerts.example.org"),
        ("TILES_URL", "file:///tiles", "{z}/{x}/{y}"),
        ("SMS_SOURCE", "LONGER THAN ELEVEN", "HANOI"),
        ("SMS_REPLY_NUMBER", "one", "1022"),
        ("MAIL_FROM", "nobody", "alerts@example.org"),
        ("FCM_CREDENTIALS", "/nonexistent/fcm.json", "/etc/broadcaster/fcm.json"),
        ("FCM_CA", "/nonexistent/ca.pem", "fcm-ca.pem"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    tmp_path: Path, variable: str, value: str, right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, **{f"BROADCASTER_{variable}": value})
    (problem,) = caught.value.problems
    assert problem.startswith(f"BROADCASTER_{variable}: ")
    assert right in problem


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, BROADCASTER_HTTP_PORT="x", BROADCASTER_MODE="y")
    assert len(caught.value.problems) == 2


def test_a_secret_is_not_repeated_in_an_error_or_a_dump(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, BROADCASTER_DATABASE_URL="mysql://user:hunter2@host/x")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(read(tmp_path, BROADCASTER_SMTP_URL="smtp://u:hunter2@host"))


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BROADCASTER_HTTP_PROT is not a setting"):
        read(tmp_path, BROADCASTER_HTTP_PROT="8080")
    with pytest.raises(SettingsError, match="BROADCASTER_HTTP_PORT_FILE is not a setting"):
        read(tmp_path, BROADCASTER_HTTP_PORT_FILE="/etc/port")


def test_fcm_address_without_credentials_names_the_missing_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BROADCASTER_FCM_CREDENTIALS"):
        read(tmp_path, BROADCASTER_FCM_URL="https://127.0.0.1:9443")


@pytest.mark.parametrize("name", sorted(SECRETS - {"metrics_token", "old_secret_keys"}))
def test_a_secret_can_come_from_a_file(tmp_path: Path, name: str) -> None:
    value = {
        "secret_key": KEY,
        "database_url": "postgresql://h/d",
        "redis_url": "redis://h",
        "smtp_url": "smtp://h",
    }.get(name, "smpp://u:p@h:2775")
    file = tmp_path / "secret"
    file.write_text(value + "\n")
    settings = read(tmp_path, **{f"BROADCASTER_{name.upper()}_FILE": str(file)})
    assert getattr(settings, name) == value


def test_a_secret_given_twice_missing_or_empty_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(SettingsError, match="both set"):
        read(tmp_path, BROADCASTER_SECRET_KEY=KEY, BROADCASTER_SECRET_KEY_FILE=str(empty))
    with pytest.raises(SettingsError, match="is empty"):
        read(tmp_path, BROADCASTER_SECRET_KEY_FILE=str(empty))
    with pytest.raises(SettingsError, match="cannot be read"):
        read(tmp_path, BROADCASTER_SECRET_KEY_FILE=str(tmp_path / "none"))


def test_production_starts_only_with_a_secret_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BROADCASTER_SECRET_KEY is required in production"):
        read(tmp_path, BROADCASTER_MODE="production")
    assert not (tmp_path / "data").exists()
    settings = read(tmp_path, BROADCASTER_MODE="production", BROADCASTER_SECRET_KEY=KEY)
    assert settings.mode is Mode.PRODUCTION
    assert not (tmp_path / "data").exists()


def test_development_makes_one_private_key_and_keeps_it(tmp_path: Path) -> None:
    first = read(tmp_path)
    path = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o066 == 0
    assert first.secret_key is not None
    assert len(first.secret_key) >= 32
    assert read(tmp_path).keys == first.keys
    assert [entry.name for entry in path.parent.iterdir()] == [KEY_FILE]


def test_an_existing_data_folder_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    read(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_programs_starting_at_once_agree_on_the_key(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from broadcaster.settings import load; print(load().secret_key)",
    ]
    environment = {**os.environ, "BROADCASTER_DATA_DIR": str(tmp_path / "data")}
    running = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": str(EXAMPLE.parent)},
            cwd=tmp_path,
        )
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in running}) == 1


def test_earlier_keys_follow_the_current_one(tmp_path: Path) -> None:
    old = ["o" * 32, "p" * 32]
    settings = read(
        tmp_path, BROADCASTER_SECRET_KEY=KEY, BROADCASTER_OLD_SECRET_KEYS=" , ".join(old)
    )
    assert settings.keys == (KEY.encode(), *(key.encode() for key in old))


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("BROADCASTER_HTTP_PORT=1001\nBROADCASTER_SMS_SOURCE=CITY\nOTHER=1\n")
    environment = {"BROADCASTER_DATA_DIR": str(tmp_path), "BROADCASTER_HTTP_PORT": "1002"}
    assert load(environment, file).http_port == 1002
    assert load(environment, file).sms_source == "CITY"
    assert load(environment, file, http_port=1003).http_port == 1003
    assert load(environment, file, http_port=None).http_port == 1002


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = read(tmp_path)
    with pytest.raises(ValidationError):
        settings.http_port = 1  # type: ignore[misc]


def test_addresses_that_follow_from_others(tmp_path: Path) -> None:
    plain = read(tmp_path, BROADCASTER_HTTP_HOST="0.0.0.0", BROADCASTER_MAIL_DOMAIN="example.org")
    assert plain.public_url == "http://127.0.0.1:8080"
    assert plain.sender_mail == "alerts@example.org"
    assert read(tmp_path, BROADCASTER_HTTP_HOST="::1").public_url == "http://[::1]:8080"
    given = read(
        tmp_path, BROADCASTER_BASE_URL="https://a.example/", BROADCASTER_MAIL_FROM="x@a.example"
    )
    assert (given.public_url, given.sender_mail) == ("https://a.example", "x@a.example")
