"""The Python client where something ends: a fork, a loop, a stream, the client itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from services.api_adapter.unified_ai_client import AsyncUnifiedAIClient, Closed, HubError, UnifiedAIClient
from services.deploy import certificate
from tests.support.acting_hub import ActingHub, acting_hub, falls_silent, for_ever, says
from tests.unit.api_adapter.test_client import CHAT, delta

_LONGEST = 20


@pytest.fixture
def acting() -> Iterator[ActingHub]:
    with acting_hub() as hub:
        yield hub


BEFORE = """
import asyncio, gc, os, signal, sys, threading, time
from services.api_adapter.unified_ai_client import *
base = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background

def forked(child):
    number = os.fork()
    if number == 0:
        signal.alarm(10)
        child()
        sys.exit(0)
    _, status = os.waitpid(number, 0)
    print("child", os.waitstatus_to_exitcode(status), flush=True)
"""


@contextlib.contextmanager
def running(text: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BEFORE + textwrap.dedent(text), *words]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def program(text: str, *words: str) -> str:
    """What it writes; on stderr it may write nothing."""
    with running(text, *words) as process:
        written, complaints = process.communicate(timeout=_LONGEST)
    assert (process.returncode, complaints) == (0, "")
    return written


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _LONGEST
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aihub-client"]


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_client_works_on_both_sides_of_a_fork(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    said = program(
        """
        hub = UnifiedAIClient(base)
        print(hub.chat_completion("hi", "tiny"), flush=True)
        def child():
            print(hub.chat_completion("hi", "tiny"), flush=True)
            hub.close()
        forked(child)
        forked(child)
        print(hub.chat_completion("hi", "tiny"))
        hub.close()
        """,
        acting.base,
    )
    assert said.splitlines() == ["blue", "blue", "child 0", "blue", "child 0", "blue"]
    assert len({asked.peer for asked in acting.asked}) == 3, "the parent's connection is its own, and is kept"


def test_a_connection_with_tls_survives_a_child_that_ends(tmp_path: Path) -> None:
    """What ends a connection with TLS properly says so to the server."""
    chain, key = certificate.ensure(tmp_path, "localhost", None)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(chain, key)
    with acting_hub(serving) as acting:
        acting.then(says(CHAT))
        said = program(
            """
            hub = UnifiedAIClient(base, ca_file=sys.argv[2])
            hub.chat_completion("hi", "tiny")
            def child():
                hub.close()
                globals().pop("hub")
                gc.collect()
            forked(child)
            print(hub.chat_completion("hi", "tiny"))
            hub.close()
            """,
            acting.base,
            str(chain),
        )
    assert said.splitlines() == ["child 0", "blue"]
    assert len({asked.peer for asked in acting.asked}) == 1


def test_a_stream_goes_on_where_it_was_begun_and_says_elsewhere_that_it_is_not_its_own(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    said = program(
        """
        hub = UnifiedAIClient(base)
        stream = hub.chat_stream("hi", "tiny")
        print(next(stream), flush=True)
        def child():
            try:
                next(stream)
            except Closed as error:
                print(error, flush=True)
            stream.close()
        forked(child)
        print(next(stream))
        hub.close()
        """,
        acting.base,
    )
    first, told, child, last = said.splitlines()
    assert (first, child, last) == ("x", "child 0", "x")
    assert "begun before a fork" in told


def test_leaving_a_stream_ends_it_at_the_service_although_a_child_lives_on(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    text = """
        hub = UnifiedAIClient(base)
        stream = hub.chat_stream("hi", "tiny")
        next(stream)
        number = os.fork()
        if number == 0:
            signal.alarm(15)
            sys.stdin.read()
            os._exit(0)
        stream.close()
        print("left", flush=True)
        os.waitpid(number, 0)
        """
    with running(text, acting.base) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "left\n"
        assert acting.left.wait(8), "the child has a copy of the connection"
        process.communicate(timeout=_LONGEST)


def test_a_fork_while_other_threads_are_in_calls_harms_neither_side(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    said = program(
        """
        hub = UnifiedAIClient(base)
        ending, told = threading.Event(), []
        def ask():
            while not ending.is_set():
                told.append(hub.chat_completion("hi", "tiny").text)
        asking = [threading.Thread(target=ask) for _ in range(4)]
        for one in asking:
            one.start()
        # A fork in the midst of an import or of a lookup of names is not safe in any program.
        while len(told) < 100:
            time.sleep(0.01)
        for _ in range(10):
            forked(lambda: print(hub.chat_completion("hi", "tiny"), flush=True))
        ending.set()
        for one in asking:
            one.join()
        hub.close()
        print(set(told))
        """,
        acting.base,
    )
    assert said.splitlines() == ["blue", "child 0"] * 10 + ["{'blue'}"]


def test_the_awaiting_client_works_on_both_sides_of_a_fork_too(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    said = program(
        """
        hub = AsyncUnifiedAIClient(base)
        async def ask():
            print((await hub.chat_completion("hi", "tiny")).text, flush=True)
        async def child():
            async with hub:
                await ask()
        async def main():
            await ask()
            number = os.fork()
            if number == 0:
                os._exit(0)
            os.waitpid(number, 0)
            await ask()
            await hub.close()
        asyncio.run(main())
        forked(lambda: asyncio.run(child()))
        """,
        acting.base,
    )
    assert said.splitlines() == ["blue", "blue", "blue", "child 0"]


# -- loops -------------------------------------------------------------------------------------------------------------


def test_the_awaiting_client_may_be_used_by_one_loop_after_another(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    said = program(
        """
        hub = AsyncUnifiedAIClient(base)
        async def ask():
            return (await hub.chat_completion("hi", "tiny")).text
        async def last():
            async with hub:
                return await ask()
        print(asyncio.run(ask()), asyncio.run(ask()), asyncio.run(last()))
        """,
        acting.base,
    )
    assert said == "blue blue blue\n"


def test_connections_of_a_loop_that_is_over_are_closed_by_the_next(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    text = """
        hub = AsyncUnifiedAIClient(base)
        kept = []
        async def begin():
            kept.append(await hub._transport._connections.session())
            kept.append(await kept[0].post(base + "/x"))
        async def other():
            await hub._transport._connections.session()
            await asyncio.to_thread(sys.stdin.read)
        asyncio.run(begin())
        asyncio.run(other())
        """
    with running(text, acting.base) as process:
        assert acting.left.wait(8)
        process.communicate(timeout=_LONGEST)


def test_the_awaiting_client_may_be_used_by_two_loops_at_once(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    client = AsyncUnifiedAIClient(acting.base)
    both = threading.Barrier(2)

    def work() -> str:
        async def ask() -> str:
            async with client:
                told = ""
                for _ in range(20):
                    told = (await client.chat_completion("hi", "tiny")).text
                    await asyncio.to_thread(both.wait)
                return told

        return asyncio.run(ask())

    with ThreadPoolExecutor(2) as pool:
        assert [future.result(_LONGEST) for future in [pool.submit(work), pool.submit(work)]] == ["blue", "blue"]


def test_several_calls_at_once_may_follow_several_loops_that_are_over(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    said = program(
        """
        hub = AsyncUnifiedAIClient(base)
        loops = [asyncio.new_event_loop() for _ in range(3)]
        for loop in loops:
            loop.run_until_complete(hub.chat_completion("hi", "tiny"))
        for loop in loops:
            loop.close()
        async def ask():
            async with hub:
                return await asyncio.gather(*(hub.chat_completion("hi", "tiny") for _ in range(5)))
        print(*asyncio.run(ask()))
        """,
        acting.base,
    )
    assert said == "blue blue blue blue blue\n"


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_whose_client_was_closed_says_so_each_time(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    client = UnifiedAIClient(acting.base)
    stream = client.chat_stream("hi", "tiny")
    assert next(stream) == "x"
    client.close()
    assert acting.left.wait(10)
    for _ in range(2):
        with pytest.raises(Closed, match="its client was closed"):
            next(stream)
    stream.close()
    assert issubclass(Closed, HubError)
    assert not threads()


def test_a_stream_that_has_not_begun_begins_after_a_close_like_any_call(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    with UnifiedAIClient(acting.base) as client:
        stream = client.chat_stream("hi", "tiny")
        client.close()
        assert next(stream) == "x"


async def test_an_awaited_stream_whose_client_was_closed_says_so_and_is_over(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    client = AsyncUnifiedAIClient(acting.base)
    stream = client.chat_stream("hi", "tiny")
    assert await anext(stream) == "x"
    await client.close()
    with pytest.raises(Closed, match="the client was closed meanwhile"):
        async for _ in stream:
            pass
    assert [piece async for piece in stream] == []


async def test_a_call_whose_awaiting_client_is_closed_says_so(acting: ActingHub) -> None:
    acting.then(falls_silent)
    client = AsyncUnifiedAIClient(acting.base)
    asking = asyncio.ensure_future(client.chat_completion("hi", "tiny"))
    await asyncio.to_thread(until, lambda: bool(acting.asked))
    await client.close()
    with pytest.raises(Closed):
        await asking


async def test_calls_that_wait_for_a_connection_are_told_of_the_close_too(acting: ActingHub) -> None:
    acting.then(falls_silent)
    client = AsyncUnifiedAIClient(acting.base)
    asking = [asyncio.ensure_future(client.chat_completion("hi", "tiny")) for _ in range(110)]
    await asyncio.to_thread(until, lambda: len(acting.asked) == 100)
    await client.close()
    assert {type(one) for one in await asyncio.gather(*asking, return_exceptions=True)} == {Closed}


async def test_a_call_that_is_cancelled_is_cancelled_and_nothing_else(acting: ActingHub) -> None:
    acting.then(falls_silent)
    async with AsyncUnifiedAIClient(acting.base) as client:
        asking = asyncio.ensure_future(client.chat_completion("hi", "tiny"))
        await asyncio.to_thread(until, lambda: bool(acting.asked))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


def test_a_close_ends_the_calls_of_other_threads_and_tells_them(acting: ActingHub) -> None:
    acting.then(falls_silent)
    client = UnifiedAIClient(acting.base)
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(client.chat_completion, "hi", "tiny") for _ in range(4)]
        until(lambda: len(acting.asked) == 4)
        client.close()
        assert all(isinstance(one.exception(_LONGEST), Closed) for one in asking)
    assert not threads()


def test_calls_and_closes_of_many_threads_end_one_way_or_the_other(acting: ActingHub) -> None:
    acting.then(says(CHAT))
    client = UnifiedAIClient(acting.base)

    def ask() -> int:
        good = 0
        for _ in range(40):
            with contextlib.suppress(Closed):
                good += client.chat_completion("hi", "tiny").text == "blue"
        return good

    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        while not all(one.done() for one in asking):
            client.close()
        assert all(one.result() >= 0 for one in asking)
    client.close()
    assert not threads()


def test_another_thread_may_close_a_stream_that_is_silent(acting: ActingHub) -> None:
    async def begins_and_falls_silent(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(f"data: {delta('x')}\n\n".encode())
        return await falls_silent(request)

    acting.then(begins_and_falls_silent)
    with UnifiedAIClient(acting.base) as client, ThreadPoolExecutor(1) as pool:
        stream = client.chat_stream("hi", "tiny")
        assert next(stream) == "x"
        asking = pool.submit(next, stream)
        until(lambda: stream._items._awaiting is not None)
        stream.close()
        assert isinstance(asking.exception(_LONGEST), Closed)
        assert acting.left.wait(10)
        assert next(stream, None) is None


def test_threads_may_share_a_stream_and_each_item_goes_to_one_of_them(acting: ActingHub) -> None:
    async def numbers(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        for number in range(200):
            await reply.write(f"data: {delta(f'{number} ')}\n\n".encode())
        await reply.write(b"data: [DONE]\n\n")
        return reply

    acting.then(numbers)
    with UnifiedAIClient(acting.base) as client, ThreadPoolExecutor(4) as pool:
        stream = client.chat_stream("hi", "tiny")
        shares = [future.result(_LONGEST) for future in [pool.submit(list, stream) for _ in range(4)]]
    assert sorted(int(piece) for share in shares for piece in share) == list(range(200))


def test_a_stream_that_nobody_finishes_ends_at_the_service_when_it_is_dropped(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    with UnifiedAIClient(acting.base) as client:
        stream = client.chat_stream("hi", "tiny")
        next(stream)
        del stream
        assert acting.left.wait(10)


def test_a_stream_in_a_circle_is_collected_by_whichever_thread_without_a_standstill(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    with UnifiedAIClient(acting.base) as client:
        stream = client.chat_stream("hi", "tiny")
        next(stream)
        circle = [stream]
        circle.append(circle)  # type: ignore[arg-type]
        del stream, circle

        async def collect() -> int:
            return gc.collect()

        client._loop.run(collect())
        assert acting.left.wait(10)


def test_a_program_may_end_with_a_stream_under_way(acting: ActingHub) -> None:
    acting.then(for_ever(delta("x")))
    said = program(
        "hub = UnifiedAIClient(base)\nstream = hub.chat_stream('hi', 'tiny')\nprint(next(stream))", acting.base
    )
    assert said == "x\n"
    assert acting.left.wait(10)


@pytest.mark.parametrize("call", ["hub.chat_completion('hi', 'tiny')", "list(hub.chat_stream('hi', 'tiny'))"])
def test_ctrl_c_ends_a_call_or_a_stream_and_the_client_is_as_good_as_before(acting: ActingHub, call: str) -> None:
    acting.then(for_ever(json.dumps({"choices": []})), says(CHAT))
    text = f"""
        hub = UnifiedAIClient(base)
        try:
            {call}
        except KeyboardInterrupt as error:
            print("interrupted", error.__context__)
        print(hub.chat_completion("hi", "tiny"))
        hub.close()
        """
    with running(text, acting.base) as process:
        until(lambda: bool(acting.asked))
        process.send_signal(signal.SIGINT)
        written, complaints = process.communicate(timeout=_LONGEST)
    assert (process.returncode, complaints) == (0, "")
    assert written.splitlines() == ["interrupted None", "blue"]
    assert acting.left.wait(10)


def test_a_stream_that_is_closed_before_it_began_asks_for_nothing(acting: ActingHub) -> None:
    acting.then(for_ever(delta("a")))
    with UnifiedAIClient(acting.base) as client:
        stream = client.chat_stream("why?", "m")
        stream.close()
        assert next(stream, None) is None
    assert acting.asked == []
