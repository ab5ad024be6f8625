"""The command `aihub`: which commands there are, and what their exit codes mean.

A command's module is imported when the command is used, so that each starts in the time it needs itself.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import click

from services.cli.failure import Failure
from services.supervisor.config import SupervisorError

_COMMANDS = {
    # name: (module, attribute)
    "up": ("up", "up"),
    "down": ("down", "down"),
    "status": ("status", "status"),
    "ps": ("status", "status"),
    "monitor": ("monitor", "monitor"),
    "check": ("check", "check"),
    "adopt": ("adopt", "adopt"),
    "eject": ("adopt", "eject"),
    "pull": ("pull", "pull"),
    "wake": ("wake", "wake"),
    "sleep": ("rest", "sleep"),
    "restart": ("rest", "restart"),
    "pin": ("rest", "pin"),
    "unpin": ("rest", "unpin"),
    "explain": ("explain", "explain"),
    "logs": ("logs", "logs"),
    "url": ("addresses", "url"),
    "open": ("addresses", "open_page"),
    "backup": ("backup", "backup"),
    "restore": ("backup", "restore"),
    "upgrade": ("upgrade", "upgrade"),
    "df": ("storage", "df"),
    "prune": ("storage", "prune"),
    "doctor": ("doctor", "doctor"),
    "completion": ("completion", "completion"),
}
_SAME = {"ps": "the same as status"}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in _COMMANDS if name not in _SAME]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"services.cli.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        near = difflib.get_close_matches(name, _COMMANDS, n=1)
        if name not in _COMMANDS and not name.startswith("-") and near:
            ctx.fail(f"No such command '{name}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SupervisorError as error:
            message, _, remedy = str(error).partition("\n")
            raise Failure(message, code=error.code, remedy=remedy) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            # A folder of somebody else, a full disk: the kernel's words, and the file they are about.
            place = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{place}{error.strerror or error}") from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="distributed-ai-hub", message="aihub %(version)s")
def aihub() -> None:
    """Runs many AI services on one machine: woken by the first request, resting when idle.

    \b
    Start the hub, look at it, use a service, end the hub:
      aihub up --detach
      aihub status
      curl http://localhost:8000/api/hello/
      aihub down

    \b
    Exit codes:
      0  done
      1  failed; the message says why
      2  bad input: an option, a service's name, a faulty catalogue
      3  a hub already runs on the data folder, or none runs where one is needed
      4  the address to listen on is taken or cannot be had

    A hub is known by its data folder: --data DIR of each command, else $AIHUB_DATA, else ~/.local/share/aihub.
    """


def main() -> None:
    aihub(prog_name="aihub")


if __name__ == "__main__":
    main()
