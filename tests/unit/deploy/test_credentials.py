"""The `.env` of a deployment: made once, never changed, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.deploy.consul_access import TOKEN, is_token
from services.deploy.credentials import EnvFileFault, check_forms, complete, is_credential, read


def test_credentials_are_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert complete(file, ["HUB_REDIS_PASSWORD", "HUB_CONSUL_TOKEN"], {}) == ["HUB_REDIS_PASSWORD", "HUB_CONSUL_TOKEN"]
    made = read(file)
    assert len({*made.values()}) == 2
    assert all(len(value) == 48 for value in made.values())
    assert complete(file, ["HUB_REDIS_PASSWORD", "HUB_CONSUL_TOKEN"], {}) == []
    assert read(file) == made
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_the_user_wrote_stays_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    text = "# mine\nHUB_REDIS_PASSWORD='a b'   # chosen by hand\nOPENAI_API_KEY=\nno_newline=1"
    file.write_text(text)
    assert complete(file, ["HUB_REDIS_PASSWORD", "HUB_N8N_KEY", "OPENAI_API_KEY"], {"A": "x y"}) == ["HUB_N8N_KEY"]
    assert file.read_text().startswith(text + "\n")
    found = read(file)
    assert (found["HUB_REDIS_PASSWORD"], found["A"], found["OPENAI_API_KEY"]) == ("a b", "x y", "")


def test_settings_follow_the_last_deploy_each_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HUB_ENV=dev\n# mine\nexport HUB_DATA=/old\nHUB_TLS_CERT=/c\nB=2\nHUB_ENV=twice\n")
    complete(
        file, [], {"HUB_ENV": "prod", "HUB_DATA": "/new folder", "HUB_TLS_CERT": None, "HUB_DOMAIN": "a.b", "C": None}
    )
    assert file.read_text() == "HUB_ENV=prod\n# mine\nHUB_DATA='/new folder'\nB=2\nHUB_DOMAIN=a.b\n"
    before = file.stat().st_ino
    complete(file, [], {"HUB_ENV": "prod", "HUB_TLS_CERT": None})
    assert file.stat().st_ino == before


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HUB_A_KEY=1\n")
    file.chmod(0o644)
    complete(file, ["HUB_A_KEY"], {})
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_line_that_cannot_be_read_is_told_with_its_number_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('GOOD=1\nBAD="never closed\n')
    with pytest.raises(EnvFileFault, match=r"\.env:2: "):
        complete(file, ["HUB_A_KEY"], {})
    assert file.read_text() == 'GOOD=1\nBAD="never closed\n'


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "HUB_DOMAIN", "HUB_PASSWORD", "POSTGRES_PASSWORD"])
def test_only_the_hubs_own_credentials_are_made_up(name: str) -> None:
    assert not is_credential(name)


def test_the_scalers_token_for_consul_is_of_the_form_that_consul_takes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    complete(file, [TOKEN], {})
    assert is_token(read(file)[TOKEN])
    check_forms(file)
    file.write_text(f"{TOKEN}=of-my-own\n")
    with pytest.raises(EnvFileFault, match=f"{TOKEN} is no UUID"):
        check_forms(file)
