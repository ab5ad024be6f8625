"""`python -m services.deploy`: what scripts/deploy-distributed-ai.sh runs for `--env dev` and `--env prod`.

What is not said is as it was at the last deploy, whose settings stand in `.env`. Exit codes: 0 done, 1 failed, 2 bad
input, 3 nothing is deployed here, 4 a port cannot be had, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from services.catalog.kong.fill import FillError
from services.deploy import credentials, said
from services.deploy.certificate import CertificateFault
from services.deploy.consul_access import ConsulFault
from services.deploy.credentials import EnvFileFault
from services.deploy.deployment import Deployment
from services.deploy.docker import DockerFault
from services.deploy.finding import Refused
from services.deploy.said import BadWords, Said
from services.deploy.turns import own_turn

_FAILED, _BAD_INPUT, _NOTHING, _PORT, _INTERRUPTED = 1, 2, 3, 4, 130


def main() -> int:
    signal.signal(signal.SIGTERM, _terminated)
    root = Path(os.getcwd())
    try:
        words = said.read(sys.argv[1:])
        before = credentials.read(root / ".env")
        if words.act == "deployed":
            return 0 if before.get("HUB_ENV") else _NOTHING
        if words.env is None and not before.get("HUB_ENV"):
            print(f"nothing has been deployed from {root}", file=sys.stderr)
            return _NOTHING
        _act(root, words)
    except KeyboardInterrupt:
        print("\ninterrupted: what has come up stays. The same command goes on; --down takes it down", file=sys.stderr)
        return _INTERRUPTED
    except Refused as refusal:
        print("error: nothing was started; what is WRONG above has to be mended first", file=sys.stderr)
        return _PORT if refusal.ports_alone else _FAILED
    except (BadWords, EnvFileFault) as fault:
        _tell_fault(fault)
        return _BAD_INPUT
    except (DockerFault, CertificateFault, ConsulFault, FillError, OSError) as fault:
        _tell_fault(fault)
        return _FAILED
    return 0


def _act(root: Path, words: Said) -> None:
    if words.act in ("check", "status"):
        deployment = _deployment(root, words)
        deployment.foretell(words.phase) if words.act == "check" else deployment.status()
        return
    with own_turn(root, print):
        # Read once it is our turn: who had it before may have written it.
        deployment = _deployment(root, words)
        if words.act == "down":
            deployment.down(volumes=words.volumes)
        else:
            deployment.up(words.phase)


def _deployment(root: Path, words: Said) -> Deployment:
    return said.deployment(root, words, credentials.read(root / ".env"), os.environ)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _tell_fault(error: Exception) -> None:
    faults = error.faults if isinstance(error, FillError) else (str(error),)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if isinstance(error, (DockerFault, ConsulFault)) and error.remedy:
        print(error.remedy, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
