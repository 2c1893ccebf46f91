"""The three carriers for volume as child processes, and the way to ask and to break them."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.sinks.record import Messages
from broadcaster.demo.carriers import Carriers, free_port
from broadcaster.demo.supervise import Supervisor
from channels.lab import certs

CHANNELS = ("push", "sms", "email")
_MODULES = {"push": "fcm", "sms": "smsc", "email": "smtp"}
_ACCOUNT, _INBOUND, _PASSWORD = "volume", "volume1022", "volume"
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the carriers are and where they are controlled."""

    carriers: Carriers
    controls: dict[str, str]

    async def messages(self, channel: str, start: int = 0) -> Messages:
        """Return every message a carrier saw, from a number on."""
        dumped = await self._ask(channel, f"messages?from={start}")
        return await asyncio.to_thread(Messages.read, dumped)

    async def contents(self, channel: str) -> list[dict[str, Any]]:
        """Return what a carrier was sent, with how many and when."""
        found: list[dict[str, Any]] = json.loads(await self._ask(channel, "contents"))
        return found

    async def become(self, channel: str, **faults: float) -> None:
        """Change how a carrier behaves, at once."""
        await self._ask(channel, "faults", json.dumps(faults).encode())

    async def clear(self) -> None:
        """Forget every message."""
        for channel in self.controls:
            await self._ask(channel, "clear", b"")

    async def _ask(self, channel: str, what: str, body: bytes | None = None) -> bytes:
        def ask() -> bytes:
            url = f"{self.controls[channel]}/{what}"
            with urllib.request.urlopen(url, body, timeout=_PATIENCE) as answer:
                found: bytes = answer.read()
                return found

        return await asyncio.to_thread(ask)


async def start(supervisor: Supervisor, directory: Path, reply_number: str) -> Sinks:
    """Start the carriers and wait until they listen; raises Refused."""
    ports = {channel: free_port() for channel in (*CHANNELS, "inbound")}
    controls = {channel: free_port() for channel in CHANNELS}
    files = certs.prepare(directory, ports["push"])
    for channel, module in _MODULES.items():
        arguments = ["--dir", str(directory), "--port", str(ports[channel])]
        supervisor.start(
            f"sink {module}",
            ["-m", f"bench.sinks.{module}", *arguments, "--control", str(controls[channel])],
            last=True,
        )
    for channel, module in _MODULES.items():
        for port in (ports[channel], controls[channel]):
            await supervisor.listening(f"sink {module}", port)
    smsc = f"127.0.0.1:{ports['sms']}"
    carriers = Carriers(
        directory=directory,
        environ={
            "BROADCASTER_FCM_URL": f"https://127.0.0.1:{ports['push']}",
            "BROADCASTER_FCM_CREDENTIALS": str(files.credentials),
            "BROADCASTER_FCM_CA": str(files.ca),
            "BROADCASTER_SMPP_URL": f"smpp://{_ACCOUNT}:{_PASSWORD}@{smsc}",
            "BROADCASTER_SMPP_INBOUND_URL": f"smpp://{_INBOUND}:{_PASSWORD}@{smsc}",
            "BROADCASTER_SMTP_URL": f"smtp://127.0.0.1:{ports['email']}",
            "BROADCASTER_MAIL_DOMAIN": "canhbao.example",
            "BROADCASTER_MAIL_INBOUND_HOST": "127.0.0.1",
            "BROADCASTER_MAIL_INBOUND_PORT": str(ports["inbound"]),
        },
        mail_inbound=("127.0.0.1", ports["inbound"]),
        reply_number=reply_number,
    )
    return Sinks(carriers, {c: f"http://127.0.0.1:{port}" for c, port in controls.items()})
