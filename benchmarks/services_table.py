"""Installs, wakes, rests and measures the catalogue's services through a hub, and writes what it found to the docs.

Owns the procedure and the table; how a hub is started is `tests.support`'s. One service after the other, in a hub of a
folder of its own, so that nothing is in any cache of the hub; what is measured stays in benchmarks/services.json, so
that a round over a few services leaves the rows of the others as they were.

scripts/measure-services [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.service_uses import USES, Ask
from tests.support.hub import Hub
from tests.support.process_tree import cpu_seconds, descendants
from tests.support.real_services import CHECKOUT, hub_of, local_services

DOCUMENT = CHECKOUT / "docs" / "local-services.md"
RECORDS = CHECKOUT / "benchmarks" / "services.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COLUMNS = (
    *("service", "what it is", "version", "installed", "size"),
    *("first start", "start", "from pause", "awake", "paused", "idle CPU", "used for"),
)
HOLD = 600.0
REST = 180.0
SETTLE = 5.0
"""Seconds after an answer before memory is read, and over which the idle CPU is counted."""
MEGABYTE = 1_000_000


class Failed(Exception):
    """What the hub or the service said instead of what was asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds, bytes, and a share of one core. None where the step before it failed; `failure` then says why."""

    name: str
    version: str
    installed: float | None = None
    size: int | None = None
    first_start: float | None = None
    """First start after the installation: programs compile themselves and make their databases."""
    start: float | None = None
    """From stopped, request to the first 200."""
    from_pause: float | None = None
    awake: int | None = None
    """Proportional set size of all its processes."""
    paused: int | None = None
    idle_cpu: float | None = None
    used: str = ""
    """What was done with it, besides being asked for its health."""
    failure: str = ""


class Trial:
    """One service in one hub."""

    def __init__(self, hub: Hub, name: str, service: Mapping[str, Any]) -> None:
        self._hub = hub
        self.name = name
        self._health = service["x-hub"]["health"]

    def install(self) -> float:
        begun = time.monotonic()
        self._told("pull", self.name)
        return time.monotonic() - begun

    def size(self) -> int:
        folder = self._hub.layout.envs / self.name
        if not folder.exists():
            return 0
        words = ["du", "--summarize", "--block-size=1", str(folder)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[0])

    def wake(self) -> float:
        """Seconds from the request to its 200, asked at the service's own origin."""
        begun = time.monotonic()
        headers = {"Host": f"{self.name}.localhost:{self._hub.port}", "X-Hub-Wait": str(int(HOLD))}
        status, _, body = self._hub.ask(self._health, headers=headers, limit=HOLD)
        if status != 200:
            raise Failed(f"{self._health} answered {status}: {body[:300].decode(errors='replace').strip()}")
        return time.monotonic() - begun

    def use(self) -> str:
        """Do one real thing with it, as a page of its own would; returns what."""
        use = USES[self.name]
        for ask in use.asks:
            self._ask(ask)
        return use.what

    def _ask(self, ask: Ask) -> None:
        origin = f"http://{self.name}.localhost:{self._hub.port}"
        body = None if ask.content is None else json.dumps(ask.content).encode()
        headers = {"Host": origin.removeprefix("http://"), "Origin": origin, "Content-Type": "application/json"}
        request = urllib.request.Request(self._hub.base + ask.path, body, {**headers, **ask.headers})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                text = response.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            raise Failed(f"{ask.path} answered {error.code}: {error.read()[:300]!r}") from error
        if ask.expect not in text:
            raise Failed(f"{ask.path}: no {ask.expect} in {text[:300]}")

    def rest(self, state: str) -> None:
        """Send it to sleep, as often as it takes: the work of its own start counts as use for a minute."""
        end = time.monotonic() + REST
        while (now := self._hub.state(self.name)) != state:
            asked = self._hub.cli("sleep", self.name, "--to", state)
            if time.monotonic() > end:
                raise Failed(f"is {now} {REST:.0f} s after it was sent to be {state}: {asked.stderr.strip()[:300]}")
            time.sleep(0.5 if asked.returncode else 0.05)

    def memory(self) -> int:
        return sum(_proportional(pid) for pid in self._processes())

    def idle_cpu(self) -> float:
        """Share of one core over a few seconds in which nobody asks anything."""
        pids = self._processes()
        before, begun = cpu_seconds(pids), time.monotonic()
        time.sleep(SETTLE)
        return (cpu_seconds(pids) - before) / (time.monotonic() - begun)

    def _processes(self) -> set[int]:
        roots = [replica["pid"] for replica in self._hub.replicas(self.name) if replica.get("pid")]
        return {pid for root in roots for pid in descendants(root)}

    def _told(self, *words: str) -> None:
        done = self._hub.cli(*words, limit=HOLD)
        if done.returncode:
            raise Failed((done.stderr or done.stdout).strip()[:300])


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def measure(trial: Trial, version: str) -> Row:
    """The whole round of one service. A failure ends it and is part of the row."""
    found: dict[str, Any] = {}
    try:
        found["installed"] = trial.install()
        found["size"] = trial.size()
        found["first_start"] = trial.wake()
        found["used"] = trial.use()
        trial.rest("stopped")
        found["start"] = trial.wake()
        time.sleep(SETTLE)
        found["awake"] = trial.memory()
        found["idle_cpu"] = trial.idle_cpu()
        trial.rest("paused")
        found["paused"] = trial.memory()
        found["from_pause"] = trial.wake()
        trial.rest("stopped")
    except (Failed, OSError, subprocess.SubprocessError) as error:
        found["failure"] = " ".join(str(error).split())
    return Row(trial.name, version, **found)


def version_of(service: Mapping[str, Any]) -> str:
    package = service["x-hub"]["local"].get("package", "")
    registry, _, requirement = package.partition(":")
    mark = "==" if registry == "pypi" else "@"
    return f"{registry} {requirement.rpartition(mark)[2]}" if package else "in this repository"


def table(rows: Mapping[str, Row], services: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for name, service in services.items():
        if name not in rows:
            continue
        row, about = rows[name], service["x-hub"]["description"]
        if row.failure:
            lines.append(f"| {name} | {about} | {row.version} | failed: {row.failure} |" + " |" * (len(COLUMNS) - 4))
            continue
        cells = [name, about, row.version, _seconds(row.installed), _size(row.size), _seconds(row.first_start)]
        cells += [_seconds(row.start), _seconds(row.from_pause), _size(row.awake), _size(row.paused)]
        cells += [f"{row.idle_cpu or 0:.1%}", row.used]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _size(value: int | None) -> str:
    return "" if value is None else f"{value / MEGABYTE:,.0f} MB" if value else "none"


def write(rows: Mapping[str, Row], services: Mapping[str, Mapping[str, Any]]) -> None:
    """Renew the records and the part of the document between the marks."""
    records = [asdict(row) for row in rows.values()]
    RECORDS.write_text(json.dumps(records, indent=2) + "\n")
    head, _, rest = DOCUMENT.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{table(rows, services)}\n\n{END}{tail}")


def known_rows() -> dict[str, Row]:
    if not RECORDS.exists():
        return {}
    return {record["name"]: Row(**record) for record in json.loads(RECORDS.read_text())}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-services", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all that can run here by default")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file, without which llama is left out")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to install; a temporary folder by default")
    chosen = parser.parse_args()
    services = local_services()
    if unknown := set(chosen.names) - services.keys():
        parser.error(f"no service {', '.join(sorted(unknown))}; there are {', '.join(services)}")
    left_out = {"ollama"} | (set() if chosen.model else {"llama"})
    names = chosen.names or [name for name in services if name not in left_out]
    rows = known_rows()
    with ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aihub-services-")))
        folder.mkdir(parents=True, exist_ok=True)
        dotenv = {"AIHUB_LLAMA_MODEL": str(chosen.model.resolve())} if chosen.model else {}
        # A folder below the one named: whoever named it, in whatever shell, is no process of the hub.
        below = folder / "hub"
        below.mkdir(exist_ok=True)
        hub = stack.enter_context(hub_of(below, services, dotenv))
        for name in names:
            rows[name] = measure(Trial(hub, name, services[name]), version_of(services[name]))
            write(rows, services)
            print(table({name: rows[name]}, services).splitlines()[-1], flush=True)
    return 1 if any(rows[name].failure for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
