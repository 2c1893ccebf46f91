"""Several providers a channel: what the file may say, and what a wrong one is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from broadcaster.processes import accounts
from broadcaster.provider_file import Environment, ProviderFileError, read
from broadcaster.settings import Settings, SettingsError, load
from channels.limits_rules import Rule

SECRET_KEY = "k" * 32
ENVIRONMENT = Environment(sender="alerts@example.org")


def write(folder: Path, text: str) -> Path:
    path = folder / "providers.toml"
    path.write_text(text, "utf-8")
    return path


def test_accounts_of_the_environment_come_first_and_may_have_a_table(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("smpp://two:secret@sms2.example:2775\n")
    path = write(
        tmp_path,
        """
        [sms.smpp]
        weight = 80
        per_second = 100
        test = "+84900000001"
        test_every = 30

        [sms.second]
        url_file = "second"
        inbound_url = "smpp://in:secret@sms2.example:2776"
        weight = 0
        window = 10

        [email.smtp]
        url = "smtp://mail.example:25"
        domains = { "Example.org" = 20 }
        other_domains = 50
        """,
    )
    settings = Settings(
        secret_key=SECRET_KEY,
        mail_domain="example.org",
        smpp_url="smpp://one:secret@sms.example:2775",
        providers=path,
    )
    found = {
        (carrier.channel.name, carrier.name): carrier for carrier in accounts.carriers(settings)
    }
    first, second = found["sms", "smpp"], found["sms", "second"]
    assert (first.account, first.weight) == ("one@sms.example:2775", 80)
    assert first.limit.rules == (Rule(100, 1.0),)
    assert first.test is not None
    assert (first.test.address, first.test.every) == ("+84900000001", 30.0)
    assert (second.account, second.weight, second.test) == ("two@sms2.example:2775", 0, None)
    mail = found["email", "smtp"].limit
    assert mail.of_group("example.org") == (Rule(20, 1.0),)
    assert mail.of_group("other.example") == (Rule(50, 1.0),)
    assert list(accounts.inbound(settings)) == [
        ("smpp", "smpp://one:secret@sms.example:2775"),
        ("second", "smpp://two:secret@sms2.example:2775"),
        ("second", "smpp://in:secret@sms2.example:2776"),
    ]


@pytest.mark.parametrize(
    ("text", "table", "key", "right"),
    [
        ("[sms.second]\nurl = 'http://x:y@h:1'", "sms.second", "url", "smpp://user"),
        ("[sms.second]\nurl = 'smpp://h:1'", "sms.second", "url", "smpp://user"),
        ("[sms.second]\nweight = 1", "sms.second", "url", "url_file"),
        ("[sms.smpp]\nweight = '80'", "sms.smpp", "weight", "whole number from 0"),
        ("[sms.smpp]\nwindow = 51", "sms.smpp", "window", "from 2 to 50"),
        ("[sms.smpp]\nwieght = 1", "sms.smpp", "wieght", "weight"),
        ("[sms.smpp]\nconnections = 3", "sms.smpp", "connections", "known are"),
        ("[push.two]\ncredentials = 'no.json'", "push.two", "credentials", "no readable file"),
        ("[email.a]\nurl_file = 'none'", "email.a", "url_file", "cannot be read"),
        ("[email.smtp]\ndomains = 3", "email.smtp", "domains", "table"),
        ("[email.smtp]\ndomains = { x = 0 }", "email.smtp", "domains.x", "from 1"),
        ("[fax.one]\nurl = 'x'", "fax", "", "sms"),
        ("[sms.'Two words']\nurl = 'smpp://a:b@h:1'", "sms.Two words", "", "small letters"),
        ("[sms]\nweight = 3", "sms", "weight", "[sms.NAME]"),
        ("[sms]", "sms", "", "holds no account"),
        ("[sms.smpp]\nweight = 80", "sms.smpp", "url", "or BROADCASTER_SMPP_URL"),
        ("[push.fcm]\nweight = 80", "push.fcm", "credentials", "or BROADCASTER_FCM_CREDENTIALS"),
        ("[sms.a]\ntest = '123'", "sms.a", "test", "+84901234567"),
        ("[email.a]\ntest = 'nobody'", "email.a", "test", "somebody@example.org"),
        ("[push.a]\ntest = 'phone'", "push.a", "test", "fid:"),
        ("[email.a]\nurl = 'smtp://h:99999'", "email.a", "url", "from 1 to 65535"),
        ("[email.a]\nsender = 'nobody'", "email.a", "sender", "no valid mail address"),
        ("[sms.a]\nsource = 'MUCH TOO LONG'", "sms.a", "source", "at most 11"),
        ("[sms.a]\nurl = 'smpp://a:b@h:1?receipts=x'", "sms.a", "url", "known are plain"),
    ],
)
def test_a_mistake_is_named_by_file_table_and_key(
    tmp_path: Path, text: str, table: str, key: str, right: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ProviderFileError) as caught:
        read(path, ENVIRONMENT)
    problem = next(each for each in caught.value.problems if right in each)
    assert problem.startswith(f"{path}: [{table}]{' ' + key if key else ''}: ")


def test_everything_wrong_with_a_table_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "[email.c]\nurl = 'smtp://h:99999'\ntest = 'x'\nweight = -1")
    with pytest.raises(SettingsError) as caught:
        _ = Settings(secret_key=SECRET_KEY, providers=path).provider_accounts
    told = [problem.split("[email.c] ")[1].split(":")[0] for problem in caught.value.problems]
    assert sorted(told) == ["sender", "test", "url", "weight"]


def fcm(folder: Path, name: str, project: str) -> Path:
    path = folder / name
    path.write_text(json.dumps({"project_id": project}))
    return path


ONE = "smpp://one:secret@sms.example:2775"


@pytest.mark.parametrize(
    ("text", "table", "other"),
    [
        (f"[sms.a]\nurl='{ONE}'", "sms.a", "[sms.smpp], the one of the environment"),
        (
            "[sms.a]\nurl='smpp://x:1@h:1'\n[sms.b]\nurl='smpp://x:2@H:1?receipts=plain'",
            "sms.b",
            "[sms.a],",
        ),
        ("[email.a]\nurl='smtp://h'\n[email.b]\nurl='smtp://h:25'", "email.b", "[email.a],"),
        (
            "[push.a]\ncredentials='a.json'\n[push.b]\ncredentials='b.json'",
            "push.b",
            "[push.a],",
        ),
    ],
)
def test_an_account_written_twice_is_refused(
    tmp_path: Path, text: str, table: str, other: str
) -> None:
    fcm(tmp_path, "a.json", "p")
    fcm(tmp_path, "b.json", "p")
    path = write(tmp_path, text)
    settings = Settings(
        secret_key=SECRET_KEY, providers=path, smpp_url=ONE, mail_from="alerts@example.org"
    )
    with pytest.raises(SettingsError) as caught:
        _ = settings.provider_accounts
    [problem] = caught.value.problems
    assert problem.startswith(f"{path}: [{table}]: is the account ")
    assert other in problem
    assert "keep one table" in problem
    assert "secret" not in problem


def test_accounts_that_differ_in_user_host_or_port_are_several(tmp_path: Path) -> None:
    urls = ("smpp://two:s@sms.example:2775", "smpp://one:s@h:2775", "smpp://one:s@sms.example:1")
    text = "".join(f"[sms.a{n}]\nurl = '{url}'\n" for n, url in enumerate(urls))
    settings = Settings(secret_key=SECRET_KEY, providers=write(tmp_path, text), smpp_url=ONE)
    assert len(settings.provider_accounts) == 4


def test_no_complaint_repeats_a_password(tmp_path: Path) -> None:
    path = write(tmp_path, "[sms.second]\nurl = 'smpp://user:hunter2@host'\nurl_file = 'x'")
    with pytest.raises(ProviderFileError) as caught:
        read(path, ENVIRONMENT)
    assert "hunter2" not in str(caught.value)
    assert "keep one of them" in str(caught.value)


def test_the_program_does_not_start_with_a_wrong_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[sms.second")
    environ = {"BROADCASTER_PROVIDERS": str(path), "BROADCASTER_SECRET_KEY": SECRET_KEY}
    with pytest.raises(SettingsError, match="is not TOML"):
        load(environ, tmp_path / ".env")


def test_what_a_channel_refuses_is_told_with_its_table(tmp_path: Path) -> None:
    key = tmp_path / "fcm.json"
    key.write_text(json.dumps({"project_id": "p"}))
    path = write(tmp_path, "[push.second]\ncredentials = 'fcm.json'")
    with pytest.raises(SettingsError, match=r"providers\.toml: \[push\.second\]: "):
        accounts.carriers(Settings(secret_key=SECRET_KEY, providers=path))
