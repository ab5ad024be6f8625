"""What chains stand on: models by Ollama, vectors by the adapter."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import aiohttp
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama

from services.langchain.chain import Inputs
from services.langchain.settings import Settings
from services.web_service.answers import UpstreamFailed, answered
from services.web_service.problems import Problem, Refused

_KEPT = 16
"""Models whose clients are kept: each has connections of its own."""


class AdapterVectors:
    def __init__(self, base: str, patience: float) -> None:
        self.session: aiohttp.ClientSession | None = None
        """There before the first search."""
        self._base = base
        self._timeout = aiohttp.ClientTimeout(total=patience)

    async def search(self, query: str, collection: str, k: int, store: str | None) -> list[Mapping[str, Any]]:
        """Raises Refused, with the adapter's own words, and UpstreamFailed."""
        assert self.session is not None
        body = {"query": query, "collection": collection, "k": k, **({"store": store} if store else {})}
        try:
            async with self.session.post(f"{self._base}/vectors/search", json=body, timeout=self._timeout) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UpstreamFailed("api-adapter") from error
        if answer.status != 200:
            headers = {key.lower(): value for key, value in answer.headers.items()}
            raise Refused(_passed_on(answer.status, headers, content.decode(errors="replace")))
        found: list[Mapping[str, Any]] = json.loads(content)["results"]
        return found


class HubGround:
    def __init__(self, settings: Settings) -> None:
        self.vectors = AdapterVectors(settings.adapter, settings.patience)
        self._settings = settings
        self._models: OrderedDict[tuple[object, ...], BaseChatModel] = OrderedDict()

    def model(self, inputs: Inputs) -> BaseChatModel:
        key = (inputs.model or self._settings.model, inputs.temperature, inputs.max_tokens)
        if key not in self._models:
            self._models[key] = self._made(*key)
            if len(self._models) > _KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _made(self, model: str, temperature: float | None, max_tokens: int | None) -> BaseChatModel:
        settings = self._settings
        return ChatOllama(
            model=model,
            temperature=temperature,
            num_predict=max_tokens,
            base_url=settings.ollama,
            client_kwargs={"timeout": settings.patience},
        )


def _passed_on(status: int, headers: Mapping[str, str], body: str) -> Problem:
    """A problem of the adapter's stays what it is: its field is a field here too."""
    try:
        document = json.loads(body)
        code = str(document["type"]).rpartition(":")[2]
        return Problem(
            status,
            code,
            str(document["detail"]),
            document.get("field"),
            document.get("value"),
            document.get("remedy"),
            document.get("retry_after_s"),
            document.get("service"),
        )
    except (ValueError, KeyError, TypeError):
        return answered(status, headers, body, "api-adapter")
