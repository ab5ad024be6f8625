"""`python -m tests.support.images [NAME...]`: build these stand-ins, or all."""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
import time

from tests.support.engine.daemon import folder
from tests.support.images.build import BuildFailed, build_all, wanted
from tests.support.images.debian_base import CannotMake
from tests.support.images.recipes import recipes


def main() -> int:
    known = recipes()
    parser = argparse.ArgumentParser(prog="scripts/test-images")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(sorted(known))}")
    names = parser.parse_args().names or list(known)
    if strange := [name for name in names if name not in known]:
        parser.error(f"no such image: {', '.join(strange)}; known are {', '.join(sorted(known))}")
    began = time.monotonic()
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            took = build_all(wanted(names, known), say=lambda text: print(text, flush=True))
        except (BuildFailed, CannotMake, subprocess.CalledProcessError) as why:
            print(f"error: {why}", file=sys.stderr)
            return 1
    print(f"{len(took)} images built, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
