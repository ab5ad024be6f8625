"""Start a child so that it never runs unrecorded.

The child waits, before it becomes its program, until the parent has written down who it is. Were the parent killed in
between, the child would end instead of living on as an orphan that nobody knows. `subprocess` cannot do that: it waits
for the program to begin before it says which process it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.supervisor.proc import Identity

_NOT_STARTED = 127


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    keep: Sequence[int],
    output: Path,
    record: Callable[[Identity], None],
) -> Identity:
    """Run `argv` in a session of its own; `keep` are the descriptors it inherits, output goes to the end of a file.

    Returns once `record` has. A program that cannot be executed ends with 127 and a line in `output`.
    The caller has one thread only.
    """
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(argv, environment, keep, output, gate, opener)
    os.close(gate)
    try:
        identity = Identity.of(pid)
        if identity is None:
            raise RuntimeError(f"{argv[0]} ended before it began")
        record(identity)
        os.write(opener, b"+")
    finally:
        os.close(opener)
    return identity


def _become(
    argv: Sequence[str], environment: Mapping[str, str], keep: Sequence[int], output: Path, gate: int, opener: int
) -> None:
    try:
        signal.set_wakeup_fd(-1)
        os.close(opener)
        os.setsid()
        if os.read(gate, 1):
            log = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for descriptor in keep:
                os.set_inheritable(descriptor, True)
            # Python ignores it for itself, and an ignored signal stays ignored in the program that follows.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execvpe(argv[0], list(argv), environment)
    except BaseException as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    finally:
        os._exit(_NOT_STARTED)
