"""`aihub wake`: bring a service up without sending it a request."""

from __future__ import annotations

import time

import click

from services.cli import options, progress
from services.cli.failure import Refused
from services.cli.hub import Hub
from services.layout import Layout

_WENT_ON = frozenset({"waiting"})
"""The hub's word for: not ready within the time given, and the wake goes on."""


@click.command()
@options.service_name
@options.data
@click.option("--wait", type=options.Span(), default="10m", show_default=True, help="How long to wait for it.")
@click.option("--no-wait", is_flag=True, help="Begin the wake and return.")
def wake(name: str, layout: Layout, wait: float, no_wait: bool) -> None:
    """Wake a service and wait until it answers. Installs it where that is still to be done.

    A request to its address does the same; this is for warming up. It rests again when nobody uses it
    (see `aihub pin`).

    \b
    Examples:
      aihub wake chroma
      aihub wake ollama --no-wait
    """
    hub = Hub(layout)
    began = time.monotonic()
    seconds = 0.0 if no_wait else wait
    try:
        with progress.shown(hub, name):
            state = hub.tell(name, "wake", wait=seconds, patience=seconds + 15.0)
    except Refused as refused:
        if no_wait and refused.reason in _WENT_ON:
            click.echo(f"{name} is waking")
            return
        raise
    click.echo(progress.ready_text(name, state, time.monotonic() - began))
