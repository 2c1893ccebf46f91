"""Reads the command line and runs one command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from broadcaster.cli import (
    alerts,
    audience,
    data,
    dead_letters,
    exercises,
    officials,
    providers,
    serve,
    templates,
    tools,
    worker,
)
from broadcaster.cli.called import called


def parser() -> argparse.ArgumentParser:
    """Build the parser of every command, help texts included."""
    top = argparse.ArgumentParser(
        prog="run.py", description="Alert broadcasting for a city.", allow_abbrev=False
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve.add_to(commands)
    worker.add_to(commands)
    data.add_to(commands)
    alerts.add_to(commands)
    audience.add_to(commands)
    officials.add_to(commands)
    exercises.add_to(commands)
    providers.add_to(commands)
    dead_letters.add_to(commands)
    templates.add_to(commands)
    tools.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    return called(parser().parse_args(arguments))
