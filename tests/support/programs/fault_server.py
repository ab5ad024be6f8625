"""One small web server with many faults: `fault_server.py MODE PORT [ARGUMENT]`.

Raw sockets and no imports that take time, so that it starts in a few milliseconds and a test waits for the driver.
"""

import os
import signal
import socket
import sys
import time

MODE, PORT = sys.argv[1], int(sys.argv[2])
ARGUMENT = sys.argv[3] if len(sys.argv) > 3 else ""


BIND = os.environ.get("BIND", "127.0.0.1")
"""In a container: all addresses of its own."""


def serve(host=BIND, port=PORT, status=200, each=lambda: None):
    with socket.create_server((host, port)) as server:
        server.settimeout(0.05)
        while True:
            each()
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                request = connection.recv(4096)
                body = answer(request.split()[1].decode()) if request else ""
                connection.sendall(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
                )


def answer(path):
    if path == "/environment":
        return "\n".join(f"{key}={value}" for key, value in sorted(os.environ.items()))
    if path == "/words":
        return "\n".join(sys.argv)
    if path == "/folder":
        return os.getcwd()
    return str(os.getpid())


def child(work, *, session=False):
    pid = os.fork()
    if pid:
        return pid
    if session:
        os.setsid()
    try:
        work()
    finally:
        os._exit(0)


def forever():
    while True:
        time.sleep(1)


def gap_seen(state):
    """Whether time has jumped since the last call: only a freeze makes so long a gap."""
    now = time.monotonic()
    before, state[0] = state[0], now
    return now - before > 0.4


def die_on_gap(code):
    state = [time.monotonic()]

    def each():
        if gap_seen(state):
            print("I was frozen, I give up", flush=True)
            os._exit(code)

    return each


def good():
    serve()


def slow():
    time.sleep(float(ARGUMENT))
    serve()


def never():
    print("I shall never listen", flush=True)
    forever()


def dies_at_once():
    print("first line\nI cannot find my model", flush=True)
    sys.exit(3)


def dies_later():
    at = time.monotonic() + float(ARGUMENT)

    def each():
        if time.monotonic() > at:
            print("my time has come", flush=True)
            os._exit(5)

    serve(each=each)


def dies_when_told():
    def each():
        if os.path.exists(ARGUMENT):
            print("told to die", flush=True)
            os._exit(6)

    serve(each=each)


def goes_deaf():
    """Closes its listener when told to, and lives on."""

    def each():
        if os.path.exists(ARGUMENT):
            raise EOFError

    try:
        serve(each=each)
    except EOFError:
        print("I listen no more", flush=True)
    forever()


def wrong_port():
    serve(port=int(ARGUMENT))


def all_addresses():
    serve(host="0.0.0.0")


def unhealthy():
    serve(status=500)


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve()


def forks_and_leaves():
    """The way daemons begin: what was started is gone, what serves has another session and another parent."""

    def daemon():
        os.setsid()
        if os.fork() == 0:
            serve()

    child(daemon)
    time.sleep(float(ARGUMENT or 0))
    sys.exit(0)


def family():
    """An ordinary child, one with a session of its own, and one whose environment was wiped."""
    child(forever)
    child(forever, session=True)
    child(lambda: os.execve("/bin/sleep", ["sleep", "1000"], {}))
    serve()


def orphans():
    """Its grandchild has left the session and lost its parent; only the environment tells whose it is."""

    def leave():
        os.setsid()
        child(forever, session=True)

    os.waitpid(child(leave), 0)
    serve()


def breeds():
    """Always another child, each short-lived and in a session of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    serve(each=lambda: child(lambda: time.sleep(0.3), session=True))


def floods():
    line = b"x" * 1023 + b"\n"
    serve(each=lambda: [os.write(1, line * 512) for _ in range(8)])


def dies_on_thaw():
    serve(each=die_on_gap(7))


def loses_child_on_thaw():
    each = die_on_gap(8)

    def work():
        while True:
            time.sleep(0.05)
            each()

    child(work)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    serve()


def burns():
    end = time.monotonic() + float(ARGUMENT)

    def each():
        pause = time.monotonic() + 0.2
        while time.monotonic() < min(end, pause):
            pass

    serve(each=each)


def two_ports():
    child(lambda: serve(port=int(ARGUMENT)))
    serve()


globals()[MODE.replace("-", "_")]()
