"""`aihub status`: one look at every service."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Any

import click

from services.cli import access, options, words
from services.cli.hub import Hub
from services.layout import Layout


@click.command()
@options.data
@options.as_json
@click.option("--all", "everything", is_flag=True, help="Services too that this machine cannot run.")
@click.option("--addresses", is_flag=True, help="Where each is, and lines to try, instead of why.")
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def status(layout: Layout, as_json: bool, everything: bool, addresses: bool, watch: bool) -> None:
    """Show each service: state, memory, why awake or asleep. Wakes nothing.

    \b
    Examples:
      aihub status
      aihub status --watch
      aihub status --json | jq '.services.chroma.state'
    """
    hub = Hub(layout)
    while True:
        found = hub.status()
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            if watch:
                click.clear()
            click.echo(access.tell(found) if addresses else _told(found, everything))
        if not watch:
            return
        time.sleep(1.0)


def _told(found: dict[str, Any], everything: bool) -> str:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    services = found["services"]
    shown = {name: one for name, one in services.items() if everything or one["state"] != "unavailable"}
    head = ["SERVICE", "STATE", "MEMORY", "FIRST ANSWER", "CONTAINER", "WHY"]
    rows = [
        [
            name,
            _state(one),
            _memory(one),
            access.first_wake(one),
            ", ".join(replica["container"] for replica in one["replicas"] if replica.get("container")),
            one.get("reason") or one.get("description") or "",
        ]
        for name, one in shown.items()
    ]
    if not any(row[4] for row in rows):
        head, rows = head[:4] + head[5:], [row[:4] + row[5:] for row in rows]
    lines = [words.table(head, rows, width)]
    hidden = len(services) - len(shown)
    if hidden:
        lines.append(f"({hidden} more that this machine cannot run: aihub status --all)")
    memory = found.get("budget", {}).get("memory", {})
    running = ", ".join(f"{name} {pid or 'down'}" for name, pid in found["processes"].items())
    lines.append(
        f"\n{access.origin(found)}  memory {words.size(memory.get('charged'))} of {words.size(memory.get('total'))}"
        f"  pids: {running}"
    )
    fault = (found.get("catalog") or {}).get("fault")
    if fault:
        lines.append(f"\nThe catalogue has faults; the last good one stays in force:\n{fault}")
    return "\n".join(lines)


def _state(service: dict[str, Any]) -> str:
    progress = service.get("progress")
    if progress:
        share = f" {progress['fraction']:.0%}" if progress.get("fraction") is not None else ""
        return f"{progress['phase']}{share}"
    if service.get("queue_position"):
        return f"{service['state']} (place {service['queue_position']})"
    return f"{service['state']} (pinned)" if service.get("pinned_until") else str(service["state"])


def _memory(service: dict[str, Any]) -> str:
    now = [one["memory"] for one in service["replicas"] if one.get("memory")]
    return words.size(sum(now)) if now else f"~{words.size(service.get('size_bytes'))}"
