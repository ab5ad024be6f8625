"""`aihub sleep`, `restart`, `pin` and `unpin`: a person's word on when a service rests."""

from __future__ import annotations

import time
from typing import Any

import click

from services.cli import options, progress, words
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
@click.option("--wait", type=options.Span(), default="10m", show_default=True, help="How long to wait for it.")
@click.option("--no-wait", is_flag=True, help="Begin the restart and return.")
def restart(name: str, layout: Layout, wait: float, no_wait: bool) -> None:
    """Stop an idle service, start it anew and wait until it answers.

    One in use stays as it is; the answer says what uses it. Who asks for it while it starts is held.

    \b
    Examples:
      aihub restart chroma
      aihub restart ollama --no-wait
    """
    hub = Hub(layout)
    began = time.monotonic()
    seconds = 0.0 if no_wait else wait
    with progress.shown(hub, name):
        state = hub.tell(name, "restart", wait=seconds, patience=seconds + 45.0)
    if no_wait:
        click.echo(f"{name} is {state['state']}")
    else:
        click.echo(progress.ready_text(name, state, time.monotonic() - began))


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
