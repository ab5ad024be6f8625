"""What stands for which image on a machine without a registry: the same software from Debian, PyPI or its Go module.

Pure. A recipe says what goes into the build's folder; a recipe for a package from PyPI installs the very lock that the
catalogue starts the program from without Docker. Where no package of the software exists, `placeholder` stands for it:
a web server that answers on the service's ports and nothing more, so that a whole project can come up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDERS = Path(__file__).resolve().parent / "docker"
LOCKS = CHECKOUT / "catalog" / "locks"
ENVOY = CHECKOUT / "requirements" / "envoy.txt"
MODEL = CHECKOUT / "tests" / "support" / "tiny_gguf.py"
PREFIX = "aihub-test/"
HUB = f"{PREFIX}hub"
DEBIAN = "debian:bookworm-slim"
PYTHON = "python:3.11-slim"

_INSTALL = """\
FROM {base}
RUN --mount=type=secret,id=ca --mount=type=cache,id=aihub-uv,target=/var/cache/uv \\
    --mount=type=bind,from={prefix}uv,source=/usr/local/bin,target=/mnt/uv --mount=type=bind,target=/mnt/context \\
    if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \\
    /mnt/uv/uv pip install --quiet --system --break-system-packages --require-hashes --no-deps --compile-bytecode \\
      --cache-dir /var/cache/uv --link-mode copy -r /mnt/context/lock.txt
{lines}"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image. `files`: name in the build's folder -> content; the Dockerfile is one of them."""

    name: str
    tag: str
    files: Mapping[str, bytes] = field(repr=False)
    executable: frozenset[str] = frozenset()

    @property
    def parents(self) -> tuple[str, ...]:
        """The images it is made from, those of its own stages left out."""
        text = self.files["Dockerfile"].decode()
        stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.M))
        given = dict(re.findall(r"^ARG (\w+)=(\S+)", text, re.M))
        named = [*re.findall(r"^FROM (\S+)", text, re.M), *re.findall(r"from=(\S+?)[, ]", text)]
        images = (re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], image) for image in named)
        return tuple(dict.fromkeys(image for image in images if image not in stages and image != "scratch"))


def from_folder(name: str, *extra: Path) -> Recipe:
    """`docker/NAME`, and these files of the checkout beside it."""
    own = [path for path in sorted((FOLDERS / name).iterdir()) if path.is_file()]
    files = {path.name: path.read_bytes() for path in own}
    files |= {path.name: path.read_bytes() for path in extra}
    tag = PYTHON if name == "python" else PREFIX + name
    return Recipe(name, tag, files, frozenset(path.name for path in own if path.stat().st_mode & 0o100))


def from_pypi(name: str, *lines: str, entrypoint: Sequence[str] = (), command: Sequence[str] = ()) -> Recipe:
    """The lock of that name on the stand-in of python:3.11-slim, then these lines."""
    ends = [*lines]
    if entrypoint:
        ends.append(f"ENTRYPOINT {json.dumps(list(entrypoint))}")
    if command:
        ends.append(f"CMD {json.dumps(list(command))}")
    text = _INSTALL.format(base=PYTHON, prefix=PREFIX, lines="\n".join(ends) + "\n")
    files = {"Dockerfile": text.encode(), "lock.txt": (LOCKS / f"{name}.txt").read_bytes()}
    return Recipe(name, PREFIX + name, files)


def our_own() -> Recipe:
    """The hub's image, from the checkout by the Dockerfile that users build it with; their own keeps its name."""
    names = ["Dockerfile", "pyproject.toml", "README.md", "LICENSE"]
    paths = [CHECKOUT / name for name in names] + sorted((CHECKOUT / "requirements").glob("*.txt"))
    paths += [path for path in sorted((CHECKOUT / "services").rglob("*")) if path.is_file()]
    kept = (path for path in paths if "__pycache__" not in path.parts)
    return Recipe("hub", HUB, {str(path.relative_to(CHECKOUT)): path.read_bytes() for path in kept})


def our_service(name: str, package: str) -> Recipe:
    """A service of our own, from the checkout likewise."""
    paths = [LOCKS / f"{name}.txt", CHECKOUT / "services" / "__init__.py"]
    for folder in ("web_service", package):
        paths += [path for path in sorted((CHECKOUT / "services" / folder).rglob("*")) if path.is_file()]
    kept = (path for path in paths if "__pycache__" not in path.parts and path.name != "Dockerfile")
    files = {str(path.relative_to(CHECKOUT)): path.read_bytes() for path in kept}
    dockerfile = (CHECKOUT / "services" / package / "Dockerfile").read_bytes()
    return Recipe(name, PREFIX + name, {**files, "Dockerfile": dockerfile})


def recipes() -> dict[str, Recipe]:
    """Every image by name, the slowest first."""
    listen = ["--host", "0.0.0.0", "--port"]
    notebooks = "exec jupyter lab --ip=0.0.0.0 --no-browser --allow-root --IdentityProvider.token=$JUPYTER_TOKEN"
    every = [
        from_folder("consul"),
        from_folder("ollama", MODEL),
        our_own(),
        our_service("api-adapter", "api_adapter"),
        our_service("langchain", "langchain"),
        from_folder("go"),
        from_folder("uv"),
        from_folder("python"),
        from_folder("rabbitmq"),
        from_folder("postgres"),
        from_folder("prometheus"),
        from_folder("alertmanager"),
        from_folder("node-exporter"),
        from_folder("redis"),
        from_folder("nginx"),
        from_folder("web"),
        from_folder("placeholder"),
        from_folder("docker-proxy"),
        from_folder("kong", ENVOY),
        from_folder("llama", LOCKS / "llama.txt", MODEL),
        from_pypi("mlflow"),
        from_pypi("chroma", "WORKDIR /data", command=["chroma", "run", *listen, "8000", "--path", "/data"]),
        from_pypi("litellm", entrypoint=["litellm"]),
        from_pypi("jupyter", "WORKDIR /home/jovyan/work", "ENV JUPYTER_TOKEN=", command=["sh", "-c", notebooks]),
        from_pypi(
            "marimo",
            "WORKDIR /app/data",
            command=["marimo", "edit", "--headless", "--no-token", *listen, "8080", "/app/data"],
        ),
        from_pypi("tensorboard"),
        from_pypi("optuna", "WORKDIR /data", entrypoint=["optuna-dashboard"]),
        from_pypi(
            "mcpo",
            "RUN printf '#!/bin/sh\\nexec \"$@\"\\n' > /usr/local/bin/uvx && chmod +x /usr/local/bin/uvx",
            entrypoint=["mcpo", *listen, "8000", "--"],
        ),
        from_pypi("datasette"),
    ]
    return {recipe.name: recipe for recipe in every}
