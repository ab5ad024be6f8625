"""A line that tells how an installation or a start goes on while a command waits for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from services.cli import words
from services.cli.failure import Failure
from services.cli.hub import Hub

_LOOK = 0.3


class Line:
    """On a terminal one line that is written over; elsewhere a line for each new phase."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = ""

    def show(self, name: str, service: Mapping[str, Any]) -> None:
        text = f"{name}: {describe(service, exact=self._live)}"
        if text == self._shown:
            return
        self._shown = text
        if self._live:
            click.echo(f"\r\033[K{text}", err=True, nl=False)
        else:
            click.echo(text, err=True)

    def clear(self) -> None:
        if self._live and self._shown:
            click.echo("\r\033[K", err=True, nl=False)
        self._shown = ""


def describe(service: Mapping[str, Any], *, exact: bool = True) -> str:
    progress = service.get("progress")
    if not progress:
        place = service.get("queue_position")
        return f"{service['state']}, place {place} in the queue" if place else str(service["state"])
    share = f" {progress['fraction']:.0%}" if exact and progress.get("fraction") is not None else ""
    detail = f" {progress['detail']}" if exact and progress.get("detail") else ""
    return f"{progress['phase']}{share}{detail}"


@contextmanager
def shown(hub: Hub, name: str) -> Iterator[None]:
    """Show the service's progress as long as the block runs."""
    over = threading.Event()
    line = Line()

    def look() -> None:
        while not over.wait(_LOOK):
            try:
                service = hub.status()["services"].get(name)
            except Failure:
                continue
            if service:
                line.show(name, service)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()
        line.clear()


def ready_text(name: str, service: Mapping[str, Any], took: float) -> str:
    return f"{name} is {service['state']} after {words.span(took)}"
