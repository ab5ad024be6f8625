"""`aihub df` and `prune`: what the hub takes on the disk, and giving back what can be had again."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from services import disk
from services.cli import options, words
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.layout import Layout
from services.supervisor import leftovers, lock
from services.supervisor.config import SupervisorError


@click.command()
@options.data
@options.as_json
def df(layout: Layout, as_json: bool) -> None:
    """Show what services take on the disk.

    Data is kept for ever, environments can be installed again. Files that an environment shares with the download cache
    count for the environment. Needs no running hub."""
    runs = lock.holder(layout.lock) is not None
    found = Hub(layout).get("/v1/df", patience=120.0) if runs else disk.usage(layout)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    kinds = ("data", "env", "log")
    services = sorted(found["services"].items(), key=lambda item: -sum(item[1].get(kind, 0) for kind in kinds))
    rows = [[name, *(words.size(sizes.get(kind, 0)) for kind in kinds)] for name, sizes in services]
    click.echo(words.table(["SERVICE", "DATA", "ENVIRONMENT", "LOG"], rows))
    click.echo(
        f"\nmodels {words.size(found['models'])}, download cache {words.size(found['cache'])}, "
        f"free {words.size(found['free'])}    ({layout.data})"
    )


@click.command()
@click.argument("names", nargs=-1, type=options.ServiceName(), metavar="[NAME]...")
@options.data
@options.as_json
@click.option("--cache", is_flag=True, help="The download cache too.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def prune(names: tuple[str, ...], layout: Layout, as_json: bool, cache: bool, yes: bool) -> None:
    """Remove environments of services that do not run.

    They are installed again at the next wake. Never data and never models. With names: of these services alone. The
    download cache keeps the files that an environment shares with it, unless --cache removes it too.

    \b
    Examples:
      aihub prune
      aihub prune langflow --cache --yes
    """
    if not yes:
        what = ", ".join(names) or "every service that does not run"
        click.confirm(f"Remove the environments of {what}{' and the download cache' if cache else ''}?", abort=True)
    if lock.holder(layout.lock) is not None:
        query = {"services": ",".join(names) or None, "cache": 1 if cache else None}
        found = Hub(layout).post("/v1/prune", patience=300.0, **query)
    else:
        found = _prune_alone(layout, names, cache)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, reason in found.get("kept", {}).items():
        click.echo(f"kept {name}: {reason}")
    removed = ", ".join(found["removed"])
    click.echo(f"freed {words.size(found['freed'])}" + (f" ({removed})" if removed else ""))
    if found.get("cached"):
        click.echo(f"{words.size(found['cached'])} more stay in the download cache: aihub prune --cache frees them")


def _prune_alone(layout: Layout, names: tuple[str, ...], cache: bool) -> dict[str, Any]:
    if not layout.data.is_dir():
        return {"freed": 0, "cached": 0, "removed": [], "kept": {}}
    try:
        held = lock.take(layout.lock)
    except SupervisorError as error:
        raise Failure(str(error), code=error.code) from None
    try:
        if leftovers.replica_roots(layout):
            raise Failure("services of a killed hub still run", remedy="End them with: aihub down")
        return disk.prune(layout, names or None, cache=cache)
    finally:
        os.close(held)
