"""Settings that have travelled are the settings that were sent."""

import pytest

from qdts.errors import ConfigError
from qdts.service.config import ServerConfig, Value, load_config, setting_types
from qdts.service.processes.handover import pack_config, unpack_config


def test_defaults_arrive() -> None:
    assert unpack_config(pack_config(ServerConfig())) == ServerConfig()


def test_all_kinds_of_settings_arrive() -> None:
    settings: dict[str, Value] = {
        "engine.max_batch": 7,
        "cache.ttl_s": 0.1,
        "redis.password": "p\n\u00e9\"'",
        "metrics.enabled": False,
        "engine.precision": "fp32",
        "processes.fronts": 3,
    }
    config = load_config(None, {}, settings)
    line = pack_config(config)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert unpack_config(line) == config


def test_no_setting_is_left_out() -> None:
    assert all(f'"{name}"'.encode() in pack_config(ServerConfig()) for name in setting_types())


@pytest.mark.parametrize("line", [b"", b"\n", b"{", b"\xff"])
def test_no_settings_are_refused(line: bytes) -> None:
    with pytest.raises(ConfigError, match="standard input"):
        unpack_config(line)
