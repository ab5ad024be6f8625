"""One real piece of work for each local service, asked at its own origin: what a health path answering does not show.

Data alone; `services_table` asks. A new service gets a line here, which says in few words what was done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    path: str
    expect: str
    """Stands in the body of a 2xx."""
    content: Any = None
    """JSON of a POST; None for a GET."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    what: str
    asks: tuple[Ask, ...]


_CHROMA = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
_KEY = {"Authorization": "Bearer sk-local"}
_ACCOUNT = {"name": "A", "email": "a@example.com", "password": "a-long-Password-1"}

USES: Mapping[str, Use] = {
    "hello": Use("an echo", (Ask("/echo", "ping", "ping"),)),
    "api-adapter": Use("the models of all listed", (Ask("/models", '"services"'), Ask("/healthz", '"ok"'))),
    "langchain": Use("its chains listed", (Ask("/chains", '"summarize"'),)),
    "chroma": Use("a collection made", (Ask(_CHROMA, '"id"', {"name": "round", "get_or_create": True}),)),
    "label-studio": Use("its login page", (Ask("/user/login/", "csrfmiddlewaretoken"),)),
    "datasette": Use("a query in SQL", (Ask("/data.json?sql=select+6*7+as+answer&_shape=array", '"answer": 42'),)),
    "jupyter": Use("its kernels listed", (Ask("/api/kernelspecs", '"python3"'), Ask("/lab", "JupyterLab"))),
    "marimo": Use("its page", (Ask("/", "<title>marimo"),)),
    "streamlit": Use("its page", (Ask("/", "<title>Streamlit"),)),
    "mcpo": Use("a tool called", (Ask("/get_current_time", "Europe/Berlin", {"timezone": "Europe/Berlin"}),)),
    "llama": Use("a chat completed", (Ask("/v1/chat/completions", '"completion_tokens":4', _HELLO),)),
    "litellm": Use("its models listed", (Ask("/v1/models", '"llama"', headers=_KEY),)),
    "open-webui": Use("an account made", (Ask("/api/v1/auths/signup", '"token"', _ACCOUNT),)),
    "mlflow": Use(
        "an experiment made",
        (Ask("/api/2.0/mlflow/experiments/create", '"experiment_id"', {"name": "round"}), Ask("/", "MLflow")),
    ),
    "phoenix": Use("its projects queried", (Ask("/graphql", '"name"', {"query": "{projects{edges{node{name}}}}"}),)),
    "tensorboard": Use("its plugins listed", (Ask("/data/plugins_listing", '"scalars"'),)),
    "optuna": Use(
        "a study made", (Ask("/api/studies", '"study_summary"', {"study_name": "round", "directions": ["minimize"]}),)
    ),
    "langflow": Use("signed in", (Ask("/api/v1/auto_login", '"access_token"'),)),
    "letta": Use("its agents listed", (Ask("/v1/agents/", "["),)),
    "autogen": Use("its version told", (Ask("/api/version", '"version"'), Ask("/", "AutoGen"))),
    "node-red": Use("its flows read", (Ask("/flows", "["), Ask("/", "<title>Node-RED"))),
    "prefect": Use("a flow made", (Ask("/api/flows/", '"id"', {"name": "round"}),)),
    "dagster": Use("its version queried", (Ask("/graphql", '"version"', {"query": "{version}"}),)),
}
