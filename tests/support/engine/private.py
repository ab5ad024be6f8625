"""An engine of one test's own, which it may restart and kill: the machine's own and everybody's containers know nothing
of it.

It runs in a network namespace that the test steps into, since its containers have addresses only there: the test's own
connections and all that it starts meanwhile are in there too. Linux and root alone.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.engine.daemon import NoEngine, programs_path

_NEW_NETWORK = 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_OWN_NETWORK = "/proc/thread-self/ns/net"
_WAIT = 60.0


class PrivateEngine:
    """`folder`: everything of it is in there, its images too. `restores`: containers outlive it (`live-restore`)."""

    def __init__(self, folder: Path, *, restores: bool = False) -> None:
        self._folder = folder
        self._restores = restores
        self.host = f"unix://{folder}/engine.sock"
        self._log = folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. Raises NoEngine."""
        path = programs_path()
        daemon = shutil.which("dockerd", path=path)
        if daemon is None:
            raise NoEngine("there is no dockerd: tests/support/start-engine installs one")
        # Nothing of the machine's own configuration. Engine 20.10 takes no empty file for one.
        nothing = self._folder / "daemon.json"
        nothing.write_text("{}")
        command = [daemon, "--host", self.host, "--config-file", str(nothing), "--log-level", "warn"]
        command += ["--data-root", f"{self._folder}/data", "--exec-root", f"{self._folder}/exec"]
        command += ["--pidfile", f"{self._folder}/pid", *(["--live-restore"] if self._restores else [])]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": path, "HOME": str(self._folder)}
            )
        end = time.monotonic() + _WAIT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise NoEngine(f"the engine of this test does not answer:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(self.host.removeprefix("unix://"))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return probe.recv(64).startswith(b"HTTP/1.0 200")
            except OSError:
                return False

    def stop(self) -> None:
        """As a service manager stops it: every container ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash ends it. What runs then ends at the next start, unless it restores what lives."""
        self._end(signal.SIGKILL)

    def load(self, *images: str) -> None:
        """Have these images of the machine's own engine."""
        save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE, env=_of_the_machine())
        done = subprocess.run(["docker", "-H", self.host, "load", "--quiet"], stdin=save.stdout, capture_output=True)
        assert save.stdout is not None
        save.stdout.close()
        if save.wait():
            raise NoEngine(
                f"the machine's own engine does not give {', '.join(images)}: tests/support/images makes them"
            )
        if done.returncode:
            raise NoEngine(f"images {', '.join(images)} could not be handed over: {done.stderr.decode()}")

    def remove(self) -> None:
        """End it with its containers, and let go of what it has mounted."""
        if self._restores and not self.answers():
            self.start()  # Nobody else ends what outlived it.
        if self._process is not None and self._process.poll() is None:
            listed = subprocess.run(["docker", "-H", self.host, "ps", "-aq"], capture_output=True, text=True)
            if found := listed.stdout.split():
                subprocess.run(["docker", "-H", self.host, "rm", "-f", "-v", *found], capture_output=True)
            self.stop()
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)
        for part in ("data", "exec"):
            shutil.rmtree(self._folder / part, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(_WAIT)


@contextmanager
def private_engine(*images: str, restores: bool = False) -> Iterator[PrivateEngine]:
    """Start one with these images of the machine's own engine. Inside, this thread and what it starts are in its
    network, and DOCKER_HOST names it. Raises NoEngine."""
    before = os.environ.get("DOCKER_HOST")
    # A short path: its containerd has sockets deep below it, and a socket's path may have 107 letters.
    with tempfile.TemporaryDirectory(prefix="aihub-engine-") as folder, _own_network():
        engine = PrivateEngine(Path(folder), restores=restores)
        try:
            engine.start()
            engine.load(*images)
            os.environ["DOCKER_HOST"] = engine.host
            yield engine
        finally:
            os.environ.pop("DOCKER_HOST", None)
            if before is not None:
                os.environ["DOCKER_HOST"] = before
            engine.remove()


@contextmanager
def _own_network() -> Iterator[None]:
    """A new network namespace with nothing but loopback for this thread and what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(_OWN_NETWORK, "rb") as before:
        if libc.unshare(_NEW_NETWORK):
            raise NoEngine(f"no network of its own can be had: {os.strerror(ctypes.get_errno())}; run this as root")
        try:
            _loopback_up()
            yield
        finally:
            libc.setns(before.fileno(), _NEW_NETWORK)


def _loopback_up() -> None:
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def _of_the_machine() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
