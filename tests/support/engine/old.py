"""`python -m tests.support.engine.old COMMAND…`: run a command on the oldest engine that the hub runs on.

That engine is started for it, beside the machine's own, in a network namespace of its own that the command is in too:
neither containers nor ports of the two ever meet. It has the stand-in images that tests of the driver and of hubs over
containers use, and goes with the command.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.engine.daemon import OLD, WHICH, NoEngine, answering
from tests.support.engine.private import private_engine

_IMAGES = ("aihub-test/web", "aihub-test/postgres", "aihub-test/redis", "aihub-test/nginx")


def main(command: list[str]) -> int:
    """The exit code of the command; 125 where there is no such engine."""
    if not command:
        print("which command? tests/support/with-old-engine COMMAND…", file=sys.stderr)
        return 125
    os.environ[WHICH] = OLD
    try:
        with private_engine(*_IMAGES):
            engine = answering()
            assert engine is not None
            print(f"Docker engine {engine.version} (API {engine.api}) at {os.environ['DOCKER_HOST']}", flush=True)
            return subprocess.run(command).returncode
    except NoEngine as why:
        print(f"error: {why}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
