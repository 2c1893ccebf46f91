"""Which carriers are configured, and the channel objects that speak to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import structlog

from broadcaster.fanout.fleet import Carrier, LinkTest
from broadcaster.provider_file import FCM, ProviderSettings, account_of
from broadcaster.settings import Settings, SettingsError
from channels.base import Channel
from channels.email import EmailChannel
from channels.limits_rules import Ramp, RateLimit, Rule
from channels.push import PushChannel
from channels.sms import SmsChannel

log = structlog.get_logger(__name__)

WINDOW = 50
"""Submits one SMPP bind may leave unanswered."""
CONNECTIONS = 16
MAILS_PER_CONNECTION = 500
PUSH_RULES = (Rule(600_000, 60.0), Rule(10_000, 1.0))
"""FCM's quota for a project, and the steadiness it asks for."""


def carriers(settings: Settings) -> list[Carrier]:
    """Return every configured account with its limits, weight and link test.

    Raises SettingsError with what the channels refuse.
    """
    found, problems = [], []
    for table in settings.provider_accounts:
        try:
            found.append(_carrier(settings, table))
        except (ValueError, OSError) as error:
            where = f"[{table.channel}.{table.name}]"
            problems.append(f"{settings.providers or 'environment'}: {where}: {error}")
    if problems:
        raise SettingsError(problems)
    return found


def inbound(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give (name, address) of every SMPP bind to listen on: receipts come to who has sent."""
    listened = set()
    for table in settings.provider_accounts:
        for url in (table.url, table.inbound_url) if table.channel == "sms" else ():
            if url and url not in listened:
                listened.add(url)
                yield table.name, url


def _carrier(settings: Settings, table: ProviderSettings) -> Carrier:
    channel = _OPENERS[table.channel](settings, table)
    return Carrier(
        channel,
        table.name,
        account_of(table),
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


def _push(_: Settings, table: ProviderSettings) -> Channel[Any]:
    url = table.url or FCM
    if variable := _proxy_for(url):
        log.warning(
            "messages to phones go straight to FCM: this variable holds for its tokens only",
            variable=variable, account=table.name, host=urlsplit(url).hostname,
        )  # fmt: skip
    return PushChannel(url, table.credentials or Path(), table.ca)


def _proxy_for(url: str) -> str:
    """Return the environment's variable that names a proxy for an address, "" for none."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return ""
    named = getproxies_environment()
    return next((f"{one}_proxy".upper() for one in (parts.scheme, "all") if one in named), "")


def _sms(settings: Settings, table: ProviderSettings) -> Channel[Any]:
    source = table.source or settings.sms_source
    return SmsChannel(table.url or "", source, table.window or WINDOW)


def _mail(settings: Settings, table: ProviderSettings) -> Channel[Any]:
    return EmailChannel(
        table.url or "", table.sender or settings.sender_mail, settings.mail_domain,
        settings.public_url, table.connections or CONNECTIONS,
        mails_per_connection=table.mails_per_connection or MAILS_PER_CONNECTION,
    )  # fmt: skip


_OPENERS: dict[str, Callable[[Settings, ProviderSettings], Channel[Any]]] = {
    "push": _push,
    "sms": _sms,
    "email": _mail,
}
