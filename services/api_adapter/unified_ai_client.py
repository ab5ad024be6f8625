"""The hub from Python: chat, chains, vectors, by one client.

    with UnifiedAIClient() as hub:
        print(hub.chat_completion("Why is the sky blue?", model="llama3.2"))

`AsyncUnifiedAIClient` awaits, `UnifiedAIClient` waits; they have the same methods. A call to a sleeping service wakes
it and is answered when it is ready. Chats go from here by the gateway straight to the service that has the model.
Needs aiohttp and nothing else. What can be raised stands in `client.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from services.api_adapter.client import calls
from services.api_adapter.client.errors import (
    BadReply,
    BadRequest,
    Closed,
    ConnectionLost,
    HubError,
    KeyRefused,
    NotAwake,
    NotFound,
    NotReached,
    Refused,
    ServiceFailed,
    TimedOut,
    TooMany,
)
from services.api_adapter.client.loop_thread import LoopThread, Stream
from services.api_adapter.client.transport import Transport
from services.api_adapter.client.values import ChainResult, Completion, Hit, Model

__all__ = [
    "AsyncUnifiedAIClient",
    "BadReply",
    "BadRequest",
    "ChainResult",
    "Closed",
    "Completion",
    "ConnectionLost",
    "Hit",
    "HubError",
    "KeyRefused",
    "Model",
    "NotAwake",
    "NotFound",
    "NotReached",
    "Refused",
    "ServiceFailed",
    "TimedOut",
    "TooMany",
    "UnifiedAIClient",
]

P = ParamSpec("P")
T = TypeVar("T")
Json = dict[str, Any]


class AsyncUnifiedAIClient:
    def __init__(
        self,
        base: str = "http://localhost:8000",
        key: str | None = None,
        *,
        timeout: float | None = None,
        connect_timeout: float = 5.0,
        wait: float | None = None,
        retries: int = 2,
        ca_file: str | None = None,
    ) -> None:
        """`base`: the hub's address. `key`: goes in the header `apikey`, which a hub in production asks for. `timeout`:
        seconds without a sign of life after which a call is given up; by default 60 more than a wake is waited for.
        `wait`: seconds that the hub shall hold a call while its service wakes (`X-Hub-Wait`). `retries`: how often a
        call that the hub has kept from its service is asked again, after the time it names. `ca_file`: certificates to
        trust besides the system's. Raises ValueError, OSError."""
        self._transport = Transport(
            base,
            key,
            timeout=timeout,
            connect_timeout=connect_timeout,
            wait=wait,
            retries=retries,
            ca_file=ca_file,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Idempotent; a call afterwards opens connections anew."""
        await self._transport.close()

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def chat_completion(
        self,
        /,
        prompt: str | Sequence[Json],
        model: str,
        *,
        service: str = "ollama",
        system: str | None = None,
        **options: Any,
    ) -> Completion:
        """`prompt`: a text, or messages in OpenAI's form. `options` go to the service as they are: `temperature`,
        `max_tokens`, `tools` …"""
        return await self._transport.ask(calls.chat(prompt, model, service, system, options))

    async def chat_stream(
        self,
        /,
        prompt: str | Sequence[Json],
        model: str,
        *,
        service: str = "ollama",
        system: str | None = None,
        **options: Any,
    ) -> AsyncGenerator[str, None]:
        """The answer's text, piece by piece. Leaving it early ends the answer at the service too."""
        stream = self._transport.stream(calls.chat_stream(prompt, model, service, system, options))
        async with aclosing(stream):
            async for piece in stream:
                yield piece

    async def embed(
        self, texts: str | Sequence[str], model: str = "nomic-embed-text", *, service: str = "ollama"
    ) -> list[list[float]]:
        """A vector for each text, in order."""
        return await self._transport.ask(calls.embed(texts, model, service))

    async def models(self) -> list[Model]:
        """Every model that is known, and how its service stands. Wakes none of them."""
        return await self._transport.ask(calls.models())

    async def health(self, service: str | None = None) -> Json:
        """State of every service, or more on one. Wakes nothing."""
        return await self._transport.ask(calls.health(service))

    async def execute_chain(
        self, /, prompt: str, chain_type: str = "simple", *, model: str | None = None, **inputs: Any
    ) -> ChainResult:
        """`inputs`: what the chain takes besides, as `collection` for `rag`; GET /api/langchain/chains tells."""
        return await self._transport.ask(calls.chain(prompt, chain_type, model, inputs))

    async def chain_stream(
        self, /, prompt: str, chain_type: str = "simple", *, model: str | None = None, **inputs: Any
    ) -> AsyncGenerator[str, None]:
        """The output's text, piece by piece. Leaving it early ends the chain too."""
        stream = self._transport.stream(calls.chain_stream(prompt, chain_type, model, inputs))
        async with aclosing(stream):
            async for piece in stream:
                yield piece

    async def vector_search(
        self,
        query: str | Sequence[float],
        collection: str,
        k: int = 5,
        *,
        store: str | None = None,
        filter: Json | None = None,
        model: str | None = None,
    ) -> list[Hit]:
        """The nearest first. `query`: a text, or its vector. `filter`: on metadata, `{"year": {"$gte": 2020}}`."""
        return await self._transport.ask(
            calls.search(query, collection, k, {"store": store, "filter": filter, "model": model})
        )

    async def vector_upsert(
        self,
        items: Sequence[str | Json],
        collection: str,
        *,
        store: str | None = None,
        model: str | None = None,
    ) -> list[str]:
        """Keep texts, or objects with `text` and, if wanted, `id`, `vector`, `metadata`. Returns their ids. The same
        item twice is there once."""
        return await self._transport.ask(calls.upsert(items, collection, {"store": store, "model": model}))

    async def vector_collections(self, *, store: str | None = None) -> list[Json]:
        return await self._transport.ask(calls.collections(store))


def _waiting(
    method: Callable[Concatenate[AsyncUnifiedAIClient, P], Awaitable[T]],
) -> Callable[Concatenate[UnifiedAIClient, P], T]:
    @wraps(method)
    def call(self: UnifiedAIClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def awaited() -> T:
            return await method(self._client, *args, **kwargs)

        return self._loop.run(awaited())

    return call


def _one_by_one(
    method: Callable[Concatenate[AsyncUnifiedAIClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[UnifiedAIClient, P], Stream[T]]:
    @wraps(method)
    def call(self: UnifiedAIClient, /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return Stream(self._loop, method(self._client, *args, **kwargs))

    return call


class UnifiedAIClient:
    """The same calls for code that waits. Works within a running event loop too, as in a notebook, and may be used by
    several threads at once."""

    def __init__(self, base: str = "http://localhost:8000", key: str | None = None, **options: Any) -> None:
        """As AsyncUnifiedAIClient."""
        self._client = AsyncUnifiedAIClient(base, key, **options)
        self._loop = LoopThread()

    def __repr__(self) -> str:
        return repr(self._client).removeprefix("Async")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent; a call afterwards opens connections anew."""
        self._loop.close(self._client.close)

    chat_completion = _waiting(AsyncUnifiedAIClient.chat_completion)
    chat_stream = _one_by_one(AsyncUnifiedAIClient.chat_stream)
    embed = _waiting(AsyncUnifiedAIClient.embed)
    models = _waiting(AsyncUnifiedAIClient.models)
    health = _waiting(AsyncUnifiedAIClient.health)
    execute_chain = _waiting(AsyncUnifiedAIClient.execute_chain)
    chain_stream = _one_by_one(AsyncUnifiedAIClient.chain_stream)
    vector_search = _waiting(AsyncUnifiedAIClient.vector_search)
    vector_upsert = _waiting(AsyncUnifiedAIClient.vector_upsert)
    vector_collections = _waiting(AsyncUnifiedAIClient.vector_collections)
