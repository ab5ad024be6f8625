"""`python -m tests.support.engine`: see to it that a Docker engine answers and its client knows compose and buildx."""

from __future__ import annotations

import fcntl
import sys

from tests.support.engine.daemon import NoEngine, answering, folder, start
from tests.support.engine.plugins import add


def main() -> int:
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = answering()
        try:
            engine = before or start()
        except NoEngine as why:
            print(f"error: {why}", file=sys.stderr)
            return 1
        word = "answers already" if before else "was started and keeps running"
        print(f"Docker engine {engine.version} (API {engine.api}) {word}")
        if added := add():
            print(f"added to the docker client: {', '.join(added)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
