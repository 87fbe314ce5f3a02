"""Addresses without credentials, secrets from files, and nothing secret in what is printed."""

from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.service.config import load_config
from qdts.service.redis.config import RedisConfig

SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://redis:6379", "must begin with redis://"),
        ("redis://joe:hunter2@redis:6379/0", "holds credentials"),
        ("redis://redis:6379/0?password=hunter2", "holds options"),
    ],
)
def test_a_bad_url_is_refused_without_being_quoted(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match="redis.url") as caught:
        RedisConfig(url=url)
    assert problem in str(caught.value) and "hunter2" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    shown = repr(RedisConfig(url="redis://redis:6379", password="hunter2", secret=SECRET))
    assert "hunter2" not in shown and SECRET not in shown


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    config = RedisConfig(password_file=str(tmp_path / "password"), secret_file=str(tmp_path / "secret"))
    assert (config.read_password(), config.read_secret()) == ("hunter2", SECRET.encode())


def test_secrets_come_from_the_environment() -> None:
    env = {"QDTS_REDIS__URL": "rediss://redis:6380/1", "QDTS_REDIS__PASSWORD": "hunter2"}
    config = load_config(None, env).redis
    assert (config.url, config.read_password(), config.uses_tls) == ("rediss://redis:6380/1", "hunter2", True)


def test_no_secret_is_too_short_a_secret() -> None:
    for config in (RedisConfig(), RedisConfig(secret=SECRET[1:])):
        with pytest.raises(ConfigError, match="redis.secret_file: with redis.url a secret of at least 16 bytes"):
            config.read_secret()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="redis.password_file: cannot read .*missing: FileNotFoundError"):
        RedisConfig(password_file=str(tmp_path / "missing")).read_password()


def test_one_source_for_each_secret() -> None:
    with pytest.raises(ConfigError, match="redis.password and redis.password_file: set one of them"):
        RedisConfig(password="a", password_file="b")


def test_an_error_quotes_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "qdts.toml"
    file.write_text("[redis]\npassword = 12345\n")
    with pytest.raises(ConfigError, match=r"redis.password = \(not shown\): must be str") as caught:
        load_config(file, {})
    assert "12345" not in str(caught.value)
