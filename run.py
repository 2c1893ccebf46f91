"""The command line of the alert service."""

from __future__ import annotations

import sys
from importlib import import_module

LIGHT = {"worker": "broadcaster.cli.worker"}
"""Commands that load nothing of the others."""

if __name__ == "__main__":
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit(import_module(LIGHT.get(command, "broadcaster.cli.main")).main())
