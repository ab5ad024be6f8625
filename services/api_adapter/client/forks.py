"""A forked process gets copies of connections, loops and locks that go on in the one it came from.

It must not use them, nor end them: a copy that is closed properly would say so to the server, or to the kernel's watch
on sockets, which both processes share. So they are put aside, and everything begins anew.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    def forget(self) -> object:
        """Called in the child, where no other thread runs: be as before the first call. Gives what is never to be
        touched again, nor collected."""


def tell(one: Forked) -> None:
    """In each child from now on, for as long as it is there."""
    _known.add(one)


_known: WeakSet[Forked] = WeakSet()
_put_aside: list[object] = []


def _in_child() -> None:
    _put_aside.extend([one.forget() for one in list(_known)])


if hasattr(os, "register_at_fork"):  # elsewhere nothing forks
    os.register_at_fork(after_in_child=_in_child)
