"""Whether the deploy has to give the scaler a token, read off what the scaler is told."""

from __future__ import annotations

from services.deploy.consul_access import MANAGEMENT, TOKEN, ConsulAccess, is_token, of_scaler

MADE = {TOKEN: "5d2a9f0c-6b1e-4c6e-9d53-0d9b3f7a1c11", MANAGEMENT: "all"}


def test_the_token_of_env_is_given_where_the_scaler_looks_for_consul() -> None:
    environment = {"AIHUB_CONSUL": "http://127.0.0.1:8500/", "AIHUB_CONSUL_TOKEN": MADE[TOKEN]}
    assert of_scaler(environment, MADE) == ConsulAccess("http://127.0.0.1:8500", "all", MADE[TOKEN])


def test_a_token_that_somebody_else_has_given_the_scaler_is_left_alone() -> None:
    assert of_scaler({"AIHUB_CONSUL": "http://c:8500", "AIHUB_CONSUL_TOKEN": "theirs"}, MADE) is None
    assert of_scaler({"AIHUB_CONSUL": "http://c:8500", "AIHUB_CONSUL_TOKEN": ""}, {}) is None
    assert of_scaler({"AIHUB_CONSUL_TOKEN": MADE[TOKEN]}, MADE) is None


def test_only_a_uuid_is_a_token_for_consul() -> None:
    assert is_token(MADE[TOKEN])
    assert is_token(MADE[TOKEN].upper())
    for text in ("", "mine", MADE[TOKEN].replace("-", ""), f"{{{MADE[TOKEN]}}}", MADE[TOKEN] + "0"):
        assert not is_token(text), text
