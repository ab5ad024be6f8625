"""What must stay light: the client's dependencies, the supervisor's memory, the start of a command."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires

import pytest

_HEAVY = ("aiohttp", "asyncio", "grpclib", "grpc", "google.protobuf", "pydantic", "yaml", "docker", "aiodocker")


def test_a_user_of_the_client_alone_installs_neither_grpc_nor_docker() -> None:
    plain = [one for one in requires("distributed-ai-hub") or [] if "extra ==" not in one]
    names = {re.split(r"[^\w.-]", one)[0].lower() for one in plain}
    assert names == {"aiohttp"}


def test_where_only_the_client_was_installed_the_command_says_so() -> None:
    program = "import sys; sys.modules['click'] = None; from services.cli.entry import main; main()"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr.startswith("error: the command line of the hub is not installed")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "module",
    ["services.supervisor.__main__", "services.cli.main", "services.cli.commands.status", "services.cli.commands.wake"],
)
def test_the_supervisor_and_the_commands_load_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(_HEAVY) & set(loaded) == set()
