"""Reads the command line and runs one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import asyncpg

from broadcaster.cli import audience, data, providers, serve, tools
from broadcaster.db import MigrationError
from broadcaster.embedded import EmbeddedError
from broadcaster.errors import Refused
from broadcaster.settings import SettingsError
from broadcaster.terminal import say


def parser() -> argparse.ArgumentParser:
    """Build the parser of every command, help texts included."""
    top = argparse.ArgumentParser(
        prog="run.py", description="Alert broadcasting for a city.", allow_abbrev=False
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve.add_to(commands)
    data.add_to(commands)
    audience.add_to(commands)
    providers.add_to(commands)
    tools.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    given = parser().parse_args(arguments)
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
        say(_told(error))
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        sys.stdout.flush()
        return status


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return f"{type(error).__name__}: {error}"
