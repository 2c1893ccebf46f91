"""Become a server: drop to its user, ask to be ended with the parent, execute.

Run by path in an interpreter of its own, so nothing of the service is forked with its threads and
no Python runs between fork and exec in a program full of them. Standard library only.

    python -I -S embedded_launch.py UID GID SIGNAL PARENT_PID PROGRAM [ARGUMENT …]
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns: ends in the server's program or in an exit."""
    uid, gid, signal, parent = (int(text) for text in arguments[:4])
    command = arguments[4:]
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if sys.platform == "linux":
        # After setuid, which would clear it. It survives exec, so that the server stops by
        # itself, and cleanly, when the program is killed in a way it cannot catch.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the program that asked for this server has ended")
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
