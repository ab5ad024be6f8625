"""`aihub sleep`, `restart`, `pin` and `unpin`: a person's word on when a service rests."""

from __future__ import annotations

from typing import Any

import click

from services.cli import options, words
from services.cli.hub import Hub
from services.layout import Layout


@click.command()
@options.service_name
@options.data
@click.option("--to", type=click.Choice(["paused", "stopped"]), default="paused", show_default=True)
def sleep(name: str, layout: Layout, to: str) -> None:
    """Let an idle service rest now. One in use stays awake; the answer says what uses it.

    Paused keeps its memory and wakes in milliseconds; stopped gives everything back.

    \b
    Example:
      aihub sleep mlflow --to stopped
    """
    click.echo(f"{name} is {Hub(layout).tell(name, 'sleep', to=to, patience=45.0)['state']}")


@click.command()
@options.service_name
@options.data
def restart(name: str, layout: Layout) -> None:
    """Stop an idle service and start it anew. Requests meanwhile are held."""
    click.echo(f"{name} is {Hub(layout).tell(name, 'restart', patience=45.0)['state']}")


@click.command()
@options.service_name
@options.data
@click.option("--for", "span", type=options.Span(least=1.0), help="As in 8h or 30m; without it until `aihub unpin`.")
def pin(name: str, layout: Layout, span: float | None) -> None:
    """Keep a service awake, and wake it where it sleeps.

    \b
    Example:
      aihub pin jupyter --for 8h
    """
    query: dict[str, Any] = {"for": span}
    Hub(layout).tell(name, "pin", **query)
    click.echo(f"{name} stays awake " + (f"for {words.span(span)}" if span is not None else "until `aihub unpin`"))


@click.command()
@options.service_name
@options.data
def unpin(name: str, layout: Layout) -> None:
    """Let a pinned service rest again when nobody uses it."""
    Hub(layout).tell(name, "unpin")
    click.echo(f"{name} may rest")
