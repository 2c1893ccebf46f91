"""Which carriers are configured, and the channel objects that speak to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from broadcaster.fanout.fleet import Carrier, LinkTest
from broadcaster.provider_file import DEFAULTS, ProviderSettings
from broadcaster.settings import Settings, SettingsError
from channels.base import Channel
from channels.email import EmailChannel
from channels.limits_rules import Ramp, RateLimit, Rule
from channels.push import PushChannel
from channels.sms import SmsChannel

FCM = "https://fcm.googleapis.com"
WINDOW = 50
"""Submits one SMPP bind may leave unanswered."""
CONNECTIONS = 16
MAILS_PER_CONNECTION = 500
PUSH_RULES = (Rule(600_000, 60.0), Rule(10_000, 1.0))
"""FCM's quota for a project, and the steadiness it asks for."""


def smpp_account(url: str) -> str:
    """Return the account part of an SMPP address: user@host:port, without the password."""
    parts = urlsplit(url)
    return f"{parts.username}@{parts.hostname}:{parts.port}"


def tables(settings: Settings) -> list[ProviderSettings]:
    """Return every account, those of the environment first; raises SettingsError."""
    given: dict[str, dict[str, Any]] = {
        "push": {
            "url": settings.fcm_url,
            "credentials": settings.fcm_credentials,
            "ca": settings.fcm_ca,
        },
        "sms": {"url": settings.smpp_url, "inbound_url": settings.smpp_inbound_url},
        "email": {"url": settings.smtp_url},
    }
    needed = {"push": "credentials", "sms": "url", "email": "url"}
    known = {(table.channel, table.name): table for table in settings.provider_tables}
    found = []
    for channel, name in DEFAULTS.items():
        table = known.pop((channel, name), ProviderSettings(channel, name))
        missing = {
            key: value for key, value in given[channel].items() if getattr(table, key) is None
        }
        table = replace(table, **missing)
        if getattr(table, needed[channel]) is not None:
            found.append(table)
    return found + list(known.values())


def carriers(settings: Settings) -> list[Carrier]:
    """Return every configured account with its limits, weight and link test."""
    return [_carrier(settings, table) for table in tables(settings)]


def inbound(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give (name, address) of every SMPP bind to listen on: receipts come to who has sent."""
    listened = set()
    for table in tables(settings):
        for url in (table.url, table.inbound_url) if table.channel == "sms" else ():
            if url and url not in listened:
                listened.add(url)
                yield table.name, url


def _carrier(settings: Settings, table: ProviderSettings) -> Carrier:
    try:
        channel, account = _OPENERS[table.channel](settings, table)
    except (ValueError, OSError) as error:
        where = f"[{table.channel}.{table.name}]"
        raise SettingsError([f"{settings.providers or 'environment'}: {where}: {error}"]) from None
    return Carrier(
        channel,
        table.name,
        account,
        _limit(table, channel),
        table.slots,
        table.weight,
        LinkTest(table.test, float(table.test_every)) if table.test else None,
    )


def _limit(table: ProviderSettings, channel: Channel[Any]) -> RateLimit:
    rules = [Rule(table.per_second, 1.0)] if table.per_second else []
    rules += [Rule(table.per_minute, 60.0)] if table.per_minute else []
    if not rules:
        rules = list(PUSH_RULES) if channel.name == "push" else []
        rules = rules or [Rule(channel.limits.per_second, 1.0)]
    return RateLimit(
        tuple(rules),
        {domain: (Rule(each, 1.0),) for domain, each in table.domains.items()},
        (Rule(table.other_domains, 1.0),) if table.other_domains else (),
        Ramp() if channel.name == "push" else None,
    )


def _push(_: Settings, table: ProviderSettings) -> tuple[Channel[Any], str]:
    url, credentials = table.url or FCM, table.credentials or Path()
    project = json.loads(credentials.read_text("utf-8")).get("project_id", "")
    return PushChannel(url, credentials, table.ca), f"{project}@{urlsplit(url).netloc}"


def _sms(settings: Settings, table: ProviderSettings) -> tuple[Channel[Any], str]:
    url = table.url or ""
    channel = SmsChannel(url, table.source or settings.sms_source, table.window or WINDOW)
    return channel, smpp_account(url)


def _mail(settings: Settings, table: ProviderSettings) -> tuple[Channel[Any], str]:
    channel = EmailChannel(
        table.url or "", table.sender or settings.sender_mail, settings.mail_domain,
        settings.public_url, table.connections or CONNECTIONS,
        mails_per_connection=table.mails_per_connection or MAILS_PER_CONNECTION,
    )  # fmt: skip
    parts = urlsplit(table.url or "")
    return channel, f"{parts.username or ''}@{parts.hostname}:{parts.port or ''}"


_OPENERS: dict[str, Callable[[Settings, ProviderSettings], tuple[Channel[Any], str]]] = {
    "push": _push,
    "sms": _sms,
    "email": _mail,
}
