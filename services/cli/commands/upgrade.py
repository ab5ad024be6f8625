"""`aihub upgrade`: newer versions of services, proven before anybody meets them."""

from __future__ import annotations

import click

from services.cli import options
from services.cli.failure import Failure, Refused
from services.cli.hub import Hub
from services.layout import Layout

_PATIENCE = 3600.0


@click.command()
@click.argument("names", nargs=-1, type=options.ServiceName(), metavar="[NAME]...")
@options.data
def upgrade(names: tuple[str, ...], layout: Layout) -> None:
    """Bring services to the newest version that the catalogue's entry allows; without names, all that have run here.

    The newer version is fetched while the old one serves. At rest, never under a request, the data are copied and the
    newer version is tried with nobody looking on. Where it does not become ready, the old version and the data are put
    back. Who asks for the service meanwhile waits.

    \b
    Examples:
      aihub upgrade chroma
      aihub upgrade
    """
    hub = Hub(layout)
    wanted = names or tuple(hub.get("/v1/kept", patience=60.0)["services"])
    failed = [name for name in wanted if not _one(hub, name)]
    if failed:
        raise Failure(
            f"not upgraded: {', '.join(failed)}", remedy="The reasons stand above; what was there before serves."
        )


def _one(hub: Hub, name: str) -> bool:
    try:
        for line in hub.lines(f"/v1/services/{name}/upgrade", patience=_PATIENCE):
            for kind, said in line.items():
                click.echo(f"{name}: {said}", err=kind != "done")
            if "failed" in line:
                return False
    except Refused as refused:
        refused.show()
        return False
    return True
