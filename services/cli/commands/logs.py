"""`aihub logs`: what a service, or a part of the hub itself, has written."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

from services.cli import options
from services.cli.failure import Failure, Refused
from services.cli.hub import Hub
from services.layout import Layout
from services.supervisor import lock
from services.supervisor import logs as files
from services.supervisor.config import Exit

_PARTS = ("scaler", "envoy", "supervisor")
_LOOK = 0.2
_FOLLOWED = 10 * 86400.0
"""Seconds for which a followed service may be silent."""


class _LogName(options.ServiceName):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        parts = [CompletionItem(part) for part in _PARTS if part.startswith(incomplete)]
        return [*super().shell_complete(ctx, param, incomplete), *parts]


@click.command()
@click.argument("name", type=_LogName())
@options.data
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now, until Ctrl-C.")
@click.option("-n", "count", type=click.IntRange(0), default=100, show_default=True, help="Lines from the end.")
def logs(name: str, layout: Layout, follow: bool, count: int) -> None:
    """Print the log of a service, or of a part of the hub.

    The parts are scaler, envoy and supervisor. Needs no running hub, but for services that are containers.

    \b
    Examples:
      aihub logs chroma
      aihub logs -f scaler
    """
    try:
        path = _path(layout, name)
    except Failure as unknown:
        if lock.holder(layout.lock) is None:
            raise
        _from_container(layout, name, count, follow, unknown)
        return
    if not os.access(path, os.R_OK):
        raise Failure(f"{path} belongs to another user")
    begin = files.size(path)
    text = files.tail(path, count) if count else ""
    if text:
        click.echo(text)
    if follow:
        for more in _growing(path, begin):
            click.echo(more, nl=False)


def _from_container(layout: Layout, name: str, count: int, follow: bool, unknown: Failure) -> None:
    """Raises `unknown` where the hub has no container for it either."""
    path = f"/v1/services/{quote(name, safe='')}/logs?tail={count}&follow={int(follow)}"
    try:
        with Hub(layout).download(path, patience=_FOLLOWED if follow else 60.0) as (_, pieces):
            for piece in pieces:
                click.echo(piece, nl=False)
    except Refused as refused:
        raise unknown if refused.reason in ("unknown-service", "in-files", "http") else refused from None


def _path(layout: Layout, name: str) -> Path:
    own = layout.logs / f"{name}.log"
    if name in _PARTS and own.exists():
        return own
    known = sorted(path.stem for path in (layout.logs / "services").glob("*.log"))
    if name in known:
        return layout.service_log(name)
    near = difflib.get_close_matches(name, [*known, *_PARTS], n=1)
    raise Failure(
        f"no log of {name} in {layout.logs}",
        code=Exit.BAD_INPUT,
        remedy=f"Did you mean {near[0]}?" if near else "A service has a log once it was started.",
    )


def _growing(path: Path, begin: int) -> Iterator[str]:
    """What is written from byte `begin` on, through every rotation."""
    with_file = path.open("rb")
    with_file.seek(begin)
    try:
        while True:
            more = with_file.read()
            if more:
                yield more.decode(errors="replace")
                continue
            time.sleep(_LOOK)
            try:
                now = path.stat()
            except FileNotFoundError:
                continue
            if now.st_ino != os.fstat(with_file.fileno()).st_ino:
                with_file.close()
                with_file = path.open("rb")
            elif now.st_size < with_file.tell():
                with_file.seek(0)
    finally:
        with_file.close()
