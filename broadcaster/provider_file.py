"""Further provider accounts, and limits, weights and link tests of all: a TOML file.

Its address is BROADCASTER_PROVIDERS. A table [channel.name] is one account; the accounts of the
environment are [push.fcm], [sms.smpp] and [email.smtp], which need no table and may have one.
Every problem names the file, the table and the key, and what would be right.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULTS = {"push": "fcm", "sms": "smpp", "email": "smtp"}
"""The account of each channel that the environment describes."""
_SCHEMES = {
    "sms": ("smpp", "smpps"),
    "email": ("smtp", "smtps"),
    "push": ("https",),
}
_NAME = "small letters, digits and -, at most 30"


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
    "per_minute": (1, 60_000_000), "window": (2, 50), "connections": (1, 200),
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


def read(path: Path) -> list[ProviderSettings]:
    """Read the file; raises ProviderFileError with every problem."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ProviderFileError([f"{path}: cannot be read ({error.strerror})"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProviderFileError([f"{path}: is not TOML: {error}"]) from None
    reader = _Reader(path)
    found = reader.all(document)
    if reader.problems:
        raise ProviderFileError(reader.problems)
    return found


class _Reader:
    """Reads tables and gathers what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems: list[str] = []

    def all(self, document: dict[str, Any]) -> list[ProviderSettings]:
        """Read every table of the file."""
        found = []
        for channel, tables in document.items():
            if channel not in _OF_CHANNEL or not isinstance(tables, dict):
                self._complain(channel, "", f"tables are [{'.name], ['.join(_OF_CHANNEL)}.name]")
                continue
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
        needed = "credentials" if channel == "push" else "url"
        if name != DEFAULTS[channel] and needed not in values:
            alternative = "" if channel == "push" else f" or {needed}_file"
            self._complain(where, needed, f"is missing; give {needed}{alternative}")
        return ProviderSettings(channel, name, **values)

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
            path = self._path.parent / value
            if not (path.is_file() and os.access(path, os.R_OK)):
                self._complain(where, key, f"there is no readable file {path}")
            return path
        return value.strip()

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
            whole = parts.hostname and (channel != "sms" or (parts.port and parts.username))
        except ValueError:
            parts, whole = urlsplit(""), None
        if parts.scheme not in schemes or not whole:
            right = {"sms": "user:password@host:2775", "email": "user:password@host:587"}
            self._complain(
                where, key, f"right would be {schemes[0]}://{right.get(channel, 'host')}"
            )


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= 30
        and name.isascii()
        and all(letter.islower() or letter.isdigit() or letter == "-" for letter in name)
    )
