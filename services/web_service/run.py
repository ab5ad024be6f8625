"""`python …/services/web_service/run.py PACKAGE --port N`: a service of our own, in an environment of its own packages.

That environment does not have the hub in it, and beside `services/` the hub's own packages may stand, in other
versions. So nothing but `services` itself is found from here.
"""

import runpy
import sys
import types
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def main() -> None:
    sys.path = [path for path in sys.path if Path(path or ".").resolve() != _HERE]
    package = types.ModuleType("services")
    package.__path__ = [str(_HERE.parent)]
    sys.modules["services"] = package
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
