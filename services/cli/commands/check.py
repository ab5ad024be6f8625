"""`aihub check`: every fault of a catalogue at once, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from services.cli import containers, options, words
from services.supervisor.config import Exit


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@containers.driver
@options.as_json
def check(files: tuple[Path, ...], driver: str, project_name: str | None, lazy: str | None, as_json: bool) -> None:
    """Check a catalogue; several files are read as one, with --driver docker each as a project of its own.

    Tells every fault with file, line, field and what was expected, and which fields mean nothing without Docker. With
    --driver docker: which services are lazy, which are not and why.

    \b
    Examples:
      aihub check docker-compose.distributed-ai.yml
      aihub check mine.yml && aihub up --catalog mine.yml
      aihub check compose.yml --driver docker --lazy all

    Exit codes: 0 good, 2 at least one fault.
    """
    from services.catalog.load import CatalogError, CatalogReader

    containers.check_together(driver, project_name, lazy)
    choice = None
    try:
        if driver == "docker":
            catalog, choice = containers.read(files, project_name, lazy)
        else:
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
        said: dict[str, Any] = {"ok": True, "services": list(catalog.services), "files": catalog.files}
        said["notes"] = catalog.notes
        if choice is not None:
            said |= {"lazy": choice.taken, "left": dict(choice.left), "projects": list(catalog.stacks)}
        click.echo(json.dumps(said, indent=2))
        return
    for note in catalog.notes:
        click.echo(f"note: {note}", err=True)
    if choice is not None:
        for line in choice.lines():
            click.echo(line)
        projects = words.count(len(catalog.stacks), "project")
        click.echo(f"{words.count(len(catalog.services), 'service')} in {projects}, no faults")
        return
    click.echo(f"{words.count(len(catalog.services), 'service')} in {words.count(len(files), 'file')}, no faults")
