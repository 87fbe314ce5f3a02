"""A server's settings from one process to another, over a pipe: some are secret, and a command line is not."""

import json
from dataclasses import fields

from qdts.errors import ConfigError
from qdts.service.config import ServerConfig, load_config, setting_types


def pack_config(config: ServerConfig) -> bytes:
    """All settings, as one line."""
    sections = {part.name: getattr(config, part.name) for part in fields(config)}
    values = {name: getattr(sections[name.split(".")[0]], name.split(".")[1]) for name in setting_types()}
    return json.dumps(values).encode() + b"\n"


def unpack_config(line: bytes) -> ServerConfig:
    """What pack_config was given. ConfigError where the line is none, or a setting is out of bounds."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ConfigError("standard input: must hold the settings, as one line") from error
    return load_config(None, {}, values)
