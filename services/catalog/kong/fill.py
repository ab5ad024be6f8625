"""The deploy step: the rendered file and this machine's variables → the file that Kong reads.

Owns what each marker becomes, and that none stays: Kong would take a marker in a key's place for the key itself. In
`dev` nothing asks for a key, as Kong listens on loopback only; limits and sizes are the same. Values are put into the
document, not into its text, so nothing in them can become YAML. Pure; `__main__` reads and writes.

    FillError    every variable that is missing or wrong, by name; a secret's value is never told
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import yaml

from services.catalog.kong import laws, schema, text
from services.catalog.kong.document import KongFileError
from services.catalog.kong.markers import DOMAIN, DOMAIN_PATTERN, ENVOY_HOST, MARKER, OWNER_KEY, markers
from services.catalog.kong.plugins import KEY_AUTH
from services.catalog.kong.reader import read


class Environment(StrEnum):
    DEV = "dev"
    PROD = "prod"


_FURTHER_KEY = re.compile(r"HUB_GATEWAY_([A-Z0-9_]+)_KEY\Z")
"""`HUB_GATEWAY_ALICE_KEY` makes a consumer `alice`."""
_DOMAIN = re.compile(r"(?=.{1,190}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")
_HEADERS = {
    Environment.DEV: "# Made from config/kong/kong.yml: do not edit. Asks for no key: for a Kong on loopback alone.\n",
    Environment.PROD: "# Made by a deploy from config/kong/kong.yml: do not edit, and show nobody; it holds keys.\n",
}
_MAKE_ONE = "; `openssl rand -hex 24` makes one"


class FillError(ValueError):
    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def filled(rendered: str, environment: Environment, variables: Mapping[str, str]) -> str:
    """The finished file's text; the same for the same arguments.

    `variables`: `HUB_GATEWAY_KEY` (prod; the owner's), `HUB_GATEWAY_NAME_KEY` for each further caller, `HUB_DOMAIN`
    (needed in prod), `HUB_ENVOY_HOST` (`envoy` unless given). Raises FillError.
    """
    keys = environment is Environment.PROD
    document = _loaded(rendered)
    faults: list[str] = []
    values = _values(variables, keys, faults)
    if keys:
        _add_consumers(document, variables)
        _check_keys(variables, faults)
    else:
        _drop_keys(document)
    if faults:
        raise FillError(faults)
    finished = text.rendered(_replaced(document, {**variables, **values}), header=_HEADERS[environment])
    _prove(finished, keys)
    return finished


def consumer_keys(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Variable → consumer, of all callers besides the owner, by name."""
    found = {name: match[1] for name in sorted(variables) if (match := _FURTHER_KEY.match(name))}
    return {name: caller.lower().replace("_", "-") for name, caller in found.items()}


def _loaded(rendered: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(rendered)
    except yaml.YAMLError as error:
        raise FillError([f"the rendered file is no YAML ({error}); make it again by scripts/generate"]) from None
    if not isinstance(document, dict) or not isinstance(document.get("services"), list):
        raise FillError(["the rendered file holds no services; make it again by scripts/generate"])
    return document


def _values(variables: Mapping[str, str], keys: bool, faults: list[str]) -> dict[str, str]:
    """What markers stand for, by name, where it is not simply the variable."""
    domain = variables.get("HUB_DOMAIN", "").lower()
    if not domain and keys:
        faults.append(
            "HUB_DOMAIN is missing: the name by which this hub is known, such as hub.example.org; put it in .env"
        )
    if domain and not _DOMAIN.match(domain):
        faults.append(f"HUB_DOMAIN: a host name such as hub.example.org, without scheme or port, not {domain!r}")
    host = variables.get("HUB_ENVOY_HOST") or "envoy"
    if not _DOMAIN.match(host):
        faults.append(f"HUB_ENVOY_HOST: a host name such as envoy, without a port, not {host!r}")
    domain = domain or "localhost"
    return {"HUB_DOMAIN": domain, "HUB_DOMAIN_PATTERN": re.escape(domain), "HUB_ENVOY_HOST": host}


def _check_keys(variables: Mapping[str, str], faults: list[str]) -> None:
    owners = {OWNER_KEY[2:-1]: "owner", **consumer_keys(variables)}
    seen: dict[str, str] = {}
    for name, caller in owners.items():
        value = variables.get(name, "")
        if caller == "owner" and name != OWNER_KEY[2:-1]:
            faults.append(f"{name}: the owner's key is {OWNER_KEY[2:-1]}; give this caller another name")
        elif not value:
            faults.append(f"{name} is missing: the key of {caller}; put it in .env{_MAKE_ONE}, or deploy again")
        elif wanted := schema.key(value):
            faults.append(f"{name}: {wanted}{_MAKE_ONE}")
        elif value in seen:
            faults.append(f"{name}: a key of its own, not that of {seen[value]}{_MAKE_ONE}")
        seen.setdefault(value, name)


def _add_consumers(document: dict[str, Any], variables: Mapping[str, str]) -> None:
    consumers = document.setdefault("consumers", [])
    for variable, caller in consumer_keys(variables).items():
        consumers.append({"username": caller, "keyauth_credentials": [{"key": f"${{{variable}}}"}]})


def _drop_keys(document: dict[str, Any]) -> None:
    document.pop("consumers", None)
    for service in document["services"]:
        service["plugins"] = [plugin for plugin in service.get("plugins", ()) if plugin.get("name") != KEY_AUTH]


def _replaced(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {name: _replaced(inner, values) for name, inner in value.items()}
        case list():
            found = [_replaced(inner, values) for inner in value if not _is_of_no_name(inner, values)]
            return [item for index, item in enumerate(found) if item not in found[:index]] if _plain(found) else found
        case str():
            return MARKER.sub(lambda match: _value(match[0], values), value)
        case _:
            return value


def _is_of_no_name(item: object, values: Mapping[str, str]) -> bool:
    """`chroma.192.0.2.7` is no name of anything: where the domain is a bare address, services have their paths."""
    if not isinstance(item, str) or not item.endswith(f".{DOMAIN}"):
        return False
    try:
        ipaddress.ip_address(values["HUB_DOMAIN"])
    except ValueError:
        return False
    return True


def _plain(items: list[Any]) -> bool:
    """Hosts and origins may become the same when they are filled in, and Kong wants each once."""
    return all(isinstance(item, str) for item in items)


def _value(marker: str, values: Mapping[str, str]) -> str:
    name = marker[2:-1]
    if marker not in (DOMAIN, DOMAIN_PATTERN, ENVOY_HOST, OWNER_KEY) and not _FURTHER_KEY.match(name):
        raise FillError(
            [f"the rendered file has a marker {marker} that nobody fills in; make it again by scripts/generate"]
        )
    return values[name]


def _prove(finished: str, keys: bool) -> None:
    """The last look before Kong's: strict reading, and no marker anywhere outside comments."""
    try:
        document = read(finished)
    except KongFileError as error:
        raise FillError([f"the finished file would be refused: {problem}" for problem in error.problems]) from None
    if left := sorted(set(markers(finished))):
        raise FillError([f"markers are left: {', '.join(left)}"])
    if problems := laws.broken(document, keys=keys):
        raise FillError([f"the finished file breaks a law: {problem}" for problem in problems])
