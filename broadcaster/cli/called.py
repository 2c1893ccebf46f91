"""Runs a command that was read from the command line, and tells what went wrong in a sentence."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys

import asyncpg

from broadcaster.db import MigrationError
from broadcaster.embedded import EmbeddedError
from broadcaster.errors import Refused
from broadcaster.settings import SettingsError
from broadcaster.terminal import say


def called(given: argparse.Namespace) -> int:
    """Run `given.run`; returns the exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    try:
        status: int = given.run(given)
    except SettingsError as error:
        say("The settings do not hold:")
        for problem in error.problems:
            say(f"  {problem}")
        return 2
    except Refused as error:
        say(error.message("en"))
        return 1
    except (EmbeddedError, MigrationError) as error:
        say(str(error))
        return 1
    except (OSError, asyncpg.PostgresError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 128 + signal.SIGPIPE
        say(_told(error))
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        sys.stdout.flush()
        return status


def _nobody_reads() -> bool:
    """Say whether our output's reader has gone, as `head` does: nothing to complain about."""
    ours = sys.stdout.fileno()
    watched = select.poll()
    watched.register(ours, 0)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    # What is still held back would be written when Python ends, so it goes nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), ours)
    return True


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return f"{type(error).__name__}: {error}"
