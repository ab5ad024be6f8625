"""`aihub monitor`: the hub on one page of the terminal, looked at again each second."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from services.cli import access, options, words
from services.cli.hub import Hub
from services.layout import Layout

_AWAKE = ("ready", "draining", "starting", "queued", "installing", "paused", "failed")
"""States worth a line, in the order of the page; the others are only counted."""
_BAR = 30


@click.command()
@options.data
@click.option("--interval", type=options.Span(0.2), default="1", show_default=True, metavar="TIME")
@click.option("--once", is_flag=True, help="One page, for scripts and logs.")
def monitor(layout: Layout, interval: float, once: bool) -> None:
    """Watch the hub: memory against its budget, what is awake, what requests wait for. Wakes nothing; ends by Ctrl-C.

    \b
    Examples:
      aihub monitor
      aihub monitor --once
    """
    hub = Hub(layout)
    while True:
        said = page(hub.status(), shutil.get_terminal_size(), time.time(), cut=sys.stdout.isatty())
        if once:
            click.echo(said)
            return
        click.clear()
        click.echo(said)
        time.sleep(interval)


def page(status: Mapping[str, Any], size: tuple[int, int], now: float, *, cut: bool) -> str:
    """`size`: columns and lines of the terminal; `cut`: to that. Pure."""
    columns, height = size
    services: Mapping[str, Any] = status["services"]
    memory = status["budget"]["memory"]
    lines = [
        f"{access.origin(status)}    {time.strftime('%H:%M:%S', time.localtime(now))}",
        f"memory  {bar(memory['charged'] or 0, memory['total'] or 0)}"
        f"  {words.size(memory['charged'])} of {words.size(memory['total'])}",
        "  ".join(f"{state} {count}" for state, count in counts(services).items()),
        "",
    ]
    shown = sorted(
        (name for name, one in services.items() if one["state"] in _AWAKE or one.get("held")),
        key=lambda name: (_AWAKE.index(services[name]["state"]) if services[name]["state"] in _AWAKE else 0, name),
    )
    rows = [row(name, services[name], now) for name in shown]
    room = max(1, height - len(lines) - 3) if cut else len(rows)
    head = ["SERVICE", "STATE", "MEMORY", "REQUESTS", "WAITING", "LAST USE", "WHY"]
    lines.append(words.table(head, rows[:room], columns if cut else None))
    if len(rows) > room:
        lines.append(f"({len(rows) - room} more: aihub status)")
    return "\n".join(lines)


def row(name: str, service: Mapping[str, Any], now: float) -> list[str]:
    used = [replica["memory"] for replica in service["replicas"] if replica.get("memory")]
    active, held, last = service.get("active"), service.get("held") or 0, service.get("last_use")
    return [
        name,
        service["state"],
        words.size(sum(used)) if used else "-",
        "-" if active is None else str(active),
        str(held or "-"),
        f"{words.span(max(0.0, now - last))} ago" if last else "-",
        service.get("reason") or "",
    ]


def counts(services: Mapping[str, Any]) -> dict[str, int]:
    """How many are in which state, those that are asleep or cannot run at the end."""
    found: dict[str, int] = {}
    order: Sequence[str] = (*_AWAKE, "stopping", "stopped", "unavailable")
    for state in order:
        if count := sum(one["state"] == state for one in services.values()):
            found[state] = count
    return found


def bar(part: float, whole: float) -> str:
    filled = round(_BAR * min(1.0, part / whole)) if whole else 0
    return "[" + "#" * filled + "." * (_BAR - filled) + "]"
