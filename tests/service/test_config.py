"""One tree, four sources, and errors that name the setting."""

from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.service.config import ServerConfig, load_config, setting_types


def test_defaults() -> None:
    assert load_config(None, {}) == ServerConfig()


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "qdts.toml"
    file.write_text('[server]\nport = 1\nhost = "::1"\n[engine]\nmax_batch = 2\n[cache]\nttl_s = 5\n')
    env = {"QDTS_SERVER__PORT": "2", "QDTS_ENGINE__MAX_BATCH": "3", "HOME": "/"}
    config = load_config(file, env, {"server.port": 3, "engine.model": None})
    assert (config.server.port, config.server.host) == (3, "::1")
    assert (config.engine.max_batch, config.cache.ttl_s) == (3, 5.0)


def test_file_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "qdts.toml"
    file.write_text("[limits]\nmax_words = 50\n")
    assert load_config(None, {"QDTS_CONFIG": str(file)}).limits.max_words == 50


@pytest.mark.parametrize("name", ["QDTS_SERVER_PORT", "QDTS_SERVICE_HOST", "QDTS_PORT_50051_TCP"])
def test_variables_that_kubernetes_injects_are_no_settings(name: str) -> None:
    assert load_config(None, {name: "tcp://10.0.0.1:50051"}) == ServerConfig()


@pytest.mark.parametrize(
    ("name", "near"),
    [("engine.max_bach", "engine.max_batch"), ("port", "server.port"), ("engin.model", "engine.model")],
)
def test_unknown_settings_name_the_nearest_known(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=near) as caught:
        load_config(None, {}, {name: 1})
    assert name in str(caught.value)


def test_unknown_setting_in_the_environment() -> None:
    with pytest.raises(ConfigError, match=r"server\.prot; nearest known: server\.port"):
        load_config(None, {"QDTS_SERVER__PROT": "1"})


def test_unknown_setting_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "qdts.toml"
    file.write_text("[metrics]\nprot = 1\n")
    with pytest.raises(ConfigError, match=r"metrics\.prot"):
        load_config(file, {})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("server.port", 65536, "between 0 and 65535"),
        ("server.port", "high", "must be int"),
        ("server.port", 1.5, "whole number"),
        ("server.port", True, "must be int"),
        ("server.host", 5, "must be str"),
        ("metrics.enabled", "maybe", "true or false"),
        ("engine.runtime", "tensorflow", "onnx, eager"),
        ("deadlines.default_ms", 70_000, "between 1 and 60000"),
        ("limits.default_words", 200, "between 5 and 100"),
        ("cache.ttl_s", "nan", "between"),
        ("engine.max_queue", 0, "between 1"),
        ("engine.max_encode_tokens", 0, "between 1"),
    ],
)
def test_bad_values_name_setting_value_and_bound(name: str, value: str | float, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, {name: value})
    assert name in str(caught.value) and str(value) in str(caught.value) and says in str(caught.value)


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("0", False), ("FALSE", False)])
def test_booleans_from_text(text: str, expected: bool) -> None:
    assert load_config(None, {"QDTS_METRICS__ENABLED": text}).metrics.enabled is expected


@pytest.mark.parametrize("content", ["[server", "port = 1\n", "\xff\xfe"])
def test_files_that_are_no_configuration(tmp_path: Path, content: str) -> None:
    file = tmp_path / "qdts.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match="qdts.toml"):
        load_config(file, {})


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.toml", {})


def test_every_setting_can_be_set_from_the_environment() -> None:
    defaults = ServerConfig()
    env = {}
    for name in setting_types():
        section, key = name.split(".")
        env[f"QDTS_{section.upper()}__{key.upper()}"] = str(getattr(getattr(defaults, section), key))
    assert load_config(None, env) == defaults


def test_canaries_are_of_servers_of_one_process_and_operators_of_all() -> None:
    assert load_config(None, {}, {"admin.port": 1, "admin.token_file": "x", "processes.fronts": 2}).admin.is_on
    assert load_config(None, {}, {"canary.model": "new"})
    with pytest.raises(ConfigError, match=r"canary\.model: .*processes\.fronts = 0; .* a deployment of its own"):
        load_config(None, {}, {"canary.model": "new", "processes.fronts": 2})
