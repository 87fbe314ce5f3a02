"""`qdts train`: one training run, described by a TOML file; a run that was cut short goes on."""

import argparse
import tomllib
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError, Unsupported


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("train", help="train a model (needs the [train] extra)")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the run as TOML")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train to the end."""
    from importlib.util import find_spec

    config = read_config(args.config)
    if find_spec("torch") is None:
        raise Unsupported("training needs torch: pip install 'qdts[train]'")
    from qdts.models.training.run import run_training

    run_training(config)
    return 0


def read_config(path: Path) -> Any:
    """The run a TOML file describes; ConfigError names the setting that is unknown or out of bounds."""
    from dataclasses import fields

    from qdts.models.training.config import TrainConfig

    settings = _read_toml(path)
    known = [field.name for field in fields(TrainConfig)]
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError(f"{path}: unknown setting {unknown[0]}; known: {', '.join(known)}")
    try:
        return TrainConfig(**{name: _as_setting(name, value) for name, value in settings.items()})
    except (TypeError, ValueError) as fault:
        raise ConfigError(f"{path}: {fault}") from fault


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}") from fault


def _as_setting(name: str, value: Any) -> Any:
    """TOML has no paths and no tuples."""
    if name == "data":
        return tuple(Path(item) for item in value)
    if name in ("out", "start_from"):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
