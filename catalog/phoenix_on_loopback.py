"""Starts Phoenix with its gRPC port on loopback alone.

Phoenix takes a host for its HTTP port and none for the gRPC one, which it opens on every address of the machine.
Runs in the environment of the service `phoenix`; the arguments are those of Phoenix itself.
"""

import sys

import grpc.aio._server
import phoenix.server.main

_every_address = grpc.aio._server.Server.add_insecure_port


def _on_loopback(server: grpc.aio._server.Server, address: str) -> int:
    return _every_address(server, address.replace("[::]", "127.0.0.1"))


grpc.aio._server.Server.add_insecure_port = _on_loopback
sys.exit(phoenix.server.main.main())
