"""A private event loop in a thread: how code that waits calls code that awaits, also from within a running loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from services.api_adapter.client import forks
from services.api_adapter.client.errors import Closed

T = TypeVar("T")
Work = Coroutine[Any, Any, T]


class LoopThread:
    """Started at the first call; ends with `close`, or with the program. A forked process starts its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._turn = threading.RLock()
        """Nothing is begun on a loop that is being closed. A collected stream may begin its end within a turn."""
        forks.tell(self)

    def run(self, work: Work[T], on: asyncio.AbstractEventLoop | None = None) -> T:
        """Wait for it; Ctrl-C cancels it. May be called from several threads at once. `on`: the loop it belongs to.
        Raises Closed where that one is gone, or goes meanwhile."""
        future = self.begin(work, on)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Closed("the client, or this stream of it, was closed while an answer was awaited") from None
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Work[T], on: asyncio.AbstractEventLoop | None = None) -> concurrent.futures.Future[T]:
        """Without waiting. Raises Closed."""
        with self._turn:
            if on is not None and on is not self._loop:
                work.close()
                raise Closed("this stream is over: its client was closed, or it was begun before a fork (ask anew)")
            return asyncio.run_coroutine_threadsafe(work, self._running())

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._turn:
            return self._running()

    def close(self, last: Callable[[], Work[None]]) -> None:
        """Cancel whatever is under way, then do this last thing. Idempotent."""
        with self._turn:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop is None or thread is None:
                return
            ending = asyncio.run_coroutine_threadsafe(_ended(last), loop)
        try:
            ending.result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def forget(self) -> object:
        left = (self._loop, self._thread)
        self._loop, self._thread, self._turn = None, None, threading.RLock()
        return left

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="aihub-client", daemon=True)
            thread.start()
            self._loop, self._thread = loop, thread
        return self._loop


class Stream(Iterator[T]):
    """What an async generator yields, one after another as it comes. Left early or dropped, it is closed. Threads may
    share it: each item goes to one of them."""

    def __init__(self, thread: LoopThread, items: AsyncGenerator[T, None]) -> None:
        self._thread = thread
        self._items = _Items(items)
        self._on: asyncio.AbstractEventLoop | None = None
        """Where it has begun."""
        self._closed = False

    def __next__(self) -> T:
        """Raises Closed where the client was closed since the first item, or this is another process."""
        if self._on is None:
            if self._closed:
                raise StopIteration
            self._on = self._thread.loop()
        try:
            return self._thread.run(self._items.next(), self._on)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Idempotent. A thread that waits for an item gets Closed."""
        self._closed = True
        if self._on is not None:
            with contextlib.suppress(Closed):
                self._thread.run(self._items.close(), self._on)

    def __del__(self) -> None:
        # Perhaps in the very thread that would have to do it: nothing may be waited for.
        if self._on is not None and not sys.is_finalizing():
            with contextlib.suppress(Closed):
                self._thread.begin(self._items.close(), self._on)


class _Items(Generic[T]):
    """Within the loop: one who asks at a time."""

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items
        self._turn = asyncio.Lock()
        self._awaiting: asyncio.Task[Any] | None = None

    async def next(self) -> T:
        async with self._turn:
            self._awaiting = asyncio.current_task()
            try:
                return await self._items.__anext__()
            finally:
                self._awaiting = None

    async def close(self) -> None:
        if self._awaiting is not None:
            self._awaiting.cancel()
        async with self._turn:
            await self._items.aclose()


async def _ended(last: Callable[[], Work[None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last()
    await asyncio.get_running_loop().shutdown_asyncgens()
