"""What `aihub` starts: the command line, or where only the Python client was installed, a word on what is missing."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from services.cli.main import main as command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "services":
            raise
        sys.exit(
            f"error: the command line of the hub is not installed ({error.name} is missing)\n"
            "Install it from the checkout: ./scripts/setup, and use .venv/bin/aihub"
        )
    command()
