"""The lab carriers as processes of the demo, and the settings that lead to them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from broadcaster.demo.supervise import Supervisor
from channels.lab import certs

_SMPP_USER, _SMPP_PASSWORD = "demo", "demo-pass"
_INBOUND_USER = "demo1022"


@dataclass(frozen=True, slots=True)
class Carriers:
    """Where the lab carriers are and what leads to them."""

    directory: Path
    environ: dict[str, str]
    mail_inbound: tuple[str, int]
    reply_number: str


def free_port() -> int:
    """Find a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start(supervisor: Supervisor, directory: Path, reply_number: str) -> Carriers:
    """Start the three carriers and wait until they listen; raises Refused."""
    fcm, smpp, smtp, inbound = (free_port() for _ in range(4))
    files = certs.prepare(directory, fcm)
    lab = ["--dir", str(directory)]
    supervisor.start("lab fcm", ["-m", "channels.lab.fcm", *lab, "--port", str(fcm)], last=True)
    supervisor.start(
        "lab smsc",
        [
            "-m", "channels.lab.smsc", *lab, "--port", str(smpp),
            "--system-id", _SMPP_USER, "--password", _SMPP_PASSWORD,
            "--inbound-system-id", _INBOUND_USER, "--inbound-password", _SMPP_PASSWORD,
        ],
        last=True,
    )  # fmt: skip
    supervisor.start(
        "lab smtp",
        [
            "-m", "channels.lab.smtp", *lab, "--port", str(smtp),
            "--inbound", f"127.0.0.1:{inbound}",
        ],
        last=True,
    )  # fmt: skip
    ports = {"lab fcm": fcm, "lab smsc": smpp, "lab smtp": smtp}
    for name, port in ports.items():
        await supervisor.listening(name, port)
    return Carriers(
        directory=directory,
        environ={
            "BROADCASTER_FCM_URL": f"https://127.0.0.1:{fcm}",
            "BROADCASTER_FCM_CREDENTIALS": str(files.credentials),
            "BROADCASTER_FCM_CA": str(files.ca),
            "BROADCASTER_SMPP_URL": f"smpp://{_SMPP_USER}:{_SMPP_PASSWORD}@127.0.0.1:{smpp}",
            "BROADCASTER_SMPP_INBOUND_URL": (
                f"smpp://{_INBOUND_USER}:{_SMPP_PASSWORD}@127.0.0.1:{smpp}"
            ),
            "BROADCASTER_SMTP_URL": f"smtp://127.0.0.1:{smtp}",
            "BROADCASTER_MAIL_DOMAIN": "canhbao.example",
            "BROADCASTER_MAIL_INBOUND_HOST": "127.0.0.1",
            "BROADCASTER_MAIL_INBOUND_PORT": str(inbound),
        },
        mail_inbound=("127.0.0.1", inbound),
        reply_number=reply_number,
    )
