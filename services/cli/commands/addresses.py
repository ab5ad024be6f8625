"""`aihub url` and `open`: where a service is."""

from __future__ import annotations

import difflib
import os
from typing import Any

import click

from services.cli import access, options
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.layout import Layout
from services.supervisor.config import Exit


@click.command()
@click.argument("name", required=False, type=options.ServiceName())
@options.data
@click.option("--for", "reader", type=click.Choice(["programs", "people"]), default="programs", show_default=True)
def url(name: str | None, layout: Layout, reader: str) -> None:
    """Print a service's address, or the hub's. It answers asleep or awake.

    \b
    Example:
      curl "$(aihub url chroma)/api/v2/heartbeat"
    """
    if name is None:
        click.echo(access.origin(Hub(layout).status()))
        return
    where = _addresses(layout, name)
    click.echo(where["api"] if reader == "programs" else where["origin"])


@click.command("open")
@options.service_name
@options.data
def open_page(name: str, layout: Layout) -> None:
    """Open a service's pages in the browser; they wake it. Prints the address where there is no browser."""
    address = _addresses(layout, name)["origin"]
    click.echo(address)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"):
        click.launch(address)


def _addresses(layout: Layout, name: str) -> dict[str, Any]:
    services = Hub(layout).status()["services"]
    if name not in services:
        near = difflib.get_close_matches(name, services, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "`aihub status` lists them."
        raise Failure(f"no such service: {name}", code=Exit.BAD_INPUT, remedy=remedy)
    if not access.speaks_http(services[name]):
        remedy = "Programs reach it by its own ports, containers beside it by its name."
        raise Failure(
            f"{name} speaks no HTTP, so the gateway has no address for it", code=Exit.BAD_INPUT, remedy=remedy
        )
    found: dict[str, Any] = services[name]["addresses"]
    return found
