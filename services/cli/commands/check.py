"""`aihub check`: every fault of a catalogue at once, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path

import click

from services.cli import options
from services.supervisor.config import Exit


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@options.as_json
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check a catalogue; several files are read as one.

    Tells every fault with file, line, field and what was expected, and which fields mean nothing without Docker.

    \b
    Examples:
      aihub check docker-compose.distributed-ai.yml
      aihub check mine.yml && aihub up --catalog mine.yml

    Exit codes: 0 good, 2 at least one fault.
    """
    from services.catalog.load import CatalogError, CatalogReader

    try:
        catalog = CatalogReader().read(files)
    except CatalogError as error:
        if as_json:
            faults = [
                {"file": one.file, "line": one.line, "column": one.column, "field": one.field, "text": one.render()}
                for one in error.faults
            ]
            click.echo(json.dumps({"ok": False, "faults": faults}, indent=2))
        else:
            click.echo(error.render(), err=True)
        raise SystemExit(int(Exit.BAD_INPUT)) from None
    if as_json:
        said = {"ok": True, "services": list(catalog.services), "files": catalog.files, "notes": catalog.notes}
        click.echo(json.dumps(said, indent=2))
        return
    for note in catalog.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{len(catalog.services)} services in {len(catalog.files)} files, no faults")
