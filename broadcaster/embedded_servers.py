"""PostgreSQL and Valkey as processes of this program: started, stopped, killed and restarted.

Both listen on sockets in a folder only their account can enter, on no port at all. PostgreSQL
also asks the kernel who is calling (peer), and lets in this program's user and nobody else.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

from broadcaster import embedded_launch
from broadcaster.embedded_places import (
    Account,
    EmbeddedError,
    Programs,
    account,
    account_dir,
    programs,
    servers_dir,
    socket_dir,
)

NAME = "broadcaster"
"""The database and the role in it."""
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_LIMIT = 8 << 20

POSTGRES_OPTIONS: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "wal_compression": "on",
    # No replica hangs on this server, so COPY into a partition made in the same transaction
    # needs no write-ahead log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

log = logging.getLogger(__name__)

# The system ends a server when the THREAD that started it ends, and a thread of asyncio's pool
# ends with its loop. This one lives as long as the program.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-servers")


class Server(ABC):
    """One server process, kept by this program and never outliving it."""

    title: ClassVar[str]
    polite: ClassVar[signal.Signals]
    """Asks for a clean stop without waiting for clients."""

    def __init__(self, home: Path, user: Account, tools: Programs) -> None:
        self.home = home
        self.user = user
        self.tools = tools
        self.sockets, self._temporary = socket_dir(home, user)
        self.log_path = home / f"{self.title.lower()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address clients connect to; the same after a restart."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _is_ready(self, pid: int) -> bool: ...

    def _may_retry(self, words: str) -> bool:
        return False

    @property
    def pid(self) -> int:
        """The process id of the server; raises when it was never started."""
        if self._process is None:
            raise EmbeddedError(f"{self.title} is not running; start it first.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until clients are served; nothing to do when it runs already."""
        if self.running:
            return self
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT:
            self.log_path.unlink()
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._prepare()
            offset = self.log_path.stat().st_size if self.log_path.exists() else 0
            self._process = self._spawn(self._command())
            if self._wait_ready(deadline):
                return self
            words = self._words_since(offset)
            self.kill()
            if not self._may_retry(words) or time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.title} did not start; it said, in {self.log_path}:\n{words}"
                )
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop cleanly, with more force when that takes too long."""
        process = self._process
        if process is not None:
            for force in (self.polite, signal.SIGQUIT, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(force)
                try:
                    process.wait(STOP_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    log.warning("%s does not stop; %s was not enough", self.title, force.name)
        self._process = None
        if self._temporary:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def kill(self) -> None:
        """End the process at once, as a crash would: SIGKILL, nothing is tidied up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> Self:
        """Start again, from whatever state it is in, on the same address."""
        if self.running and self._process is not None:
            self._process.send_signal(self.polite)
            self._process.wait(STOP_SECONDS)
        return self.start()

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", embedded_launch.__file__]
        who = [self.user.uid, self.user.gid, int(self.polite), os.getpid()]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(self.log_path, flags, 0o600), "ab") as output:
            return _starter.submit(
                subprocess.Popen[bytes],
                [*launcher, *map(str, who), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                # Ctrl-C in the terminal is for the program, which then stops its servers last.
                start_new_session=True,
            ).result()

    def _wait_ready(self, deadline: float) -> bool:
        while self.running and time.monotonic() < deadline:
            if self._is_ready(self.pid):
                return True
            time.sleep(0.02)
        return False

    def _words_since(self, offset: int) -> str:
        with self.log_path.open("rb") as file:
            file.seek(offset)
            return file.read(LOG_LIMIT).decode(errors="replace").strip()[-2000:]


class Postgres(Server):
    """A PostgreSQL cluster in `home/postgres`, made at the first start."""

    title = "PostgreSQL"
    polite = signal.SIGINT

    def __init__(
        self, home: Path, user: Account, tools: Programs, options: Mapping[str, str]
    ) -> None:
        super().__init__(home, user, tools)
        self.data = home / "postgres"
        self.options = {**POSTGRES_OPTIONS, **options}

    @property
    def url(self) -> str:
        """The address of the service's database."""
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self.sockets), safe='')}&port=5432"

    def _command(self) -> list[str]:
        options = {
            **self.options,
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.home / "pg_hba.conf"),
            "ident_file": str(self.home / "pg_ident.conf"),
        }
        settings = [part for item in options.items() for part in ("-c", "=".join(item))]
        return [str(self.tools.postgres / "postgres"), "-D", str(self.data), *settings]

    def _prepare(self) -> None:
        _write(self.home / "pg_hba.conf", f"local all {NAME} peer map=owner\n")
        _write(self.home / "pg_ident.conf", f'owner "{self.user.client}" {NAME}\n')
        if not self.data.exists():
            self._create()
        self._check_version()
        self._end_predecessor()

    def _is_ready(self, pid: int) -> bool:
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7] == "ready"

    def _may_retry(self, words: str) -> bool:
        # Of a killed server, single processes may linger until they notice.
        return "pre-existing shared memory block" in words

    def _create(self) -> None:
        """Make the cluster aside and move it into place whole: a killed start leaves no half."""
        fresh = self.home / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        account_dir(fresh, self.user)
        self._run(
            "initdb", "-D", str(fresh), f"--username={NAME}", "--auth=peer", "--encoding=UTF8",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-instructions", *(["--no-sync"] if self.options["fsync"] == "off" else []),
        )  # fmt: skip
        self._run(
            "postgres", "--single", "-D", str(fresh), "postgres",
            words=f"CREATE DATABASE {NAME};\n",
        )  # fmt: skip
        fresh.rename(self.data)

    def _run(self, program: str, *arguments: str, words: str = "") -> None:
        launcher = [sys.executable, "-I", "-S", embedded_launch.__file__]
        who = [self.user.uid, self.user.gid, int(signal.SIGKILL), os.getpid()]
        done = _starter.submit(
            subprocess.run,
            [*launcher, *map(str, who), str(self.tools.postgres / program), *arguments],
            input=words.encode(),
            capture_output=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            check=False,
        ).result()
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()[-2000:]
            raise EmbeddedError(f"{program} failed to make the database in {self.home}:\n{said}")

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        here = (self.tools.postgres.parent / "share" / "postgres.bki").open(encoding="utf-8")
        with here:
            installed = here.readline().split()[-1]
        if made_by != installed:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by}, installed is {installed}. Move "
                f"the data over with {made_by}'s pg_dump, or set BROADCASTER_DATA_DIR to another "
                "folder."
            )

    def _end_predecessor(self) -> None:
        """Clear what an earlier server left: itself, still stopping, or its files.

        Process ids are given again soon in a container, and PostgreSQL believes any process
        under the noted id to be itself; so look who that is.
        """
        lines = self._pid_file()
        pid = int(lines[0]) if lines and lines[0].isdigit() else 0
        deadline = time.monotonic() + STOP_SECONDS
        for force in (self.polite, signal.SIGQUIT):
            if not self._is_ours(pid):
                break
            log.warning("waiting for an earlier PostgreSQL, process %s, to stop", pid)
            os.kill(pid, force)
            while self._is_ours(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
            deadline += STOP_SECONDS
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.sockets.glob(".s.PGSQL.*"):
            left.unlink()

    def _is_ours(self, pid: int) -> bool:
        if not pid:
            return False
        try:
            os.kill(pid, 0)
            if sys.platform == "linux":
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            else:
                question = ["/bin/ps", "-p", str(pid), "-o", "args="]
                words = subprocess.run(question, capture_output=True, check=False).stdout  # noqa: S603
        except (ProcessLookupError, PermissionError, FileNotFoundError):
            return False
        return os.fsencode(self.data) in words

    def _pid_file(self) -> list[str]:
        try:
            text = (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.splitlines()]


class Valkey(Server):
    """A Valkey that keeps nothing on disk: PostgreSQL is the truth, it only wakes and counts."""

    title = "Valkey"
    polite = signal.SIGTERM

    @property
    def path(self) -> Path:
        """The socket."""
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"unix://{self.path}"

    def _command(self) -> list[str]:
        return [
            str(self.tools.valkey), "--port", "0", "--unixsocket", str(self.path),
            "--unixsocketperm", "700", "--dir", str(self.home / "valkey"), "--save", "",
            "--appendonly", "no", "--loglevel", "notice",
        ]  # fmt: skip

    def _prepare(self) -> None:
        account_dir(self.home / "valkey", self.user)
        self.path.unlink(missing_ok=True)

    def _is_ready(self, pid: int) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def start_postgres(data_dir: Path, *, options: Mapping[str, str] | None = None) -> Postgres:
    """Start PostgreSQL with its files below `data_dir`, which no other program uses meanwhile."""
    user = account(data_dir)
    return Postgres(servers_dir(data_dir, user), user, programs(user), options or {}).start()


def start_valkey(data_dir: Path) -> Valkey:
    """Start Valkey with its socket below `data_dir`."""
    user = account(data_dir)
    return Valkey(servers_dir(data_dir, user), user, programs(user)).start()


def _write(path: Path, text: str) -> None:
    """Replace a small file the account may read and not write."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
