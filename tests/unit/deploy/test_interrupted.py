"""What a command of docker's that was interrupted means for the deploy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.deploy.docker import Compose, DockerFault


@pytest.mark.parametrize(("code", "raised"), [(130, KeyboardInterrupt), (1, DockerFault)])
def test_a_compose_that_says_it_was_interrupted_interrupts_the_deploy(
    tmp_path: Path, code: int, raised: type[BaseException]
) -> None:
    """At a terminal Ctrl-C reaches compose too, which may have ended before the signal has come to us."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)
    compose = Compose(tmp_path, "shop", (), {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    with pytest.raises(raised):
        compose.show("up", "--detach")
