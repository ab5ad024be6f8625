"""Serves one GGUF file with llama.cpp's own HTTP server, from PyPI's `xllamacpp`.

Runs in the environment of the service `llama`, not in the hub's. It owns the choice of the model and saying what is
wrong with it; everything after that is llama.cpp: `/v1/chat/completions`, `/v1/models`, `/health` and its web page.

    serve.py --port N --models FOLDER

AIHUB_LLAMA_MODEL names the file, absolute or below FOLDER; where it is empty, the only .gguf in FOLDER is taken.
AIHUB_LLAMA_CONTEXT: tokens of context, 4096. AIHUB_LLAMA_THREADS: threads, one for each core that may be used.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

_MAGIC = b"GGUF"
_MEND = "set AIHUB_LLAMA_MODEL to a GGUF file (a line AIHUB_LLAMA_MODEL=/path/to/model.gguf in .env)"


class NoModel(Exception):
    """The message says what is wrong and what mends it."""


def chosen_model(named: str, folder: Path) -> Path:
    """The file to serve. Raises NoModel."""
    if not named:
        return _only_model(folder)
    path = folder / Path(named).expanduser()
    if not path.is_file():
        raise NoModel(f"AIHUB_LLAMA_MODEL is {named}, and there is no such file; {_MEND}")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise NoModel(f"{path} is not a GGUF file; {_MEND}")
    return path


def _only_model(folder: Path) -> Path:
    found = sorted(folder.glob("*.gguf"))
    match found:
        case [only]:
            return only
        case []:
            raise NoModel(f"no model to serve: {_MEND}, or put one into {folder}")
        case _:
            names = ", ".join(path.name for path in found)
            raise NoModel(f"{folder} holds more than one model ({names}); {_MEND}")


def serve(model: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]  # only the service's own environment has it

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = [model.stem]
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = int(os.environ.get("AIHUB_LLAMA_CONTEXT") or 4096)
    params.cpuparams.n_threads = int(os.environ.get("AIHUB_LLAMA_THREADS") or len(os.sched_getaffinity(0)))
    params.offline = True
    server = xllamacpp.Server(params)
    print(f"serving {model} on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve a GGUF file.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", type=Path, required=True)
    arguments = parser.parse_args()
    # Before the server's threads begin, so that all of them leave the signals to sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        serve(chosen_model(os.environ.get("AIHUB_LLAMA_MODEL", "").strip(), arguments.models), arguments.port)
    except NoModel as error:
        print(f"llama: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
