"""One deployment: which compose files make it, what is written before compose runs, and the verbs on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services import private_file
from services.catalog.kong.fill import Environment, filled
from services.deploy import (
    access,
    built,
    certificate,
    consul_access,
    credentials,
    docker,
    leavings,
    plan,
    preflight,
    readers,
    waiting,
    wanted_ports,
)
from services.deploy.consul_access import ConsulAccess
from services.deploy.docker import Compose
from services.deploy.finding import Finding, Refused
from services.deploy.plan import Env, Phase
from services.layout import Layout

FILE = "docker-compose.distributed-ai.yml"
PROD = "docker-compose.prod.yml"
PROJECT = "distributed-ai"
_HUB = "scaler"
_WAIT = "600"
"""Seconds within which all of a phase must be up and healthy."""
_LET_GO = 30.0
"""Seconds within which the hub's gateway gives up the port of a service that is no longer on demand."""
_PERSISTENT = "HUB_PERSISTENT_REPLICAS"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Deployment:
    root: Path
    """Of the checkout: where the compose file stands."""
    layout: Layout
    env: Env
    domain: str = "localhost"
    tls: tuple[Path, Path] | None = None
    overrides: tuple[Path, ...] = ()
    """Further compose files, merged last: other images on a machine without a registry."""
    project: str = PROJECT
    say: Say = print

    @property
    def env_file(self) -> Path:
        return self.root / ".env"

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.root / FILE, *([self.root / PROD] if self.env is Env.PROD else []), *self.overrides)

    @cached_property
    def compose(self) -> Compose:
        said = {name: value for name, value in self.settings.items() if value is not None and name.startswith("HUB_")}
        return Compose(self.root, self.project, self.files, said)

    @cached_property
    def settings(self) -> dict[str, str | None]:
        """What the compose files ask of the machine, beside credentials; None: not in this environment."""
        prod = self.env is Env.PROD
        folder = self.layout.data / "tls"
        chain, key = self.tls or (folder / f"{self.domain}.crt", folder / f"{self.domain}.key")
        return {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": os.pathsep.join(map(str, self.files)),
            "HUB_ENV": self.env.value,
            "HUB_ROOT": str(self.root),
            "HUB_DATA": str(self.layout.data),
            "HUB_UID": str(os.getuid()),
            "HUB_GID": str(os.getgid()),
            "HUB_DOMAIN": self.domain,
            "HUB_KONG_FILE": str(self._kong_file) if prod else None,
            "HUB_TLS_CERT": str(chain) if prod else None,
            "HUB_TLS_KEY_FILE": str(key) if prod else None,
        }

    @property
    def _kong_file(self) -> Path:
        return self.layout.data / "kong" / "kong.yml"

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def up(self, phase: Phase) -> None:
        """Bring the phase up; again: nothing but what has changed. Raises Refused, DockerFault, EnvFileFault,
        CertificateFault, FillError, OSError."""
        resolved = self.check(phase)
        self.prepare(phase)
        self._build(resolved, phase)
        for part in phase.parts:
            self._bring_up(resolved, part)
        self.tell_access()

    def check(self, phase: Phase) -> plan.Resolved:
        """The preflight, told line by line; nothing is changed. Raises Refused, DockerFault."""
        engine, findings = preflight.of_docker()
        findings += preflight.files(self.root, self.layout.data, self.overrides)
        for finding in findings:
            self._tell(finding)
        if engine is None or not all(finding.ok for finding in findings):
            raise Refused([finding for finding in findings if not finding.ok])
        resolved = self.compose.resolved()
        found = list(
            preflight.of_machine(engine, self.project, self.layout, resolved, plan.services_of(resolved, phase))
        )
        found += preflight.of_credentials(self.project, credentials.read(self.env_file))
        found += preflight.local_hub(self.layout, _HUB in docker.services_running(self.project))
        for finding in found:
            self._tell(finding)
        against = [finding for finding in found if finding.fatal and not finding.ok]
        if against:
            raise Refused(against)
        return resolved

    def foretell(self, phase: Phase) -> None:
        """The preflight, and what `up` would do after it. Raises as `check`."""
        resolved = self.check(phase)
        names = [name for name in self.compose.variables() if credentials.is_credential(name)]
        made = credentials.read(self.env_file)
        new = [name for name in names if not made.get(name)]
        self.say(f"would write {self.env_file}: {len(new)} new credentials, settings of this machine")
        for own in built.own_images(resolved):
            if why := built.why_due(own):
                self.say(f"would build {own.reference}: {why}")
        images = plan.images(resolved, plan.services_of(resolved, phase)).values()
        made_here = {own.reference for own in built.own_images(resolved)}
        if absent := sorted(image for image in {*images} - made_here if docker.image_architecture(image) is None):
            self.say(f"would pull {len(absent)} images: {', '.join(absent)}")
        for part in phase.parts:
            self.say(f"would bring up {part}: {', '.join(plan.services_of(resolved, part))}")

    def prepare(self, phase: Phase) -> None:
        """Write what the containers read: credentials and settings, certificate, Kong's file."""
        self.layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = dict(self.settings)
        if Phase.AI in phase.parts:
            # The hub reads it there: from this phase on it keeps the persistent ones of its services running.
            settings[_PERSISTENT] = "1"
        names = [name for name in self.compose.variables() if credentials.is_credential(name)]
        wanted = [*names, *(["HUB_GATEWAY_KEY"] if self.env is Env.PROD else [])]
        credentials.check_forms(self.env_file)
        if new := credentials.complete(self.env_file, wanted, settings):
            self.say(f"credentials: {len(new)} new ones in {self.env_file}")
        if self.env is Env.PROD:
            made = credentials.read(self.env_file)
            private_file.write(self.layout.data / "consul" / "snapshot-token", made.get(consul_access.MANAGEMENT, ""))
            # Made by us, or the engine would make it for root.
            backups = made.get("HUB_BACKUPS") or self.layout.backups
            Path(backups).mkdir(mode=0o700, parents=True, exist_ok=True)
            chain, _ = certificate.ensure(self.layout.data / "tls", self.domain, self.tls)
            self.say(f"certificate: {chain}")
            rendered = (self.root / "config" / "kong" / "kong.yml").read_text("utf-8")
            variables = {**made, "HUB_DOMAIN": self.domain}
            private_file.write(self._kong_file, filled(rendered, Environment.PROD, variables))

    def down(self, *, volumes: bool) -> None:
        """End every container of every profile, and the networks; data and `.env` stay, but for `volumes`. Raises
        DockerFault, EnvFileFault, OSError."""
        # The hub first: it ends what it woke and takes its own containers off the networks.
        if _HUB in docker.services_running(self.project):
            self.compose.show("stop", _HUB)
        removed = leavings.remove(self.layout)
        words = ["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        self.compose.show(*words)
        removed += leavings.remove_networks(self.layout)
        if removed:
            self.say(f"removed what the hub had made: {', '.join(removed)}")
        if self.env_file.exists():
            credentials.complete(self.env_file, [], {_PERSISTENT: None})
        self.say("all of it is down" + ("; its volumes are gone too" if volumes else "; volumes and .env stay"))

    def status(self) -> None:
        """Raises DockerFault."""
        containers = self.compose.containers()
        running = [one for one in containers if one.state != "exited" and one.state != "created"]
        for one in sorted(running, key=lambda one: one.service):
            self.say(f"{one.service:<20} {one.state}{f', {one.health}' if one.health else ''}")
        self.say(f"{len(running)} containers run, {len(containers) - len(running)} rest ({self.project}, {self.env})")
        self.tell_access()

    def tell_access(self) -> None:
        resolved, running = self.compose.resolved(), docker.services_running(self.project)
        for line in access.table(resolved, running, self.env, self.domain):
            self.say(line)
        if lines := access.to_try(resolved, running, self.env, self.domain):
            self.say("\nTo try:")
            for line in lines:
                self.say(f"  {line}")

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _build(self, resolved: plan.Resolved, phase: Phase) -> None:
        needed = set(plan.images(resolved, plan.needing_images(resolved, phase)).values())
        for own in built.own_images(resolved):
            if own.reference in needed and (why := built.why_due(own)):
                self.say(f"building {own.reference}: {why}")
                built.build(own)

    def _bring_up(self, resolved: plan.Resolved, part: Phase) -> None:
        names = plan.services_of(resolved, part)
        self.say(f"phase {part}: {', '.join(names)}")
        waiting.until_looked_at(self.compose, names)
        consul = self._consul_access(names)
        if consul:
            self._start(resolved, [consul_access.CONSUL])
            if consul.grant((self.root / consul_access.RULES).read_text("utf-8")):
                self.say("consul: the scaler has a token of its own")
        wanted_ports.until_let_go(self.project, self.layout, resolved, names, _LET_GO)
        self._start(resolved, names)
        if consul and (former := consul.revoke_former()):
            self.say(f"consul: {former} tokens from before are no longer valid")
        if part is Phase.AI and _HUB in docker.services_running(self.project):
            waiting.until_awake(self.layout, plan.kept_awake(self.compose.resolved()), self.say)

    def _consul_access(self, names: Sequence[str]) -> ConsulAccess | None:
        """Where this phase has to give the scaler a token."""
        if self.env is not Env.PROD or not {_HUB, consul_access.CONSUL} <= set(names):
            return None
        return consul_access.of_scaler(
            self.compose.resolved()["services"][_HUB].get("environment") or {}, credentials.read(self.env_file)
        )

    def _start(self, resolved: plan.Resolved, names: Sequence[str]) -> None:
        # Listed, not by profile: each phase is what the plan says and nothing beside it.
        self.compose.show("--profile", "*", "up", "--detach", "--wait", "--wait-timeout", _WAIT, "--no-build", *names)
        below = [self.root / "config", self.root / "monitoring", self.layout.data / "kong", self.layout.data / "tls"]
        for name in readers.behind(self.compose, resolved, names, below):
            self.say(f"{name}: its configuration has changed since it started")
            self.compose.show("restart", name)

    def _tell(self, finding: Finding) -> None:
        self.say(f"{'ok   ' if finding.ok else 'WRONG' if finding.fatal else 'note '} {finding.name}: {finding.detail}")
        if not finding.ok and finding.remedy:
            self.say(f"      {finding.remedy}")
