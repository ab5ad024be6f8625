"""`aihub down`: the end of every process of a hub, also of one whose supervisor was killed."""

from __future__ import annotations

import signal
import time

import click

from services.cli import options
from services.cli.failure import Failure
from services.layout import Layout
from services.supervisor import leftovers, lock, record
from services.supervisor.proc import Identity

_LIMIT = 75.0
_LOOK = 0.02


@click.command()
@options.data
def down(layout: Layout) -> None:
    """End the hub and every service; wait until all of it is gone.

    Data, environments and logs stay. Safe to repeat: where nothing runs it says so and succeeds.
    """
    if lock.holder(layout.lock) is None:
        _end_leftovers(layout)
        return
    # Taken before the end, since the record goes with the supervisor.
    parts = record.read(layout.processes)
    supervisor = parts.get("supervisor") or Identity.of(lock.holder(layout.lock) or 0)
    if supervisor is None:
        raise Failure(f"cannot tell which process holds {layout.lock}")
    try:
        supervisor.send(signal.SIGTERM)
    except PermissionError:
        raise Failure(f"the hub on {layout.data} belongs to another user") from None
    deadline = time.monotonic() + _LIMIT
    while supervisor.alive or any(part.alive for part in parts.values()):
        if time.monotonic() > deadline:
            raise Failure(f"the hub (pid {supervisor.pid}) has not ended in {_LIMIT:.0f} s", remedy="Try once more.")
        time.sleep(_LOOK)
    click.echo("the hub is down; its data stays")


def _end_leftovers(layout: Layout) -> None:
    if not layout.data.is_dir():
        click.echo(f"no hub runs on {layout.data}")
        return
    ended = leftovers.end(layout, click.echo)
    click.echo("what a killed hub had left is ended; its data stays" if ended else f"no hub runs on {layout.data}")
