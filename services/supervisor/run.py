"""`run`: from a configuration to an exit code, with everything in between held and let go in the right order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

from services.layout import Layout
from services.supervisor import envoy, lock, ports, takeover
from services.supervisor.claim import claim
from services.supervisor.config import Config, Exit, SupervisorError
from services.supervisor.sockets import Sockets
from services.supervisor.supervisor import Supervisor


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(config: Config, say: Callable[[str], None] = tell) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP, then end every process of the hub.

    Returns an `Exit`; what went wrong has then been said. Call it on the main thread of a process that has no other
    children and no other threads.
    """
    with ExitStack() as held:
        try:
            _serve(config, say, held)
        except SupervisorError as error:
            say(f"error: {error}")
            return int(error.code)
        except OSError as error:
            # A full disk, a folder of somebody else: the words of the kernel name the file.
            say(f"error: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
            return int(Exit.FAILED)
    return int(Exit.OK)


def _serve(config: Config, say: Callable[[str], None], held: ExitStack) -> None:
    layout = Layout.at(config.data)
    binary = envoy.find_binary()
    layout.make()
    descriptor = lock.take(layout.lock)
    held.callback(os.close, descriptor)
    if config.driver == "docker":
        for catalog in config.catalogs:
            held.callback(claim(catalog, config.project_name).close)
    takeover.end_orphans(layout.processes, say)
    ports.check_free(config.listen)
    if not config.listen.is_loopback:
        say(f"listening on {config.listen}: whoever can reach this machine can use every service of the hub")
    takeover.become_subreaper()
    takeover.raise_descriptor_limit()
    sockets = Sockets.open(layout)
    held.callback(layout.processes.unlink, missing_ok=True)
    held.callback(sockets.close)
    held.callback(envoy.clear, layout)
    supervisor = Supervisor(config, layout, sockets, binary, say)
    held.callback(supervisor.shut_down)
    supervisor.run()
    say("ending the hub")
