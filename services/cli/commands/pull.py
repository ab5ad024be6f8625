"""`aihub pull`: install services without starting them."""

from __future__ import annotations

import time

import click

from services.cli import options, progress
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.layout import Layout

_LOOK = 0.2
_BUSY = frozenset({"installing"})


@click.command()
@options.service_names
@options.data
@click.option("--no-wait", is_flag=True, help="Begin and return; `aihub status` shows how far it is.")
def pull(names: tuple[str, ...], layout: Layout, no_wait: bool) -> None:
    """Install services; their first wake is then only a start.

    One installation runs at a time.

    \b
    Example:
      aihub pull chroma mlflow

    Ctrl-C leaves; the installation goes on.
    """
    hub = Hub(layout)
    for name in names:
        hub.tell(name, "pull")
    if no_wait:
        return
    failed = {name: reason for name in names if (reason := _wait(hub, name))}
    if failed:
        raise Failure("\n".join(f"{name}: {reason}" for name, reason in failed.items()))


def _wait(hub: Hub, name: str) -> str:
    """Why it failed, or nothing."""
    line = progress.Line()
    while (service := hub.status()["services"][name])["state"] in _BUSY or service.get("progress"):
        line.show(name, service)
        time.sleep(_LOOK)
    line.clear()
    if service["state"] in ("failed", "unavailable"):
        return str(service.get("reason") or "the installation failed")
    click.echo(f"{name} is installed")
    return ""
