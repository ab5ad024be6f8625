"""`aihub explain`: what the hub decided about a service, and why."""

from __future__ import annotations

import json
import time

import click

from services.cli import options, words
from services.cli.hub import Hub
from services.layout import Layout


@click.command()
@options.service_name
@options.data
@options.as_json
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True, help="How many decisions.")
def explain(name: str, layout: Layout, as_json: bool, count: int) -> None:
    """Say why a service is in the state it is in.

    What uses it now, and the decisions that led here, the newest last."""
    found = Hub(layout).explain(name)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    reason = found.get("reason")
    click.echo(f"{name} is {found['state']}" + (f": {reason}" if reason else ""))
    for use in found.get("use") or []:
        click.echo(f"  in use: {use}")
    if found.get("rests_in_s") is not None and not found.get("use"):
        click.echo(f"  rests in {words.span(found['rests_in_s'])} unless it is used")
    for label, key in (("needs", "needs"), ("needed by", "needed_by")):
        if found.get(key):
            click.echo(f"  {label}: {', '.join(found[key])}")
    if found.get("not_pausable"):
        click.echo(f"  is stopped instead of paused: {found['not_pausable']}")
    now = time.time()
    for one in found["decisions"][-count:]:
        click.echo(f"  {words.span(max(0.0, now - one['at'])):>7} ago  {one['what']}: {one['reason']}")
