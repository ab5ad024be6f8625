"""What compose ends with, and what that is to a deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.deploy.docker import Compose, DockerFault


class Acting(Compose):
    """Compose that ends with a code of its own."""

    def command(self, *words: str) -> list[str]:
        return ["sh", "-c", f"exit {words[-1]}"]


@pytest.fixture
def compose(tmp_path: Path) -> Acting:
    return Acting(tmp_path, "project", ())


def test_an_end_by_a_signal_of_the_terminal_is_an_interruption_whoever_of_both_has_noticed_it(compose: Acting) -> None:
    with pytest.raises(KeyboardInterrupt):
        compose.show("up", "130")


def test_any_other_end_is_a_fault_that_names_the_verb_and_the_code(compose: Acting) -> None:
    compose.show("up", "0")
    with pytest.raises(DockerFault, match="docker compose up ended with 7"):
        compose.show("up", "7")
