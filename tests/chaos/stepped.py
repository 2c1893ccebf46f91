"""Run a command line in a process whose wall clock can be set from outside, and nobody else's.

    python -m tests.chaos.stepped FILE run.py worker --role send

FILE holds the seconds by which the clock is wrong at this moment, as one little-endian double.
Only what Python asks for the date and time is moved: as on a real machine, monotonic clocks go on.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import mmap
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import Any

WRONG_BY = struct.Struct("<d")


def set_clock(path: Path, seconds: float) -> None:
    """Make the clock of who reads the file wrong by so many seconds from now on."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(WRONG_BY.pack(seconds))


def _be_wrong(path: Path) -> None:
    with path.open("rb") as file:
        wrong_by = mmap.mmap(file.fileno(), WRONG_BY.size, access=mmap.ACCESS_READ)
    real = time.time

    def clock() -> float:
        return real() + WRONG_BY.unpack_from(wrong_by)[0]

    def now(cls: type[datetime.datetime], tz: Any = None) -> datetime.datetime:
        return cls.fromtimestamp(clock(), tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        return cls.fromtimestamp(clock(), datetime.UTC).replace(tzinfo=None)

    time.time = clock
    # Everybody has imported the class by name, and drivers make instances of it in C: it is the
    # class itself that must be wrong, not a name for it.
    methods = gc.get_referents(datetime.datetime.__dict__)[0]
    methods["now"], methods["utcnow"] = classmethod(now), classmethod(utcnow)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


def main() -> None:
    """Set the clock, then run what follows on the command line."""
    _be_wrong(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    sys.path.insert(0, str(Path.cwd()))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
