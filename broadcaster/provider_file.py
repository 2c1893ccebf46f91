"""Further provider accounts, and limits, weights and link tests of all: a TOML file.

Its address is BROADCASTER_PROVIDERS. A table [channel.name] is one account; the accounts of the
environment are [push.fcm], [sms.smpp] and [email.smtp], which need no table and may have one.
Every problem names the file, the table and the key, and what would be right.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from channels.email_render import sender_address, valid_address
from channels.push_address import valid_address as valid_push
from channels.sms_flavours import Reading

FCM = "https://fcm.googleapis.com"
DEFAULTS = {"push": "fcm", "sms": "smpp", "email": "smtp"}
"""The account of each channel that the environment describes."""
NEEDED = {"push": "credentials", "sms": "url", "email": "url"}
"""Without it there is no account."""
_VARIABLES = {
    "push": "BROADCASTER_FCM_CREDENTIALS",
    "sms": "BROADCASTER_SMPP_URL",
    "email": "BROADCASTER_SMTP_URL",
}
_PORTS = {"https": 443, "smtp": 25, "smtps": 465, "smpp": 2775}
_SCHEMES = {
    "sms": ("smpp",),
    "email": ("smtp", "smtps"),
    "push": ("https",),
}
_NAME = "small letters, digits and -, at most 30"
_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_SOURCE = re.compile(r"[A-Za-z0-9 ._-]{1,11}|\+?[0-9]{3,15}")


class ProviderFileError(Exception):
    """The file does not hold; one line per problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class ProviderSettings:
    """One table. What is None is as the channel has it, or as the environment says."""

    channel: str
    name: str
    url: str | None = field(default=None, repr=False)
    inbound_url: str | None = field(default=None, repr=False)
    """SMS: the number people answer to, where it is another account."""
    credentials: Path | None = None
    """Push: the service account's JSON file."""
    ca: Path | None = None
    source: str | None = None
    """SMS: the sender shown on the phone."""
    sender: str | None = None
    """Mail: the author's address."""
    weight: int = 100
    slots: int = 3
    per_second: int | None = None
    per_minute: int | None = None
    window: int | None = None
    """SMS: submits without an answer."""
    connections: int | None = None
    """Mail: connections of one worker."""
    mails_per_connection: int | None = None
    domains: Mapping[str, int] = field(default_factory=dict)
    """Mail: recipients a second by domain."""
    other_domains: int | None = None
    """Mail: recipients a second for each domain that is not named."""
    test: str | None = None
    """An address of the operator's own, written to in silence to see whether the link is well."""
    test_every: int = 60


_WHOLE = {
    "weight": (0, 10_000), "slots": (2, 32), "per_second": (1, 1_000_000),
    "per_minute": (1, 60_000_000), "window": (2, 50), "connections": (1, 50),
    "mails_per_connection": (1, 100_000), "other_domains": (1, 100_000), "test_every": (5, 86_400),
}  # fmt: skip
"""Keys that are whole numbers, with the least and the most."""
_SHARED = {"weight", "slots", "per_second", "per_minute", "test", "test_every"}
_OF_CHANNEL = {
    "push": _SHARED | {"url", "credentials", "ca"},
    "sms": _SHARED | {"url", "inbound_url", "source", "window"},
    "email": _SHARED
    | {"url", "sender", "connections", "mails_per_connection", "domains", "other_domains"},
}
_SECRET = {"url", "inbound_url"}
"""Keys whose value may stand in a file of its own: url_file = "/run/secrets/…"."""


@dataclass(frozen=True)
class Environment:
    """What the environment says of accounts: by channel the keys of its own, and mail's author."""

    accounts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    sender: str = ""

    def fill(self, table: ProviderSettings) -> ProviderSettings:
        """Add what the environment says to the table of its account; the table comes first."""
        given = self.accounts.get(table.channel, {})
        return replace(table, **{k: v for k, v in given.items() if getattr(table, k) is None})

    def alone(self, channel: str) -> ProviderSettings | None:
        """Return the account that the environment describes, None where it does not."""
        table = self.fill(ProviderSettings(channel, DEFAULTS[channel]))
        return None if getattr(table, NEEDED[channel]) is None else table


def read(path: Path | None, environment: Environment) -> list[ProviderSettings]:
    """Return every account, those of the environment first.

    Raises ProviderFileError with every problem of the file. Without a file the environment's
    accounts are all there are.
    """
    reader = _Reader(path, environment) if path else None
    tables = reader.all(_document(path)) if path and reader else []
    named = {(table.channel, table.name): table for table in tables}
    found = []
    for channel, name in DEFAULTS.items():
        account = named.pop((channel, name), None) or environment.alone(channel)
        found += [account] if account else []
    found += named.values()
    if reader:
        reader.check_accounts(found)
        if reader.problems:
            raise ProviderFileError(reader.problems)
    return found


def account_of(table: ProviderSettings) -> str:
    """Return what a carrier knows an account by, without secrets; "" where that cannot be read.

    It is user@host:port; for push project@host, because FCM counts by project.
    """
    url = table.url or (FCM if table.channel == "push" else "")
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ""
    if not parts.hostname:
        return ""
    if table.channel == "push":
        project = _project(table.credentials)
        where = parts.hostname + ("" if port == _PORTS["https"] else f":{port}")
        return f"{project}@{where}" if project else ""
    return f"{parts.username or ''}@{parts.hostname}:{port}"


def _project(credentials: Path | None) -> str:
    try:
        document = json.loads(credentials.read_text("utf-8")) if credentials else None
    except (OSError, ValueError):
        return ""
    project = document.get("project_id") if isinstance(document, dict) else None
    return project if isinstance(project, str) else ""


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ProviderFileError([f"{path}: cannot be read ({error.strerror})"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProviderFileError([f"{path}: is not TOML: {error}"]) from None


class _Reader:
    """Reads tables and gathers what is wrong with them."""

    def __init__(self, path: Path, environment: Environment) -> None:
        self._path = path
        self._environment = environment
        self.problems: list[str] = []

    def all(self, document: dict[str, Any]) -> list[ProviderSettings]:
        """Read every table of the file."""
        found = []
        for channel, tables in document.items():
            if channel not in _OF_CHANNEL or not isinstance(tables, dict):
                self._complain(channel, "", f"tables are [{'.name], ['.join(_OF_CHANNEL)}.name]")
                continue
            if not tables:
                self._complain(channel, "", f"holds no account; write [{channel}.NAME]")
            for name, table in tables.items():
                where = f"{channel}.{name}"
                if not isinstance(table, dict):
                    self._complain(channel, name, f"is no table; write it under [{channel}.NAME]")
                elif not _is_name(name):
                    self._complain(where, "", f"a name has {_NAME}")
                else:
                    found.append(self._table(channel, name, table))
        return found

    def _complain(self, table: str, key: str, what: str) -> None:
        self.problems.append(f"{self._path}: [{table}]{' ' + key if key else ''}: {what}")

    def _table(self, channel: str, name: str, table: dict[str, Any]) -> ProviderSettings:
        where, values = f"{channel}.{name}", dict[str, Any]()
        for key, value in table.items():
            plain = key.removesuffix("_file")
            known = _OF_CHANNEL[channel]
            if key in known:
                values[key] = self._value(where, channel, key, value)
            elif plain in _SECRET & known and plain != key:
                if plain in table:
                    self._complain(where, key, f"{plain} is set too; keep one of them")
                else:
                    secret = self._secret(where, key, value)
                    values[plain] = secret and self._value(where, channel, plain, secret)
            else:
                self._complain(where, key, f"is not known; known are {', '.join(sorted(known))}")
        found, needed = ProviderSettings(channel, name, **values), NEEDED[channel]
        alternatives = [needed] if channel == "push" else [needed, f"{needed}_file"]
        if name == DEFAULTS[channel]:
            found = self._environment.fill(found)
            alternatives.append(_VARIABLES[channel])
        if getattr(found, needed) is None and not {needed, f"{needed}_file"} & table.keys():
            self._complain(where, needed, f"is missing; give {' or '.join(alternatives)}")
        if channel == "email" and "sender" not in table:
            self._check_sender(where, self._environment.sender)
        return found

    def check_accounts(self, accounts: list[ProviderSettings]) -> None:
        """Complain of accounts that stand there twice: each table would get the whole limit."""
        first = dict[tuple[str, str], ProviderSettings]()
        for table in accounts:
            account = account_of(table)
            same = first.setdefault((table.channel, account), table)
            if account and same is not table:
                where, other = f"{table.channel}.{table.name}", f"{same.channel}.{same.name}"
                of = ", the one of the environment" * (same.name == DEFAULTS[same.channel])
                self._complain(
                    where, "", f"is the account {account} of [{other}]{of}, and would get its limit"
                    " twice; keep one table, with the limit that the carrier allows",
                )  # fmt: skip

    def _value(self, where: str, channel: str, key: str, value: Any) -> Any:
        if key in _WHOLE:
            return self._whole(where, key, value, *_WHOLE[key])
        if key == "domains":
            if not isinstance(value, dict):
                self._complain(where, key, 'is a table: domains = { "example.org" = 20 }')
                return {}
            return {
                domain.lower(): self._whole(where, f"domains.{domain}", each, 1, 100_000)
                for domain, each in value.items()
            }
        if not isinstance(value, str) or not value.strip():
            self._complain(where, key, "is text and not empty")
            return None
        if key in _SECRET:
            self._check_url(where, channel, key, value)
        if key in {"credentials", "ca"}:
            return self._readable(where, key, value)
        value = value.strip()
        if key == "test":
            self._check_test(where, channel, value)
        elif key == "sender":
            self._check_sender(where, value)
        elif key == "source" and not _SOURCE.fullmatch(value):
            self._complain(where, key, "is a name of at most 11 letters and digits, or a number")
        return value

    def _readable(self, where: str, key: str, value: str) -> Path:
        path = self._path.parent / value
        if not (path.is_file() and os.access(path, os.R_OK)):
            self._complain(where, key, f"there is no readable file {path}")
        elif key == "credentials" and not _project(path):
            self._complain(where, key, f"{path} is no service account's JSON file")
        return path

    def _check_test(self, where: str, channel: str, value: str) -> None:
        right, holds = {
            "sms": ("a phone number with its country: +84901234567", bool(_PHONE.fullmatch(value))),
            "email": ("a mail address: somebody@example.org", valid_address(value)),
            "push": ("fid:… or token:…, as the app registers it", valid_push(value)),
        }[channel]
        if not holds:
            self._complain(where, "test", f"is {right}")

    def _check_sender(self, where: str, sender: str) -> None:
        try:
            sender_address(sender)
        except ValueError:
            self._complain(
                where, "sender", f"{sender!r} holds no valid mail address; give alerts@example.org"
                " here, or set BROADCASTER_MAIL_FROM or BROADCASTER_MAIL_DOMAIN",
            )  # fmt: skip

    def _whole(self, where: str, key: str, value: Any, least: int, most: int) -> int:
        if type(value) is not int or not least <= value <= most:
            self._complain(where, key, f"is a whole number from {least} to {most}")
            return least
        return value

    def _secret(self, where: str, key: str, value: Any) -> str | None:
        if not isinstance(value, str):
            self._complain(where, key, "is the path of a text file")
            return None
        path = self._path.parent / value
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self._complain(where, key, f"{path} cannot be read ({error})")
            return None
        if not text:
            self._complain(where, key, f"{path} is empty")
        return text or None

    def _check_url(self, where: str, channel: str, key: str, value: str) -> None:
        """Complain without ever repeating the value: it holds a password."""
        schemes = _SCHEMES[channel]
        try:
            parts = urlsplit(value)
            # A port beyond 65535 raises when it is asked for.
            port = parts.port
            whole = parts.hostname and (channel != "sms" or (port and parts.username))
        except ValueError as error:
            self._complain(where, key, _safely(error))
            return
        if parts.scheme not in schemes or not whole:
            right = {"sms": "user:password@host:2775", "email": "user:password@host:587"}
            self._complain(
                where, key, f"right would be {schemes[0]}://{right.get(channel, 'host')}"
            )
        elif channel == "sms":
            try:
                Reading.of(value)
            except ValueError as error:
                self._complain(where, key, str(error))


def _safely(error: ValueError) -> str:
    """Say what is wrong with an address; other words of the library might repeat a password."""
    wrong_port = str(error).startswith("Port out of range")
    return "its port is a number from 1 to 65535" if wrong_port else "is not an address"


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= 30
        and name.isascii()
        and all(letter.islower() or letter.isdigit() or letter == "-" for letter in name)
    )
