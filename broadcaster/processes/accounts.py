"""Which carriers are configured, and the channel objects that speak to them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from broadcaster.fanout.fleet import Carrier
from broadcaster.settings import Settings
from channels.base import Channel
from channels.email import EmailChannel
from channels.limits_rules import Ramp, RateLimit, Rule
from channels.push import PushChannel
from channels.sms import SmsChannel

FCM = "https://fcm.googleapis.com"


def smpp_account(url: str) -> str:
    """Return the account part of an SMPP address: user@host:port, without the password."""
    parts = urlsplit(url)
    return f"{parts.username}@{parts.hostname}:{parts.port}"


PUSH_LIMIT = RateLimit(
    # FCM's quota for a project, and the steadiness it asks for.
    rules=(Rule(600_000, 60.0), Rule(10_000, 1.0)),
    ramp=Ramp(),
)


def carriers(settings: Settings) -> list[Carrier]:
    """Return every configured account with its limits, weight and link test."""
    return [
        Carrier(
            channel,
            name,
            account,
            PUSH_LIMIT
            if channel.name == "push"
            else RateLimit((Rule(channel.limits.per_second, 1.0),)),
        )
        for channel, name, account in configured(settings)
    ]


def configured(settings: Settings) -> list[tuple[Channel[Any], str, str]]:
    """Every configured channel with the name of its provider and account."""
    found: list[tuple[Channel[Any], str, str]] = []
    if settings.fcm_credentials:
        url = settings.fcm_url or FCM
        project = json.loads(settings.fcm_credentials.read_text("utf-8")).get("project_id", "")
        push = PushChannel(url, settings.fcm_credentials, settings.fcm_ca)
        found.append((push, "fcm", f"{project}@{urlsplit(url).netloc}"))
    if settings.smpp_url:
        sms = SmsChannel(settings.smpp_url, settings.sms_source)
        found.append((sms, "smpp", smpp_account(settings.smpp_url)))
    if settings.smtp_url:
        parts = urlsplit(settings.smtp_url)
        mail = EmailChannel(
            settings.smtp_url, settings.sender_mail, settings.mail_domain, settings.public_url
        )
        found.append((mail, "smtp", f"{parts.username or ''}@{parts.hostname}:{parts.port or ''}"))
    return found
