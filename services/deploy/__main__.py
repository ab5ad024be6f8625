"""`python -m services.deploy`: what scripts/deploy-distributed-ai.sh runs for `--env dev` and `--env prod`.

Exit codes: 0 done, 1 failed, 2 bad input, 4 a port cannot be had.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.deploy.certificate import CertificateFault
from services.deploy.credentials import EnvFileFault
from services.deploy.deployment import Deployment, Refused, tell_fault
from services.deploy.docker import DockerFault
from services.deploy.plan import Env, Phase
from services.layout import Layout

_FAILED, _BAD_INPUT, _PORT = 1, 2, 4


def main() -> int:
    arguments = _arguments()
    tls = (arguments.tls_cert.resolve(), arguments.tls_key.resolve()) if arguments.tls_cert else None
    deployment = Deployment(
        root=Path(__file__).parents[2],
        data=Layout.at(arguments.data).data,
        env=Env(arguments.env),
        domain=arguments.domain,
        tls=tls,
        overrides=tuple(path.resolve() for path in arguments.override),
    )
    try:
        match arguments.act:
            case "up":
                deployment.up(Phase(arguments.phase))
            case "check":
                deployment.check(Phase(arguments.phase))
            case "down":
                deployment.down(volumes=arguments.volumes)
            case _:
                deployment.status()
    except Refused as refusal:
        print("error: nothing was started; what is WRONG above has to be mended first", file=sys.stderr)
        return _PORT if refusal.ports_alone else _FAILED
    except EnvFileFault as fault:
        tell_fault(fault)
        return _BAD_INPUT
    except (DockerFault, CertificateFault, OSError) as fault:
        tell_fault(fault)
        return _FAILED
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.deploy", description=__doc__.partition("\n")[0])
    parser.add_argument("act", choices=("up", "check", "down", "status"))
    parser.add_argument("--env", choices=[env.value for env in Env], required=True)
    parser.add_argument("--phase", choices=[phase.value for phase in Phase], default=Phase.ALL.value)
    parser.add_argument("--data", help="default: $AIHUB_DATA, else the user's data home")
    parser.add_argument("--domain", default="localhost", help="services are NAME.DOMAIN")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--override", type=Path, action="append", default=[], help="a further compose file")
    parser.add_argument("--volumes", action="store_true", help="with down: the data too")
    arguments = parser.parse_args()
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
