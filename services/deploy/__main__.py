"""`python -m services.deploy`: what scripts/deploy-distributed-ai.sh runs for `--env dev` and `--env prod`.

What is not said is as it was at the last deploy, whose settings stand in `.env`. Exit codes: 0 done, 1 failed, 2 bad
input, 3 nothing is deployed here, 4 a port cannot be had.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from services.catalog.kong.fill import FillError
from services.deploy import credentials
from services.deploy.certificate import CertificateFault
from services.deploy.consul_access import ConsulFault
from services.deploy.credentials import EnvFileFault
from services.deploy.deployment import FILE, PROD, PROJECT, Deployment
from services.deploy.docker import DockerFault
from services.deploy.plan import Env, Phase
from services.deploy.preflight import Refused
from services.layout import Layout

_FAILED, _BAD_INPUT, _NOTHING, _PORT = 1, 2, 3, 4
_OVERRIDE = "AIHUB_COMPOSE_OVERRIDE"


def main() -> int:
    arguments = _arguments()
    root = Path(os.getcwd())
    try:
        before = credentials.read(root / ".env")
        if arguments.act == "deployed":
            return 0 if before.get("HUB_ENV") else _NOTHING
        if arguments.env is None and not before.get("HUB_ENV"):
            print(f"nothing has been deployed from {root}", file=sys.stderr)
            return _NOTHING
        _act(_deployment(root, arguments, before), arguments)
    except Refused as refusal:
        print("error: nothing was started; what is WRONG above has to be mended first", file=sys.stderr)
        return _PORT if refusal.ports_alone else _FAILED
    except EnvFileFault as fault:
        _tell_fault(fault)
        return _BAD_INPUT
    except (DockerFault, CertificateFault, ConsulFault, FillError, OSError) as fault:
        _tell_fault(fault)
        return _FAILED
    return 0


def _act(deployment: Deployment, arguments: argparse.Namespace) -> None:
    match arguments.act:
        case "up":
            deployment.up(Phase(arguments.phase))
        case "check":
            deployment.foretell(Phase(arguments.phase))
        case "down":
            deployment.down(volumes=arguments.volumes)
        case _:
            deployment.status()


def _deployment(root: Path, arguments: argparse.Namespace, before: Mapping[str, str]) -> Deployment:
    """What is said goes before what the last deploy wrote down."""
    env = Env(arguments.env or before["HUB_ENV"])
    project = arguments.project_name or before.get("COMPOSE_PROJECT_NAME") or PROJECT
    tls = (arguments.tls_cert.resolve(), arguments.tls_key.resolve()) if arguments.tls_cert else None
    domain = arguments.domain or before.get("HUB_DOMAIN") or "localhost"
    data = arguments.data or os.environ.get("AIHUB_DATA") or before.get("HUB_DATA")
    return Deployment(
        root,
        Layout.at(data),
        env,
        domain,
        tls or _tls_before(before, domain),
        _overrides(root, arguments, before),
        project,
    )


def _tls_before(before: Mapping[str, str], domain: str) -> tuple[Path, Path] | None:
    """The user's own of the last deploy; None where that one made its own."""
    chain, key = before.get("HUB_TLS_CERT"), before.get("HUB_TLS_KEY_FILE")
    made = Path(before.get("HUB_DATA", "")) / "tls"
    if not chain or not key or Path(chain).parent == made or domain != before.get("HUB_DOMAIN"):
        return None
    return Path(chain), Path(key)


def _overrides(root: Path, arguments: argparse.Namespace, before: Mapping[str, str]) -> tuple[Path, ...]:
    given: list[Path] = arguments.override or [
        Path(one) for one in os.environ.get(_OVERRIDE, "").split(os.pathsep) if one
    ]
    if given:
        return tuple(path.resolve() for path in given)
    own = {root / FILE, root / PROD}
    files = [Path(one) for one in before.get("COMPOSE_FILE", "").split(os.pathsep) if one]
    return tuple(path for path in files if path not in own)


def _tell_fault(error: Exception) -> None:
    faults = error.faults if isinstance(error, FillError) else (str(error),)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if isinstance(error, (DockerFault, ConsulFault)) and error.remedy:
        print(error.remedy, file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.deploy", description=__doc__.partition("\n")[0])
    parser.add_argument("act", choices=("up", "check", "down", "status", "deployed"))
    parser.add_argument("--env", choices=[env.value for env in Env])
    parser.add_argument("--phase", choices=[phase.value for phase in Phase], default=Phase.ALL.value)
    parser.add_argument("--project-name", help=f"default: {PROJECT}")
    parser.add_argument("--data", help="default: $AIHUB_DATA, else the user's data home")
    parser.add_argument("--domain", help="services are NAME.DOMAIN; default: localhost")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--override", type=Path, action="append", help=f"a further compose file; also ${_OVERRIDE}")
    parser.add_argument("--volumes", action="store_true", help="with down: the data too")
    arguments = parser.parse_args()
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
