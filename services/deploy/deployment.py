"""One deployment: which compose files make it, what is written before compose runs, and the verbs on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.deploy import certificate, credentials, plan, preflight
from services.deploy.docker import Compose, DockerFault
from services.deploy.plan import Env, Phase
from services.deploy.preflight import Finding

_FILE = "docker-compose.distributed-ai.yml"
_PROD = "docker-compose.prod.yml"
_HUB = "scaler"
_WAIT = "600"
"""Seconds within which all of a phase must be up and healthy."""

Say = Callable[[str], None]


class Refused(Exception):
    """Nothing was started; the findings say why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("the preflight found what would hinder it")
        self.findings = findings

    @property
    def ports_alone(self) -> bool:
        return all(finding.is_port for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Deployment:
    root: Path
    """Of the checkout: where the compose file stands."""
    data: Path
    env: Env
    domain: str = "localhost"
    tls: tuple[Path, Path] | None = None
    overrides: tuple[Path, ...] = ()
    """Further compose files, merged last: other images on a machine without a registry."""
    say: Say = print

    @property
    def env_file(self) -> Path:
        return self.root / ".env"

    @property
    def compose(self) -> Compose:
        files = [self.root / _FILE, *([self.root / _PROD] if self.env is Env.PROD else []), *self.overrides]
        return Compose(self.root, tuple(files), self.variables)

    @property
    def variables(self) -> dict[str, str]:
        """What the compose file asks of the machine; beside the credentials of `.env`."""
        found = {
            "HUB_ROOT": str(self.root),
            "HUB_DATA": str(self.data),
            "HUB_UID": str(os.getuid()),
            "HUB_GID": str(os.getgid()),
            "HUB_DOMAIN": self.domain,
            "HUB_ENV": self.env.value,
        }
        if self.env is Env.PROD:
            folder = self.data / "tls"
            chain, key = self.tls or (folder / f"{self.domain}.crt", folder / f"{self.domain}.key")
            found |= {"HUB_TLS_CERT": str(chain), "HUB_TLS_KEY_FILE": str(key)}
        return found

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def up(self, phase: Phase) -> None:
        """Bring the phase up; again: nothing but what has changed. Raises Refused, DockerFault, EnvFileFault,
        CertificateFault, OSError."""
        resolved = self.check(phase)
        self.prepare()
        names = plan.services_of(resolved, phase)
        self.say(f"phase {phase}: {len(names)} services")
        self.compose.show("--profile", "monitor", "up", "-d", "--wait", "--wait-timeout", _WAIT, *names)

    def check(self, phase: Phase) -> plan.Resolved:
        """The preflight, told line by line. Raises Refused, DockerFault."""
        engine, findings = preflight.of_docker()
        for finding in findings:
            self._tell(finding)
        if engine is None or not all(finding.ok for finding in findings):
            raise Refused([finding for finding in findings if not finding.ok])
        credentials.complete(self.env_file, self._credentials(), {})
        resolved = self.compose.resolved()
        found = list(preflight.of_machine(engine, resolved, plan.services_of(resolved, phase)))
        for finding in found:
            self._tell(finding)
        against = [finding for finding in found if finding.fatal and not finding.ok]
        if against:
            raise Refused(against)
        return resolved

    def prepare(self) -> None:
        """Write what the containers read: certificates, and folders of the right owner."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.env is Env.PROD:
            chain, _ = certificate.ensure(self.data / "tls", self.domain, self.tls)
            self.say(f"certificate: {chain}")

    def down(self, *, volumes: bool) -> None:
        """End every container of every profile, and the networks; data and `.env` stay, but for `volumes`."""
        # The hub first: it ends what it woke and takes its own containers off the networks.
        if self.compose.ask("ps", "--quiet", _HUB).strip():
            self.compose.show("stop", _HUB)
        words = ["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        self.compose.show(*words)

    def status(self) -> None:
        self.compose.show("--profile", "*", "ps", "--all")

    def _credentials(self) -> list[str]:
        names = [name for name in self.compose.variables() if credentials.is_credential(name)]
        made = credentials.read(self.env_file)
        if new := [name for name in names if not made.get(name)]:
            self.say(f"credentials: {len(new)} new ones in {self.env_file.name}")
        return names

    def _tell(self, finding: Finding) -> None:
        self.say(f"{'ok   ' if finding.ok else 'WRONG' if finding.fatal else 'note '} {finding.name}: {finding.detail}")
        if not finding.ok and finding.remedy:
            self.say(f"      {finding.remedy}")


def tell_fault(error: Exception) -> None:
    print(f"error: {error}", file=sys.stderr)
    if isinstance(error, DockerFault) and error.remedy:
        print(error.remedy, file=sys.stderr)
