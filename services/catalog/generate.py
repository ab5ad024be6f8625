"""Files that are made from the code and the catalogue and kept in the repository: the JSON Schema that editors complete
`x-hub` by, Kong's configuration, the table of services, the ports that production closes, and the services that the
adapter asks for models.

`python -m services.catalog.generate` writes them; with `--check` it writes nothing and tells which are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.catalog import schema, shipped
from services.catalog.faults import CatalogError
from services.catalog.kong import render, text
from services.catalog.kong.fill import Environment, filled
from services.catalog.load import load

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "docker-compose.distributed-ai.yml"
PRODUCTION = ROOT / "docker-compose.prod.yml"


def files() -> Mapping[Path, str]:
    """Every generated file with the content it should have."""
    # No variables and no further profiles: the files are the same on every machine.
    catalog = load([CATALOGUE], environ={}, profiles=())
    kong = text.rendered(render.render(catalog))
    return {
        ROOT / "catalog" / schema.SCHEMA_FILE: schema.rendered(),
        ROOT / "config" / "kong" / "kong.yml": kong,
        ROOT / "config" / "kong" / "kong.dev.yml": filled(kong, Environment.DEV, {}),
        ROOT / "docs" / "services.md": shipped.table(load([CATALOGUE], environ={}, profiles=("monitor",))),
        CATALOGUE: shipped.model_services(CATALOGUE.read_text("utf-8"), catalog),
        PRODUCTION: shipped.closed_ports(PRODUCTION.read_text("utf-8"), catalog),
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
