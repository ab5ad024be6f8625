"""A filter before the engine's socket with the options of wollomatic/socket-proxy that the catalogue uses.

Method and path of each request are held against -allowGET=… and its like, each a pattern for the whole path. One
request a connection, so that nothing unseen can follow; what is allowed is then passed on byte for byte, whichever way.
It does not look into bodies: -allowbindmountfrom is taken and not acted on.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import threading

HEAD = 65536
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\nConnection: close\r\n\r\nForbidden\n"


def options(words):
    found = {}
    for word in words:
        key, _, value = word.lstrip("-").partition("=")
        found[key] = value
    return found


GIVEN = options(sys.argv[1:])
ALLOWED = {key[5:]: re.compile(value) for key, value in GIVEN.items() if re.fullmatch("allow[A-Z]+", key)}
ENGINE = GIVEN.get("socketpath", "/var/run/docker.sock")


def head_of(connection):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(HEAD)
        if not piece or len(got) > HEAD:
            return b"", b""
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest


def allowed(line):
    method, target, _ = line.decode("latin-1").split()
    pattern = ALLOWED.get(method)
    return pattern is not None and pattern.fullmatch(target.partition("?")[0]) is not None


def once(head):
    """The same head, asking to close behind the answer, unless it changes protocol."""
    lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
    return b"\r\n".join([*kept, b"Connection: close"])


def pour(source, target):
    try:
        while piece := source.recv(HEAD):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def converse(connection):
    with connection, socket.socket(socket.AF_UNIX) as engine:
        head, rest = head_of(connection)
        if not head:
            return
        if not allowed(head.split(b"\r\n")[0]):
            connection.sendall(FORBIDDEN)
            return
        engine.connect(ENGINE)
        engine.sendall(once(head) + b"\r\n\r\n" + rest)
        threading.Thread(target=pour, args=(connection, engine), daemon=True).start()
        pour(engine, connection)


def guarded(connection):
    try:
        converse(connection)
    except (OSError, ValueError) as error:
        print(f"ended early: {error}", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if path := GIVEN.get("proxysocketendpoint"):
        if os.path.exists(path):
            os.unlink(path)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, int(GIVEN.get("proxysocketendpointfilemode", "0600"), 8))
        server.listen(128)
    else:
        server = socket.create_server(("0.0.0.0", int(GIVEN.get("proxyport", "2375"))))
    while True:
        connection, _ = server.accept()
        threading.Thread(target=guarded, args=(connection,), daemon=True).start()


main()
