"""`aihub backup` and `aihub restore`: copies of services' data, in both modes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from services.cli import alone, options, words
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.keep import copies
from services.keep.copies import BadCopy, Copy
from services.layout import Layout
from services.supervisor import lock
from services.supervisor.config import Exit

_PACKAGE = "distributed-ai-hub"
_PATIENCE = 600.0
"""Seconds for a service to come to rest, and between two pieces of its data."""
_CLOCK = 60.0
_SETTLED = 600.0
"""Seconds after its beginning at which the first round is made where there are no copies yet."""


@click.command()
@click.argument("names", nargs=-1, type=options.ServiceName(), metavar="[NAME]...")
@options.data
@options.as_json
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Default: DATA/backups.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Afterwards remove all but the newest N of each.")
@click.option("--every", type=options.Span(60.0), metavar="TIME", help="Go on for ever, as often as that: 24h.")
def backup(
    names: tuple[str, ...], layout: Layout, as_json: bool, folder: Path | None, keep: int | None, every: float | None
) -> None:
    """Copy the data of services; without names, of all that have any.

    A service rests while it is copied; one that is in use or always on is frozen for that time. Who asks for it waits.
    Consul is copied by its own snapshot. Each copy is NAME-TIME.tar.gz and, beside it, .json: what, when, which
    version, and the archive's SHA-256. Needs no running hub where services run without containers.

    \b
    Examples:
      aihub backup
      aihub backup chroma n8n --to /mnt/backups --keep 7
      aihub backup --every 24h --keep 7
    """
    target = folder or layout.backups
    if every is None:
        _once(layout, names, target, keep, as_json, patient=False)
        return
    began = time.time()
    while True:
        time.sleep(min(_CLOCK, due_in(target, every, began, time.time())))
        if due_in(target, every, began, time.time()) <= 0:
            _once(layout, names, target, keep, as_json, patient=True)


def due_in(folder: Path, every: float, began: float, now: float) -> float:
    """Seconds until the next round. Counted from the newest copy there is, so that a restart neither skips one nor
    makes one more; where there is none, the services have some minutes to come up first."""
    found = [copy.archive.stat().st_mtime for copy in copies.every(folder)] if folder.is_dir() else []
    due = max(found) + every if found else began + min(every, _SETTLED)
    return max(0.0, due - now)


def _once(
    layout: Layout, names: Sequence[str], folder: Path, keep: int | None, as_json: bool, *, patient: bool
) -> None:
    """`patient`: what fails is told, and tried again the next time. Raises Failure after the last of the services."""
    done: list[Copy] = []
    failures: list[Failure] = []
    try:
        wanted = _wanted(layout, names)
    except Failure as failure:
        if not patient:
            raise
        failure.show()
        time.sleep(_CLOCK)
        return
    for name, said in wanted.items():
        try:
            done.append(copy := _copy(layout, name, said, folder))
        except Failure as failure:
            failure.show()
            failures.append(failure)
            continue
        if not as_json:
            click.echo(f"{name}: {copy.archive} ({words.size(copy.archive.stat().st_size)}, {copy.manifest.how})")
        for gone in copies.thin_out(folder, name, keep) if keep else ():
            click.echo(f"{name}: removed {gone.name}", err=True)
    if as_json:
        click.echo(
            json.dumps([{"archive": str(one.archive), "service": one.manifest.service} for one in done], indent=2)
        )
    if failures and not patient:
        raise Failure(f"{len(failures)} of {len(wanted)} services were not copied", code=Exit.FAILED)
    if not wanted:
        click.echo("no service has data yet", err=True)


def _wanted(layout: Layout, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = (
        Hub(layout).get("/v1/kept", patience=_PATIENCE)["services"] if _runs(layout) else alone.kept(layout)
    )
    for name in names:
        if name not in kept:
            raise Failure(
                f"{name} has no data to copy", code=Exit.BAD_INPUT, remedy=f"With data: {', '.join(kept) or '-'}"
            )
    return {name: said for name, said in kept.items() if not names or name in names}


def _copy(layout: Layout, name: str, said: dict[str, Any], folder: Path) -> Copy:
    told = {"version": version(_PACKAGE), "image": said["image"]}
    if not _runs(layout):
        with alone.held(layout):
            return copies.write(folder, name, alone.pieces(layout, name), **told, parts=said["parts"], how="rested")
    with Hub(layout).download(f"/v1/services/{name}/data", patience=_PATIENCE) as (headers, pieces):
        how = headers.get("X-Aihub-How", "")
        return copies.write(folder, name, pieces, **told, parts=said["parts"], how=how)


@click.command()
@click.argument("name", required=False, type=options.ServiceName())
@options.data
@click.option("--from", "source", required=True, type=click.Path(exists=True, path_type=Path), help="File or folder.")
@click.option("--yes", "-y", is_flag=True, help="Replace the data that are there.")
def restore(name: str | None, layout: Layout, source: Path, yes: bool) -> None:
    """Put a copy in the place of a service's data.

    From a folder: the newest copy of NAME in it. The copy is read and verified before anything is touched, and what was
    there is kept until all of the copy is in its place. A service that is in use is refused.

    \b
    Examples:
      aihub restore chroma --from ~/.local/share/aihub/backups
      aihub restore --from chroma-20260131T090500Z.tar.gz --yes
    """
    try:
        copy = copies.find(source, name)
        copies.verify(copy)
    except BadCopy as bad:
        raise Failure(str(bad), code=Exit.BAD_INPUT) from None
    service, runs = copy.manifest.service, _runs(layout)
    if not yes and service in _wanted(layout, ()):
        click.echo(f"{service} has data, which the copy of {copy.manifest.made} would replace.", err=True)
        raise Failure(f"{service} was not restored", remedy="Say --yes to replace them.", code=Exit.FAILED)
    try:
        if runs:
            Hub(layout).upload(f"/v1/services/{service}/data", copies.pieces(copy), patience=_PATIENCE)
        else:
            with alone.held(layout):
                alone.replace(layout, service, copies.pieces(copy))
    except BadCopy as bad:
        raise Failure(str(bad)) from None
    click.echo(f"{service}: restored as it was at {copy.manifest.made}")


def _runs(layout: Layout) -> bool:
    return lock.holder(layout.lock) is not None
