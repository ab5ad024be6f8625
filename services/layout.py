"""Where everything of one hub lives below its data folder. The one place that knows file names others look for.

DATA/lock                     held by the supervisor as long as it lives
DATA/run/                     sockets, Envoy's files, processes.json; mode 0700; a link where DATA's path is too long
DATA/state/                   journal, snapshot, replica records
DATA/services/NAME/           a service's data, kept for ever
DATA/backups/                 NAME-STAMP.tar.gz and .json: copies of services' data
DATA/envs/NAME/               its installed environment, deletable
DATA/models/  DATA/cache/     shared model files; downloads, deletable
DATA/logs/                    scaler.log, envoy.log, supervisor.log; services/NAME.log, rotated
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 108 bytes with the closing zero; the longest name we put below, of an inner gateway, is 35.
_LONGEST_RUN_PATH = 72


def default_data() -> Path:
    """`$AIHUB_DATA`, else the user's data home."""
    named = os.environ.get("AIHUB_DATA")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "aihub"


@dataclass(frozen=True, slots=True)
class Layout:
    data: Path
    """Absolute."""

    @classmethod
    def at(cls, data: str | os.PathLike[str] | None) -> Layout:
        return cls(Path(data).expanduser().resolve() if data else default_data().resolve())

    @property
    def mark(self) -> str:
        """What every container that belongs to the hub as such carries, as its label `aihub.data`."""
        return hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]

    @property
    def lock(self) -> Path:
        return self.data / "lock"

    @property
    def run(self) -> Path:
        plain = self.data / "run"
        if len(os.fsencode(plain)) <= _LONGEST_RUN_PATH:
            return plain
        # A unix socket's path is short by law of the kernel: such a hub keeps its sockets in the temporary folder.
        mark = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"aihub-{os.getuid()}-{mark}"

    @property
    def processes(self) -> Path:
        """JSON: `{"supervisor": {"pid": 1, "start": TICKS}, "scaler": …, "envoy": …, "boot": ID}`; start as in
        /proc/PID/stat, boot as in /proc/sys/kernel/random/boot_id."""
        return self.run / "processes.json"

    @property
    def check_socket(self) -> Path:
        return self.run / "check.sock"

    @property
    def ads_socket(self) -> Path:
        return self.run / "ads.sock"

    @property
    def admin_socket(self) -> Path:
        return self.run / "admin.sock"

    @property
    def gate_socket(self) -> Path:
        return self.run / "gate.sock"

    @property
    def envoy_admin_socket(self) -> Path:
        return self.run / "envoy-admin.sock"

    @property
    def gateways(self) -> Path:
        """A folder for each further gateway, by its name: its bootstrap, its gate and its admin socket."""
        return self.run / "gateways"

    @property
    def compose(self) -> Path:
        """Overrides of compose projects, PROJECT.yml each."""
        return self.state / "compose"

    @property
    def envoy(self) -> Path:
        """Folder of bootstrap.json and of the CDS, RDS and LDS files."""
        return self.run / "envoy"

    @property
    def state(self) -> Path:
        return self.data / "state"

    @property
    def replicas(self) -> Path:
        return self.state / "replicas"

    @property
    def envs(self) -> Path:
        return self.data / "envs"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def cache(self) -> Path:
        return self.data / "cache"

    @property
    def backups(self) -> Path:
        """Copies of services' data, unless another folder is named."""
        return self.data / "backups"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    def service_data(self, name: str) -> Path:
        return self.data / "services" / name

    def service_log(self, name: str) -> Path:
        return self.logs / "services" / f"{name}.log"

    def make(self) -> None:
        """Create the folders; the run folder is private. Raises OSError, PermissionError where another user owns it."""
        for folder in (self.state, self.replicas, self.envs, self.models, self.cache, self.logs / "services"):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        if self.run.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.run} belongs to another user")
        self.run.chmod(0o700)
        self.envoy.mkdir(mode=0o700, exist_ok=True)
