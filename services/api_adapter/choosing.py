"""Which model embeds for a collection, and which vectors fit into it. Pure rules, each refusal with its remedy.

A collection belongs to the model that it was made with: vectors of two models have nothing to do with each other, and
no database would notice.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.api_adapter.vectors import Collection, Vector
from services.web_service.problems import Problem, Refused


def model_for(collection: Collection | None, asked: str | None, default: str) -> str:
    """The model that embeds texts for it; None is a collection that is yet to be made. Raises Refused."""
    if collection is None:
        return asked or default
    known = collection.embedding
    if known is None:
        if asked is None:
            raise Refused(
                Problem(
                    409,
                    "unknown-embedding",
                    f"nobody has said which model the vectors of {collection.name} were made with",
                    "model",
                    remedy="name that model, or send a vector of your own instead of a text",
                )
            )
        return asked
    if asked is not None and bare(asked) != bare(known):
        raise Refused(
            Problem(
                409,
                "other-embedding",
                f"{collection.name} was made with {known}; vectors of {asked} cannot be compared with its own",
                "model",
                asked,
                f"leave model out, or make a new collection for {asked}",
            )
        )
    return known


def bare(model: str) -> str:
    """Ollama's `name` is its `name:latest`."""
    return model.removesuffix(":latest")


def dimension_of(vectors: Sequence[tuple[str, Vector]], collection: Collection | None) -> int:
    """Numbers in each of these vectors, which come with the field they stand for. Raises Refused where they differ
    among themselves or from the collection's."""
    wanted = collection.dimension if collection else None
    for field, vector in vectors:
        wanted = wanted if wanted is not None else len(vector)
        if len(vector) != wanted:
            whose = f"vectors of {collection.name} have" if collection and collection.dimension else "the first one has"
            raise Refused(
                Problem(
                    409,
                    "other-dimension",
                    f"{field}: {len(vector)} numbers, but {whose} {wanted}",
                    field,
                    remedy=f"send vectors of {wanted} numbers, made with the same model",
                )
            )
    assert wanted is not None
    return wanted
