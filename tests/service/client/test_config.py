"""The client's settings: bounds, TLS files, the token."""

from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError
from qdts.service.client import Client, ClientConfig
from qdts.service.client.config import Tls


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 1e9, float("nan")])
def test_refuses_a_timeout_out_of_bounds(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        ClientConfig(timeout_s=timeout_s)


def test_refuses_a_timeout_out_of_bounds_per_call(script: Any, url: str) -> None:
    with Client(url) as client, pytest.raises(ConfigError, match="timeout_s: 0"):
        client.summarize("q", "d", timeout_s=0)
    assert script.requests == []


def test_a_token_needs_tls() -> None:
    with pytest.raises(ConfigError, match="token: needs tls"):
        ClientConfig(token="secret")


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(ClientConfig(token="secret", tls=Tls()))


def test_a_token_goes_with_every_call_as_bearer() -> None:
    assert ClientConfig(token="secret", tls=Tls()).metadata == (("authorization", "Bearer secret"),)


def test_other_metadata_goes_with_every_call_too() -> None:
    config = ClientConfig(token="secret", tls=Tls(), extra_metadata=(("x-qdts-tenant", "search"),))
    assert config.metadata == (("authorization", "Bearer secret"), ("x-qdts-tenant", "search"))


@pytest.mark.parametrize("key", ["", "Upper", "a b", "grpc-timeout", "x-bin", "x\n"])
def test_a_key_that_grpc_would_refuse_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match="metadata .*: a key is of"):
        ClientConfig(extra_metadata=((key, "value"),))


@pytest.mark.parametrize("value", ["tab\t", "né", "two\nlines"])
def test_a_value_that_grpc_would_refuse_is_not_quoted(value: str) -> None:
    with pytest.raises(ConfigError, match="metadata x-key: its value must be printable ASCII") as caught:
        ClientConfig(extra_metadata=(("x-key", value),))
    assert value not in str(caught.value)
    with pytest.raises(ConfigError, match="metadata authorization"):
        ClientConfig(token=value, tls=Tls())


def test_the_bearer_token_is_not_given_twice() -> None:
    with pytest.raises(ConfigError, match="authorization is the token's"):
        ClientConfig(extra_metadata=(("authorization", "Bearer x"),))


def test_mutual_tls_needs_both_files() -> None:
    with pytest.raises(ConfigError, match="go together"):
        Tls(key_file=Path("k.pem"))


def test_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing.pem"):
        Client("localhost:1", ClientConfig(tls=Tls(ca_file=tmp_path / "nothing.pem")))
