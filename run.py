"""The command line of the alert service."""

from __future__ import annotations

import sys

from broadcaster.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
