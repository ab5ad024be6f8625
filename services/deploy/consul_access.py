"""The scaler's own token in Consul, where Consul denies by default: the shipped policy, and a token of it alone.

Consul takes policies and tokens by its API alone, so this is done once it runs and before the scaler starts. What is
made here is known by its description; policies and tokens of others are left as they are.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

MANAGEMENT, TOKEN = "HUB_CONSUL_MANAGEMENT_TOKEN", "HUB_CONSUL_SCALER_TOKEN"
"""Variables of `.env`: what may do everything, and what the scaler is given."""
CONSUL = "consul"
"""The service."""
POLICY = "aihub-scaler"
RULES = f"config/consul/policies/{POLICY}.hcl"
"""Below the checkout."""

_OURS = "aihub-scaler, made by the deploy"
_CONFIGURED = "Initial Management Token"
"""What Consul itself calls a token that its configuration has named; those named earlier stay valid."""
_LIMIT = 10.0
_AGAIN = 0.5
_Answer = tuple[int, Any]


class ConsulFault(Exception):
    """Consul's own words, and what mends it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def is_token(text: str) -> bool:
    """Whether Consul takes it for a token that is made by its API."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def of_scaler(environment: Mapping[str, str], made: Mapping[str, str]) -> ConsulAccess | None:
    """Consul as a scaler of this environment reaches it. None where the scaler is given no token, or one that is not in
    `made`, the variables of `.env`: somebody else has seen to it then."""
    url, token = environment.get("AIHUB_CONSUL"), environment.get("AIHUB_CONSUL_TOKEN")
    if not url or not token or token != made.get(TOKEN):
        return None
    return ConsulAccess(url.rstrip("/"), made.get(MANAGEMENT, ""), token)


@dataclass(frozen=True, slots=True)
class ConsulAccess:
    url: str
    """`http://HOST:PORT`."""
    management: str = field(repr=False)
    token: str = field(repr=False)
    """The scaler's."""
    patience: float = 60.0
    """Seconds within which Consul has to lead and to know the management token."""

    def grant(self, rules: str) -> bool:
        """Make the policy say these rules, and the scaler's token one that has it and nothing else. Returns whether
        anything was changed. Waits for a Consul that has just started. Raises ConsulFault."""
        found = self._first("/v1/acl/policies")
        mine = next((one["ID"] for one in found if one["Name"] == POLICY), None)
        changed = self._write_policy(mine, rules)
        body = {"SecretID": self.token, "Description": _OURS, "Policies": [{"Name": POLICY}]}
        there = next((one for one in self._tokens() if one["SecretID"] == self.token), None)
        if there is None:
            self._told("PUT", "/v1/acl/token", body)
        elif not _has_the_policy_alone(there):
            self._told("PUT", f"/v1/acl/token/{there['AccessorID']}", {**body, "AccessorID": there["AccessorID"]})
        else:
            return changed
        return True

    def revoke_former(self) -> int:
        """Tokens of the deploy's from before: what the scaler had, and what managed. Returns how many there were.
        Raises ConsulFault."""
        former = [
            one["AccessorID"]
            for one in self._tokens()
            if (one["Description"] == _OURS and one["SecretID"] != self.token)
            or (one["Description"] == _CONFIGURED and one["SecretID"] != self.management)
        ]
        for accessor in former:
            self._told("DELETE", f"/v1/acl/token/{accessor}")
        return len(former)

    def _write_policy(self, mine: str | None, rules: str) -> bool:
        if mine is None:
            self._told("PUT", "/v1/acl/policy", {"Name": POLICY, "Description": _OURS, "Rules": rules})
            return True
        policy = self._told("GET", f"/v1/acl/policy/{mine}")
        if policy["Rules"] == rules:
            return False
        self._told("PUT", f"/v1/acl/policy/{mine}", {**policy, "Rules": rules})
        return True

    def _tokens(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._told("GET", "/v1/acl/tokens")
        return found

    def _first(self, path: str) -> Any:
        """The first answer of one that has perhaps just started: it knows no token until it leads."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._told("GET", path)
            except ConsulFault:
                if time.monotonic() >= until:
                    raise
            time.sleep(_AGAIN)

    def _told(self, method: str, path: str, body: object = None) -> Any:
        status, said = self._ask(method, path, body)
        if status == 200:
            return said
        if status in (401, 403):
            remedy = f"{MANAGEMENT} in .env has to be the one that Consul was configured with; deploy again."
            raise ConsulFault(f"Consul at {self.url} does not let the deploy manage tokens ({said})", remedy)
        raise ConsulFault(f"Consul at {self.url}: {said}", "docker compose logs consul tells why; then deploy again.")

    def _ask(self, method: str, path: str, body: object) -> _Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Consul-Token": self.management, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with _DIRECT.open(request, timeout=_LIMIT) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace").strip()[:200]
        except (OSError, ValueError) as error:
            return 0, f"it does not answer as Consul does: {error}"


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the way out knows nothing of this machine's loopback."""


def _has_the_policy_alone(token: dict[str, Any]) -> bool:
    more = ("Roles", "ServiceIdentities", "NodeIdentities", "TemplatedPolicies")
    return [one["Name"] for one in token.get("Policies") or ()] == [POLICY] and not any(token.get(key) for key in more)
