"""An installer that takes its time, in the place of uv: `slow_uv.py FOLDER WORDS OF UV`.

Makes what the hub looks for and nothing more. The first `pip sync` says so in FOLDER/halted and stands still until
there is FOLDER/go. Each leaves `sync PID` in FOLDER/uv.events, and `beside PID` where another one is at work.
"""

import fcntl
import os
import sys
import time
from pathlib import Path


def main(folder, words):
    match words:
        case ["venv", *_, environment]:
            programs = Path(environment, "bin")
            programs.mkdir(parents=True)
            (programs / "python").symlink_to(sys.executable)
        case ["pip", "compile", *options, wish]:
            lock = options[options.index("--output-file") + 1]
            Path(lock).write_text(Path(wish).read_text())
        case ["pip", "sync", *_]:
            sync(folder)


def sync(folder):
    events = os.open(folder / "uv.events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(events, f"sync {os.getpid()}\n".encode())
    try:
        fcntl.flock(events, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(events, f"beside {os.getpid()}\n".encode())
    try:
        (folder / "halted").touch(exist_ok=False)
    except FileExistsError:
        return
    while not (folder / "go").exists():
        time.sleep(0.005)


main(Path(sys.argv[1]), sys.argv[2:])
