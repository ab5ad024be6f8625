"""Files that are made from the code and kept in the repository: the JSON Schema that editors complete `x-hub` by, and
Kong's configuration.

`python -m services.catalog.generate` writes them; with `--check` it writes nothing and tells which are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.catalog import schema
from services.catalog.faults import CatalogError
from services.catalog.kong import render, text
from services.catalog.load import load

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "docker-compose.distributed-ai.yml"


def files() -> Mapping[Path, str]:
    """Every generated file with the content it should have."""
    # No variables and no further profiles: the files are the same on every machine.
    catalog = load([CATALOGUE], environ={}, profiles=())
    return {
        ROOT / "catalog" / schema.SCHEMA_FILE: schema.rendered(),
        ROOT / "config" / "kong" / "kong.yml": text.rendered(render.render(catalog)),
    }


def stale() -> list[Path]:
    return [path for path, made in files().items() if not path.exists() or path.read_text("utf-8") != made]


def main(arguments: Sequence[str]) -> int:
    try:
        old = stale()
    except (CatalogError, ValueError) as error:
        sys.stderr.write(f"nothing can be made from this catalogue:\n{error}\n")
        return 1
    if "--check" in arguments:
        for path in old:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run scripts/generate\n")
        return 1 if old else 0
    for path in old:
        path.write_text(files()[path], "utf-8")
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
