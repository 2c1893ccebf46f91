"""A push carrier that answers everything at once: nginx over HTTPS/2, with the lab's keys.

It knows the two addresses a sender needs, the messages' and the token's, and keeps nothing: what
is measured against it is the sender alone. Without nginx, the lab's own carrier stands in and
says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from channels.lab import certs

_START_S = 20.0

_CONF = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    http2_max_concurrent_streams 128;
    location = /token {{
      return 200 '{{"access_token":"canned","expires_in":3600,"token_type":"Bearer"}}';
    }}
    location / {{ return 200 '{{"name":"projects/lab/messages/0:1234567890123456"}}'; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Canned:
    """A running server."""

    url: str
    files: certs.Files
    what: str
    """Its name, as a report says it."""


@contextmanager
def serving(directory: Path, cpus: set[int]) -> Iterator[Canned]:
    """Serve from these processors until the block ends; raises RuntimeError when it does not."""
    port = _free_port()
    files = certs.prepare(directory, port)
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx:
        what, command = "nginx", _nginx(nginx, directory, port, files)
    else:
        what = "granian (no nginx here: its own limit is lower)"
        command = [sys.executable, "-m", "channels.lab.fcm", "--canned"]
        command += ["--dir", str(directory), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, cpus)
    try:
        _await_port(port, process)
        yield Canned(f"https://127.0.0.1:{port}", files, what)
    finally:
        process.terminate()
        process.wait(10)


def _nginx(nginx: str, directory: Path, port: int, files: certs.Files) -> list[str]:
    conf = directory / "nginx.conf"
    conf.write_text(
        _CONF.format(directory=directory, port=port, certificate=files.certificate, key=files.key)
    )
    return [nginx, "-e", str(directory / "error.log"), "-c", str(conf)]


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the canned server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError("the canned server did not start")
