"""Frozen settings and the only reader of the environment.

Every setting is a field below and an environment variable `BROADCASTER_<FIELD>`; those in
SECRETS may also be given as `BROADCASTER_<FIELD>_FILE`, the path of a file that holds the value.
A `.env` file in the current directory is read beneath the environment. Wrong, contradicting and
unknown variables stop the program at start, with the variable named and what would be right.
"""

from __future__ import annotations

import enum
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from broadcaster import provider_file
from broadcaster.provider_file import Environment, ProviderFileError, ProviderSettings

PREFIX = "BROADCASTER_"
FILE_SUFFIX = "_FILE"
SECRETS = frozenset(
    {
        "database_url",
        "redis_url",
        "secret_key",
        "old_secret_keys",
        "smpp_url",
        "smpp_inbound_url",
        "smtp_url",
        "metrics_token",
    }
)
SECRET_KEY_LENGTH = 32
KEY_FILE = "secret.key"

_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "fcm_url": ("https",),
    "smpp_url": ("smpp",),
    "smpp_inbound_url": ("smpp",),
    "smtp_url": ("smtp", "smtps"),
    "base_url": ("http", "https"),
    "tiles_url": ("http", "https"),
}


class SettingsError(Exception):
    """The settings do not hold; one line per problem, each naming its variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Mode(enum.StrEnum):
    """Development makes what is missing; production refuses to start without it."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SecondStep(enum.StrEnum):
    """Of whom a sign-in asks the second factor they have."""

    OFF = "off"
    LEADING = "leading"
    """Of who administers, or approves for the whole city."""
    EVERYONE = "everyone"


class LogLevel(enum.StrEnum):
    """The least serious message that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """Everything that can be set from outside. Built by load(), never changed afterwards.

    The first entry of `examples` is what an error message shows as a right value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    mode: Mode = Field(Mode.DEVELOPMENT, examples=["production"])
    data_dir: Path = Field(Path("var"), examples=["/srv/broadcaster"])
    database_url: str | None = Field(
        None, repr=False, examples=["postgresql://user:password@host:5432/name"]
    )
    redis_url: str | None = Field(None, repr=False, examples=["redis://:password@host:6379/0"])
    secret_key: str | None = Field(
        None,
        repr=False,
        min_length=SECRET_KEY_LENGTH,
        examples=[f"{SECRET_KEY_LENGTH} random characters or more, from `openssl rand -hex 32`"],
    )
    old_secret_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), repr=False, examples=["earlier secret keys, newest first, separated by commas"]
    )

    http_host: str = Field("127.0.0.1", examples=["127.0.0.1"])
    http_port: int = Field(8080, ge=1, le=65535, examples=["8080"])
    base_url: str | None = Field(None, examples=["https://alerts.example.org"])

    fcm_url: str | None = Field(None, examples=["https://127.0.0.1:9443"])
    fcm_credentials: Path | None = Field(None, examples=["/etc/broadcaster/fcm.json"])
    fcm_ca: Path | None = Field(None, examples=["/etc/broadcaster/fcm-ca.pem"])

    smpp_url: str | None = Field(None, repr=False, examples=["smpp://user:password@host:2775"])
    smpp_inbound_url: str | None = Field(
        None, repr=False, examples=["smpp://user:password@host:2775"]
    )
    sms_source: str = Field("HANOI", pattern=r"^[A-Za-z0-9 ._-]{1,11}$", examples=["HANOI"])
    sms_reply_number: str = Field("1022", pattern=r"^\+?[0-9]{3,15}$", examples=["1022"])

    smtp_url: str | None = Field(None, repr=False, examples=["smtp://user:password@host:587"])
    mail_domain: str = Field(
        "localhost", pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", examples=["example.org"]
    )
    mail_from: str | None = Field(
        None, pattern=r"^[^@\s<>]+@[^@\s<>]+$", examples=["alerts@example.org"]
    )
    mail_inbound_host: str = Field("127.0.0.1", examples=["127.0.0.1"])
    mail_inbound_port: int = Field(8025, ge=1, le=65535, examples=["8025"])

    providers: Path | None = Field(None, examples=["/etc/broadcaster/providers.toml"])

    tiles_url: str | None = Field(None, examples=["https://tiles.example.org/{z}/{x}/{y}.png"])
    tiles_attribution: str = Field("", examples=["© the makers of the tiles"])

    rows_kept_days: int = Field(7, ge=3, le=3650, examples=["7"])

    sign_in_second_step: SecondStep = Field(SecondStep.LEADING, examples=["everyone"])

    metrics_token: str | None = Field(
        None, repr=False, min_length=16, examples=["16 random characters or more"]
    )
    log_level: LogLevel = Field(LogLevel.INFO, examples=["info"])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from load() alone: it has read the environment, files and all."""
        return (init_settings,)

    @field_validator("old_secret_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(key.strip() for key in value.split(",") if key.strip())
        return value

    @field_validator("old_secret_keys")
    @classmethod
    def _long_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(key) < SECRET_KEY_LENGTH for key in value):
            raise ValueError(f"every key has at least {SECRET_KEY_LENGTH} characters")
        return value

    @field_validator(*_SCHEMES)
    @classmethod
    def _known_scheme(cls, value: str | None, info: Any) -> str | None:
        if value is None:
            return None
        schemes = _SCHEMES[info.field_name]
        parts = urlsplit(value)
        if parts.scheme not in schemes:
            raise ValueError(f"the address begins with {' or '.join(s + '://' for s in schemes)}")
        if info.field_name in {"smpp_url", "smpp_inbound_url"} and not (
            parts.hostname and parts.port and parts.username
        ):
            raise ValueError("the address names a user, a host and a port")
        if info.field_name == "smtp_url" and not parts.hostname:
            raise ValueError("the address names a host")
        return value

    @field_validator("fcm_credentials", "fcm_ca", "providers")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_file() and os.access(value, os.R_OK)):
            raise ValueError(f"there is no readable file {value}")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        if self.fcm_url and not self.fcm_credentials:
            raise ValueError(
                f"{PREFIX}FCM_URL is set without {PREFIX}FCM_CREDENTIALS; "
                "set it to the path of the service account's JSON file"
            )
        if self.mode is Mode.PRODUCTION and not self.secret_key:
            raise ValueError(
                f"{PREFIX}SECRET_KEY is required in production; set it, or "
                f"{PREFIX}SECRET_KEY{FILE_SUFFIX}, to {SECRET_KEY_LENGTH} random characters or "
                "more, for example from `openssl rand -hex 32`, and keep a copy: without it "
                "no stored address can be read"
            )
        return self

    @property
    def provider_accounts(self) -> list[ProviderSettings]:
        """Every account, those of the environment first, with what the file of providers says.

        Raises SettingsError with every problem of that file.
        """
        environment = Environment(
            {
                "push": {
                    "url": self.fcm_url,
                    "credentials": self.fcm_credentials,
                    "ca": self.fcm_ca,
                },
                "sms": {"url": self.smpp_url, "inbound_url": self.smpp_inbound_url},
                "email": {"url": self.smtp_url},
            },
            self.sender_mail,
        )
        try:
            return provider_file.read(self.providers, environment)
        except ProviderFileError as error:
            raise SettingsError(error.problems) from None

    @property
    def public_url(self) -> str:
        """The address people reach the console and the public pages at, without a slash."""
        return (self.base_url or f"http://{_url_host(self.http_host)}:{self.http_port}").rstrip("/")

    @property
    def sender_mail(self) -> str:
        """The address alerts are mailed from."""
        return self.mail_from or f"alerts@{self.mail_domain}"

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Every master secret, the current one first."""
        if self.secret_key is None:
            raise SettingsError([f"{PREFIX}SECRET_KEY is not set"])
        return tuple(key.encode() for key in (self.secret_key, *self.old_secret_keys))


def load(
    environ: Mapping[str, str] | None = None, env_file: Path = Path(".env"), **overrides: Any
) -> Settings:
    """Read the settings, and in development make the secret key that is missing.

    `overrides` (from the command line) win over the environment, which wins over `env_file`.
    """
    values = _environment(environ if environ is not None else os.environ, env_file)
    values.update({name: value for name, value in overrides.items() if value is not None})
    settings = _build(values)
    # A mistake in it is to be known at start, whatever starts.
    _ = settings.provider_accounts
    if settings.secret_key is None:
        settings = _build({**values, "secret_key": _own_secret_key(settings.data_dir)})
    return settings


def variables() -> list[str]:
    """Return the name of every environment variable the program knows, `_FILE` forms aside."""
    return [PREFIX + name.upper() for name in Settings.model_fields]


def make_data_dir(path: Path) -> Path:
    """Create the data folder closed to others; one that exists keeps the mode it has.

    Root's is made passable (0711), because the embedded servers inside run as another user.
    """
    path = path.absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return path


def _environment(environ: Mapping[str, str], env_file: Path) -> dict[str, Any]:
    given = (
        {**dotenv_values(env_file, interpolate=False), **environ}
        if env_file.is_file()
        else dict(environ)
    )
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable, value in sorted(given.items()):
        if not variable.startswith(PREFIX) or not value:
            continue
        name = variable.removeprefix(PREFIX).lower()
        secret = name.removesuffix(FILE_SUFFIX.lower())
        if name in Settings.model_fields:
            values[name] = value
        elif name != secret and secret in SECRETS:
            _read_secret(variable, secret, value, given, values, problems)
        else:
            problems.append(f"{variable} is not a setting; known are {', '.join(variables())}")
    if problems:
        raise SettingsError(problems)
    return values


def _read_secret(
    variable: str,
    name: str,
    path: str,
    given: Mapping[str, str | None],
    values: dict[str, Any],
    problems: list[str],
) -> None:
    plain = PREFIX + name.upper()
    if given.get(plain):
        problems.append(f"{variable} and {plain} are both set; keep one of them")
        return
    try:
        values[name] = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{variable}: {path} cannot be read ({error}); give a readable text file")
        return
    if not values[name]:
        problems.append(f"{variable}: {path} is empty; put the value into it")


def _build(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError([_explain(problem) for problem in error.errors()]) from None


def _explain(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return text
    name = str(problem["loc"][0])
    field = Settings.model_fields.get(name)
    example = f"; right would be: {field.examples[0]}" if field and field.examples else ""
    return f"{PREFIX}{name.upper()}: {text[:1].lower()}{text[1:]}{example}"


def _own_secret_key(data_dir: Path) -> str:
    """Read the key in the data folder, made at the first start.

    Written aside and linked into place, so that of two programs starting at once both use the
    key of the one that was first, and neither reads half a key.
    """
    path = make_data_dir(data_dir) / KEY_FILE
    if not path.exists():
        fresh = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError(
            [f"{PREFIX}DATA_DIR: {path} cannot be read ({error}); run as its owner"]
        ) from None


def _url_host(host: str) -> str:
    wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - mapped away, not bound to
    host = wildcard.get(host, host)
    return f"[{host}]" if ":" in host else host
