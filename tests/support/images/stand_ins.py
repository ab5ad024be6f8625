"""Which image stands for each service of the shipped catalogue, as an override that changes images alone.

A placeholder also gets the ports it shall answer on and, where the service has a health check, one that it can pass:
the programs that the real check calls are not in it. `python -m tests.support.images.stand_ins` writes the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from services.catalog.load import load
from tests.support.images.recipes import CHECKOUT, PREFIX, PYTHON

CATALOGUE = CHECKOUT / "docker-compose.distributed-ai.yml"
OVERRIDE = CHECKOUT / "tests" / "support" / "compose.stand-ins.yml"
COMMAND = "python -m tests.support.images.stand_ins"
PLACEHOLDER = f"{PREFIX}placeholder"
_OWN = "aihub/"
_BY_REPOSITORY = {
    "chromadb/chroma": "chroma",
    "datasetteproject/datasette": "datasette",
    "ghcr.io/berriai/litellm": "litellm",
    "ghcr.io/ggml-org/llama.cpp": "llama",
    "ghcr.io/marimo-team/marimo": "marimo",
    "ghcr.io/mlflow/mlflow": "mlflow",
    "ghcr.io/open-webui/mcpo": "mcpo",
    "ghcr.io/optuna/optuna-dashboard": "optuna",
    "hashicorp/consul": "consul",
    "kong": "kong",
    "nginx": "nginx",
    "ollama/ollama": "ollama",
    "pgvector/pgvector": "postgres",
    "postgres": "postgres",
    "prom/alertmanager": "alertmanager",
    "prom/node-exporter": "node-exporter",
    "prom/prometheus": "prometheus",
    "quay.io/jupyter/scipy-notebook": "jupyter",
    "rabbitmq": "rabbitmq",
    "redis": "redis",
    "wollomatic/socket-proxy": "docker-proxy",
}
_BY_SERVICE = {"tensorboard": f"{PREFIX}tensorboard", "hello": PYTHON}
_PROBE = {"test": ["CMD", "python3", "-I", "-S", "/web.py", "--probe"], "interval": "2s", "retries": 10}


class Reset:
    """Compose's word for: as if the file before had not said it."""


def image_for(service: str, image: str) -> str:
    """The stand-in. Our own image is built from the checkout as ever, and only called otherwise."""
    repository = image.rpartition(":")[0] or image
    if repository.startswith(_OWN):
        return PREFIX + repository.removeprefix(_OWN)
    name = _BY_REPOSITORY.get(repository)
    return _BY_SERVICE.get(service) or (f"{PREFIX}{name}" if name else PLACEHOLDER)


def document() -> dict[str, Any]:
    """The override for the catalogue as it is now."""
    ports = {name: sorted({port.number for port in service.ports}) for name, service in _catalogue().items()}
    found = {}
    for name, service in _written():
        image = image_for(name, service["image"])
        if image == PLACEHOLDER:
            found[name] = _placeholder(name, service, ports.get(name, []))
        else:
            found[name] = {"image": image}
    return {"services": dict(sorted(found.items()))}


def text() -> str:
    head = f"# Images for a machine that reaches no registry; scripts/test-images builds them. Made by {COMMAND}.\n"
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=118)


def _placeholder(name: str, service: Mapping[str, Any], ports: list[int]) -> dict[str, Any]:
    made: dict[str, Any] = {"image": PLACEHOLDER}
    if "entrypoint" in service:
        made["entrypoint"] = Reset()
    made["environment"] = {"NAME": f"placeholder for {name}", "PORTS": ",".join(map(str, ports)) or "8080"}
    if "healthcheck" in service:
        made["healthcheck"] = dict(_PROBE)
    return made


def _catalogue() -> Mapping[str, Any]:
    return load([CATALOGUE], environ={}, profiles=["*"]).services


def _written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every service as it stands in the files."""
    top = yaml.safe_load(CATALOGUE.read_text())
    for file in [*top["include"], None]:
        document = yaml.safe_load((CHECKOUT / file).read_text()) if file else top
        yield from document["services"].items()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(Reset, lambda dumper, _: dumper.represent_scalar("!reset", "null"))


if __name__ == "__main__":
    OVERRIDE.write_text(text())
    sys.stdout.write(f"{OVERRIDE}\n")
