"""What commands ask about containers: the driver, the project's name, which services are to be lazy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from services.cli.failure import Failure
from services.supervisor.config import DRIVERS, NAMES, Exit

if TYPE_CHECKING:
    from services.catalog.model import Catalog
    from services.compose.lazy import Choice, Wish

F = TypeVar("F", bound=Callable[..., Any])
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")


def _project(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or _PROJECT.match(value):
        return value
    raise click.BadParameter(
        f"{value!r} is no name of a compose project: small letters, digits, - and _, the first a letter or digit",
        context,
        parameter,
    )


def driver(command: F) -> F:
    """`--driver`, `--project-name` and `--lazy`."""
    for option in (
        lazy,
        click.option(
            "--project-name",
            callback=_project,
            metavar="NAME",
            help="Name of the compose project, of a single file. Default: as compose finds it.",
        ),
        click.option(
            "--driver",
            type=click.Choice(DRIVERS),
            default=DRIVERS[0],
            show_default=True,
            help="Run services as processes of this machine, or as the containers of compose files.",
        ),
    ):
        command = option(command)
    return command


def names(command: F) -> F:
    """`--names`, of a hub."""
    return click.option(
        "--names",
        type=click.Choice(NAMES),
        help="Who answers to services' names inside container networks: a gateway by aliases (default), or for each"
        " service a small container of its own, which makes wakes faster and wants root, Linux and nft.",
    )(command)


def lazy(command: F) -> F:
    """`--lazy`, handed over as its text."""
    return click.option(
        "--lazy",
        metavar="all|NAME,...",
        help="Containers that run only while used, besides those with profiles: [on-demand]: all that can, or these.",
    )(command)


def wish_of(text: str | None) -> Wish | None:
    from services.compose.lazy import Wish, WishError

    try:
        return Wish.parse(text)
    except WishError as error:
        raise click.BadParameter(str(error), param_hint="--lazy") from None


def check_together(driver: str, project_name: str | None, lazy: str | None, names: str | None = None) -> None:
    """Raises UsageError where an option means nothing for the driver."""
    for option, value in (("--project-name", project_name), ("--lazy", lazy), ("--names", names)):
        if value is not None and driver != "docker":
            raise click.UsageError(f"{option} is about containers: say --driver docker with it")
    wish_of(lazy)


def read(files: Sequence[Path], project_name: str | None, lazy: str | None) -> tuple[Catalog, Choice]:
    """The stacks and who is lazy in them. Raises CatalogError."""
    from services.compose.stacks import StackReader

    reader = StackReader(wish_of(lazy), project_name=project_name)
    return reader.read(files), reader.choice


def tell_choice(files: Sequence[Path], project_name: str | None, lazy: str) -> None:
    """Say what `--lazy` takes and leaves, and where compose itself knows nothing of it. Raises Failure where the files
    or the wish have faults."""
    from services.catalog.load import CatalogError

    try:
        catalog, choice = read(files, project_name, lazy)
        _, of_themselves = read(files, project_name, None)
    except CatalogError as error:
        raise Failure(str(error), code=Exit.BAD_INPUT) from None
    for line in choice.lines():
        click.echo(line, err=True)
    ours = [catalog.services[name] for name in choice.taken if name not in of_themselves.taken]
    for stack in catalog.stacks.values():
        names = [one.name for one in ours if one.containers and one.containers.stack == stack.project]
        if names:
            click.echo(_untold(Path(stack.files[0]), names, lazy), err=True)


def _untold(file: Path, names: Sequence[str], lazy: str) -> str:
    command = f"aihub adopt {file}" + ("" if lazy == "all" else f" --lazy {lazy}")
    return (
        f"note: plain `docker compose up -d` in {file.parent} knows nothing of that: it starts {', '.join(names)} too,"
        f" and ends with exit code 1 where a port of theirs is the gateway's; `{command}` lets it know"
    )
