"""Builds the stand-ins: each once, in the order of their `FROM` lines, two at a time.

An image carries a label that says from what it was made; where that is still true nothing is built. Images of the same
name without that label are somebody's own, and stay: who has a registry gets the real python:3.11-slim.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.support.images import debian_base
from tests.support.images.recipes import DEBIAN, PYTHON, Recipe

LABEL = "io.aihub.test.content"
AT_ONCE = 2
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class BuildFailed(Exception):
    """An image could not be made; the message ends with what the builder said last."""


def wanted(names: Iterable[str], recipes: Mapping[str, Recipe]) -> list[Recipe]:
    """These and what they are made from, parents first. Raises KeyError for a name that is unknown."""
    by_tag = {recipe.tag: recipe for recipe in recipes.values()}
    order: dict[str, Recipe] = {}

    def add(recipe: Recipe) -> None:
        for parent in recipe.parents:
            if parent in by_tag:
                add(by_tag[parent])
        order.setdefault(recipe.name, recipe)

    for name in names:
        add(recipes[name])
    return list(order.values())


def digests(order: Iterable[Recipe]) -> dict[str, str]:
    """Tag -> what the label of a fresh image says: its own files and, by their digests, its parents."""
    found = {DEBIAN: debian_base.DIGEST}
    for recipe in order:
        total = hashlib.sha256()
        for name, content in sorted(recipe.files.items()):
            total.update(f"{name} {name in recipe.executable} {len(content)}\n".encode() + content)
        for parent in recipe.parents:
            total.update(found[parent].encode())
        found[recipe.tag] = total.hexdigest()[:16]
    return found


def build_all(order: list[Recipe], say: Callable[[str], None] = print) -> dict[str, float]:
    """See to it that each image exists. Returns the seconds of those that were built.

    Raises BuildFailed for the first one that failed, when nothing else can be built any more.
    """
    if not exists(DEBIAN):
        say(f"{DEBIAN}: made in {_timed(lambda: debian_base.make(DEBIAN, LABEL)):.0f} s")
    labels, took, done = digests(order), dict[str, float](), {DEBIAN}
    waiting, running, failures = list(order), dict[Future[float], Recipe](), list[BuildFailed]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or running:  # ends early where what is left stands on what failed
            for recipe in [one for one in waiting if done.issuperset(one.parents)][: AT_ONCE - len(running)]:
                waiting.remove(recipe)
                running[pool.submit(_build, recipe, labels[recipe.tag])] = recipe
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                recipe = running.pop(future)
                try:
                    seconds = future.result()
                except BuildFailed as failure:
                    failures.append(failure)
                    say(f"{recipe.tag}: failed")
                    continue
                if seconds:
                    took[recipe.name] = seconds
                    say(f"{recipe.tag}: built in {seconds:.0f} s")
                done.add(recipe.tag)
            if not running and not any(done.issuperset(one.parents) for one in waiting):
                break
    if failures:
        raise failures[0]
    return took


def exists(tag: str) -> bool:
    return _label(tag) is not None


def _label(tag: str) -> str | None:
    """What the image's label says, empty where it has none; None where there is no such image."""
    done = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None
    labels = json.loads(done.stdout)[0]["Config"].get("Labels") or {}
    return str(labels.get(LABEL, ""))


def _build(recipe: Recipe, digest: str) -> float:
    found = _label(recipe.tag)
    if found == digest or (found == "" and recipe.tag == PYTHON):
        return 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in recipe.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if name in recipe.executable else 0o644)
        command = ["docker", "buildx", "build", "--load", "--progress=plain", "--tag", recipe.tag]
        command += ["--label", f"{LABEL}={digest}", *_certificates(), folder]
        return _timed(lambda: _run(recipe.tag, command))


def _run(tag: str, command: list[str]) -> None:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise BuildFailed(f"{tag} could not be built:\n" + "\n".join(done.stdout.splitlines()[-30:]))


def _certificates() -> list[str]:
    """This machine's own, for the time of the build alone: a proxy of a company may sign for every host."""
    bundles = (os.environ.get("SSL_CERT_FILE", ""), *_BUNDLES)
    bundle = next((path for path in bundles if path and Path(path).is_file()), None)
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
