"""`aihub doctor`: what stands in the way of the hub on this machine, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from services.cli import local_checks, options
from services.cli.failure import Failure
from services.cli.hub import Hub
from services.cli.local_checks import Check
from services.layout import Layout
from services.supervisor import lock
from services.supervisor.config import Exit, Listen


@click.command()
@options.data
@options.as_json
@click.option("--listen", default="127.0.0.1:8000", metavar="HOST:PORT", help="Address to try where no hub runs.")
def doctor(layout: Layout, as_json: bool, listen: str) -> None:
    """Check this machine, and the hub where one runs. Exit code 1 where something is wrong."""
    try:
        address = Listen.parse(listen)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
    found = [*local_checks.all_checks(layout, address), *_of_hub(layout)]
    if as_json:
        click.echo(json.dumps({"checks": [asdict(check) for check in found]}, indent=2))
    else:
        for check in found:
            click.echo(f"{'ok   ' if check.ok else 'WRONG'} {check.name}: {check.detail}")
            if not check.ok and check.remedy:
                click.echo(f"      {check.remedy}")
    if not all(check.ok for check in found):
        raise SystemExit(int(Exit.FAILED))


def _of_hub(layout: Layout) -> list[Check]:
    if lock.holder(layout.lock) is None:
        return []
    try:
        said = Hub(layout).get("/v1/doctor")["checks"]
    except Failure as error:
        return [Check("scaler", False, error.message, error.remedy)]
    return [Check(one["name"], one["ok"], one["detail"], one.get("remedy") or "") for one in said]
