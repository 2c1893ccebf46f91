"""What would make a demo disturb another one, found before anything is started."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broadcaster.errors import Refused
from broadcaster.settings import Settings, make_data_dir

LOCK = "demo.lock"


@contextmanager
def alone(base: Settings) -> Iterator[None]:
    """Hold the data folder's demo for the length of the block; raises Refused.

    The kernel gives the lock up with its process, however that ended, so it is never stale.
    """
    directory = make_data_dir(base.data_dir)
    lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _running(directory) from None
        check_port(base.http_host, base.http_port)
        os.truncate(lock, 0)
        os.write(lock, base.public_url.encode())
        yield
    finally:
        os.close(lock)


def check_port(host: str, port: int) -> None:
    """Make sure that the console can listen there; raises Refused."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                # As the web process does: an address that is only in TIME_WAIT is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        raise Refused(
            "port_taken",
            f"Không mở được cổng {port} của {host} cho bảng điều khiển ({error.strerror});"
            " hãy chọn cổng khác bằng --port, hoặc dừng chương trình đang dùng cổng này.",
            f"The console cannot have port {port} of {host} ({error.strerror});"
            " choose another one with --port, or stop what uses it.",
        ) from None


def _running(directory: Path) -> Refused:
    url = (directory / LOCK).read_text(encoding="utf-8")
    return Refused(
        "demo_running",
        f"Đã có một bản demo đang chạy trên {directory}, tại {url}; hãy dừng nó, hoặc đặt"
        " BROADCASTER_DATA_DIR là một thư mục khác.",
        f"A demo is already running on {directory}, at {url}; stop it, or set"
        " BROADCASTER_DATA_DIR to another folder.",
    )
