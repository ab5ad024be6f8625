"""Whether tests that need a Docker engine run here: the one place that decides it.

Where none answers they are left out, and that is told; with `CI` set it is a failure, for there nobody reads what was
left out.
"""

from __future__ import annotations

import functools
import os
import sys

from tests.support.engine.daemon import answering

_MAKE_ONE = "tests/support/start-engine makes one"


@functools.cache
def engine_is_there() -> bool:
    """Raises RuntimeError where none answers and none may be missing."""
    if answering() is not None:
        return True
    if os.environ.get("CI"):
        raise RuntimeError(f"no Docker engine answers: {_MAKE_ONE}")
    print(f"no Docker engine answers: tests of containers are left out; {_MAKE_ONE}", file=sys.stderr)
    return False
