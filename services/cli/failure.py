"""How a command fails: an exit code, a sentence, and where possible what mends it. Never a traceback for a user."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from services.supervisor.config import Exit


class Failure(click.ClickException):
    """Shown as `error: MESSAGE`, the remedy on a line of its own; ends the command with `code`."""

    def __init__(self, message: str, *, code: Exit = Exit.FAILED, remedy: str = "") -> None:
        super().__init__(message)
        setattr(self, "exit_code", int(code))  # noqa: B010  click declares it for the class, and reads it here
        self.remedy = remedy

    def show(self, file: IO[Any] | None = None) -> None:
        stream = file or sys.stderr
        click.echo(f"error: {self.message}", file=stream)
        if self.remedy:
            click.echo(self.remedy, file=stream)


class Refused(Failure):
    """The hub answered with an error; `reason` is its code, a word."""

    def __init__(self, reason: str, message: str, *, code: Exit, remedy: str = "") -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.reason = reason


def no_hub(data: object) -> Failure:
    return Failure(
        f"no hub runs on {data}",
        code=Exit.WRONG_STATE,
        remedy="Start one with: aihub up --detach    (another data folder: --data DIR)",
    )
