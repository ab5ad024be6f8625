"""What many commands take: the data folder, names of services, JSON instead of words."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from services.cli import words
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.layout import Layout

F = TypeVar("F", bound=Callable[..., Any])


def data(command: F) -> F:
    """`--data`, handed to the command as `layout`."""
    return click.option(
        "--data",
        "layout",
        metavar="DIR",
        type=click.Path(file_okay=False),
        callback=_layout,
        help="Data folder of the hub. Default: $AIHUB_DATA, else ~/.local/share/aihub.",
    )(command)


def _layout(context: click.Context, parameter: click.Parameter, value: str | None) -> Layout:
    # An unset variable of a script must not mean the folder that is meant where nothing is said.
    if value == "":
        raise click.BadParameter("names no folder", context, parameter)
    layout = Layout.at(value)
    _check_folder(layout.data, context, parameter)
    return layout


def _check_folder(data: Path, context: click.Context, parameter: click.Parameter) -> None:
    """A path through a file. Sockets of a long path stand elsewhere, so that nobody would meet it on the way."""
    try:
        mode = data.stat().st_mode
    except NotADirectoryError:
        raise click.BadParameter(f"{data} is below a file, so it can be no folder", context, parameter) from None
    except OSError:
        return  # not there yet, or not for us: whoever needs it says so
    if not stat.S_ISDIR(mode):
        raise click.BadParameter(f"{data} is no folder", context, parameter)


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


class ServiceName(click.ParamType[str]):
    """The name of a service; the shell completes it from the running hub."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("an empty name", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            services = Hub(ctx.params.get("layout") or Layout.at(None)).status(patience=1.0)["services"]
        except Failure:
            return []
        return [
            CompletionItem(name, help=service["state"])
            for name, service in services.items()
            if name.startswith(incomplete)
        ]


class Span(click.ParamType[float]):
    """Seconds, written as 8h or 30m."""

    name = "time"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = words.seconds_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least:
            self.fail(f"{value!r} is less than {words.span(self._least)}", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """Bytes, written as 512M or 8G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return words.bytes_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


service_name = click.argument("name", type=ServiceName())
service_names = click.argument("names", nargs=-1, required=True, type=ServiceName(), metavar="NAME...")
