"""`python -m services.supervisor`: what `aihub up` becomes. The command line proper, with its help, is `aihub`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.supervisor.config import DRIVERS, NAMES, SCALER, Config, Listen
from services.supervisor.run import run


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="services.supervisor", description=__doc__)
    parser.add_argument("--catalog", action="append", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listen", type=Listen.parse, default=Listen())
    parser.add_argument("--memory", type=int)
    parser.add_argument("--domain")
    parser.add_argument("--concurrency", type=int, default=0)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--driver", choices=DRIVERS, default=DRIVERS[0])
    parser.add_argument("--lazy", help="all, or names of services between commas")
    parser.add_argument("--project-name")
    parser.add_argument("--names", choices=NAMES, default=NAMES[0])
    parser.add_argument("--scaler", default=SCALER, help="module to run as the scaler")
    said = parser.parse_args(argv)
    config = Config(
        catalogs=tuple(said.catalog),
        data=said.data.resolve(),
        listen=said.listen,
        memory=said.memory,
        domain=said.domain,
        concurrency=said.concurrency,
        tls_cert=said.tls_cert,
        tls_key=said.tls_key,
        scaler=said.scaler,
        driver=said.driver,
        lazy=said.lazy,
        project_name=said.project_name,
        names=said.names,
    )
    return run(config)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
