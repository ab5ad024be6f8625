"""What our own images are made from is what a change of makes them anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.catalog.load import load
from services.deploy import built

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILES = (ROOT / "Dockerfile", *sorted(ROOT.glob("services/*/Dockerfile")))


def copied(dockerfile: Path) -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE)
    return [word for line in lines for word in line.split()[:-1]]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_a_dockerfile_takes_is_sent_to_the_builder_and_counts_for_the_digest(dockerfile: Path) -> None:
    let_through = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert copied(dockerfile)
    for source in copied(dockerfile):
        assert (ROOT / source).exists()
        above = {source, *map(str, Path(source).parents)}
        assert above & set(built._SOURCES), source
        assert above & (let_through - {"catalog", "catalog/locks"}), source


def test_a_changed_lock_makes_an_image_due(tmp_path: Path) -> None:
    lock = tmp_path / "catalog" / "locks" / "langchain.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text("one")
    before = built.digest(tmp_path)
    lock.write_text("other")
    assert built.digest(tmp_path) != before


def test_each_image_of_a_service_of_our_own_holds_the_packages_of_its_local_form() -> None:
    catalog = load([ROOT / "docker-compose.distributed-ai.yml"], environ={}, profiles=("*",))
    for name, package in (("api-adapter", "api_adapter"), ("langchain", "langchain")):
        local = catalog.services[name].local
        assert local is not None
        assert local.package is not None
        assert local.package.lock == str(ROOT / "catalog" / "locks" / f"{name}.txt")
        assert f"catalog/locks/{name}.txt" in copied(ROOT / "services" / package / "Dockerfile")


def test_the_images_of_our_own_services_are_made_alike() -> None:
    """Two files, so that every builder takes a plain one; what is mended in the one is to be mended in the other."""

    def lines(package: str) -> list[str]:
        text = (ROOT / "services" / package / "Dockerfile").read_text()
        text = text.replace(package, "PACKAGE").replace(package.replace("_", "-"), "NAME").replace("PACKAGE", "NAME")
        named, rest = text.partition("\n")[::2]
        assert named.endswith(" in an image of its own.")
        return re.sub(r"-c 'import [^']*'", "-c 'import …'", rest).splitlines()

    assert lines("api_adapter") == lines("langchain")
