"""`aihub adopt` and `aihub eject`: somebody's compose project made lazy by an override beside its file, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.cli import containers
from services.cli.failure import Failure
from services.supervisor.config import Exit

if TYPE_CHECKING:
    from services.compose.adopt import Plan

_file = click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_yes = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


@click.command()
@_file
@containers.lazy
@_yes
def adopt(file: Path, lazy: str | None, yes: bool) -> None:
    """Make a compose project lazy, without changing its file.

    Shows which services would be lazy, which not and why, and an override that says so to compose: a profile, no
    restart by the engine, no published ports (the hub serves them, asleep or awake). Then asks, and writes it beside
    the file, where compose takes it by itself. An override of yours stays as it is; ours is added behind it.

    `docker compose up -d`, `pull` and `down` go on working: they mean the services that are not lazy, and with
    `--profile on-demand` the others too.

    \b
    Examples:
      aihub adopt compose.yml
      aihub adopt compose.yml --lazy web,search --yes
      aihub up --driver docker --catalog compose.yml
      aihub eject compose.yml

    Exit codes: 1 not confirmed, 2 the file has faults or nothing in it can be lazy.
    """
    from services.compose.adopt import plan_adopt

    plan = _planned(lambda: plan_adopt(file, containers.wish_of("all" if lazy is None else lazy)))
    for line in plan.choice.lines():
        click.echo(line)
    if plan.after == plan.before:
        click.echo(f"{plan.override} says so already")
        return
    click.echo(f"\n{plan.diff()}")
    if not yes:
        _confirm(f"Write {plan.override}?")
    _carry_out(plan)
    click.echo(f"wrote {plan.override}")
    if plan.users is not None:
        click.echo(f"what was there stands in it unchanged; a copy is {plan.backup}")
    click.echo(_next(plan, file))


@click.command()
@_file
@_yes
def eject(file: Path, yes: bool) -> None:
    """Take back what `aihub adopt` wrote beside a compose file, byte for byte.

    An override that was there before stands there again. Asks first where somebody has changed our part since.

    \b
    Example:
      aihub eject compose.yml && docker compose up -d

    Exit codes: 1 not confirmed, 2 the file is not adopted.
    """
    from services.compose.adopt import plan_eject

    plan = _planned(lambda: plan_eject(file))
    if plan.edited:
        click.echo(plan.diff())
        click.echo(f"{plan.override} was changed after it was written; the lines above would be lost", err=True)
        if not yes:
            _confirm("Take it back all the same?")
    changed = plan.users is not None and plan.backup.is_file() and plan.backup.read_bytes() != plan.users
    _carry_out(plan)
    if plan.after is None:
        click.echo(f"removed {plan.override}")
    else:
        click.echo(f"{plan.override} is yours alone again" + (", with what you changed in it since" if changed else ""))
    click.echo("`docker compose up -d` brings every service up as before; end the hub first where it runs on this file")


def _planned(make: Callable[[], Plan]) -> Plan:
    from services.catalog.load import CatalogError
    from services.compose.adopt import AdoptError

    try:
        return make()
    except CatalogError as error:
        raise Failure(str(error), code=Exit.BAD_INPUT) from None
    except AdoptError as error:
        message, _, remedy = str(error).partition("\n")
        raise Failure(message, code=Exit.BAD_INPUT, remedy=remedy) from None


def _carry_out(plan: Plan) -> None:
    from services.compose.adopt import AdoptError, carry_out

    try:
        carry_out(plan)
    except AdoptError as error:
        message, _, remedy = str(error).partition("\n")
        raise Failure(message, remedy=remedy) from None


def _confirm(question: str) -> None:
    """Raises Failure unless somebody says yes."""
    if not sys.stdin.isatty():
        raise Failure("nothing was changed: nobody is there to confirm it", remedy="Say --yes to do it without asking.")
    if not click.confirm(question, err=True):
        raise Failure("nothing was changed")


def _next(plan: Plan, file: Path) -> str:
    lines = []
    compose = "docker compose"
    if not plan.is_merged_by_compose:
        compose = f"docker compose -f {file} -f {file.parent / plan.override.name}"
        lines.append(f"compose takes {plan.override.name} only where it is told: {compose} …")
    lines.append("Where the project runs now, have compose take it in, so that the hub can have the published ports:")
    lines.append(f"  {compose} --profile on-demand up --no-start && {compose} up -d")
    lines.append("Then start the hub:")
    lines.append(f"  aihub up --driver docker --catalog {file}")
    return "\n".join(lines)
