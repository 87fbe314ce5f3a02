"""`qdts train STAGE`: one stage of a training run, as a TOML file says; one that was cut short goes on."""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from qdts.errors import ConfigError, Unsupported

# Here so that `qdts --help` needs no torch; a test compares them with models/training/stages.py.
STAGE_NAMES = (
    *("tokenizer", "lexicon", "shards", "fold", "features", "pretrain", "teach", "prepare", "similarity"),
    *("fit", "distil", "sft", "dpo", "average", "export", "quantize", "explicit", "engines", "release"),
)


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("train", help="train a model (needs the [train] extra)")
    parser.add_argument("stage", choices=STAGE_NAMES, help="what to do")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the stage's settings as TOML")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting instead of the file's, its value as in TOML: --set loop.num_steps=20",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage to its end."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise Unsupported("training needs torch: pip install 'qdts[train]'")
    from qdts.models.training.stages import STAGES

    stage = STAGES[args.stage]
    stage.run(read_config(args.config, stage.config, args.set))
    return 0


def read_config(path: Path, kind: type, changes: Sequence[str] = ()) -> Any:
    """The `kind` of config a TOML file describes, changed by NAME=VALUE; ConfigError names what is unknown or wrong."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        for change in changes:
            _change(settings, change)
        return _build(kind, settings, "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}") from fault
    except ValueError as fault:
        raise ConfigError(f"{path}: {fault}") from fault


def _change(settings: dict[str, Any], change: str) -> None:
    """Put one NAME=VALUE, such as loop.num_steps=20, into the settings."""
    name, equals, value = change.partition("=")
    try:
        (parsed,) = tomllib.loads(f"x = {value}").values()
    except (tomllib.TOMLDecodeError, ValueError) as fault:
        raise ValueError(f"--set {change}: must be NAME=VALUE, its value as in TOML (texts in quotes)") from fault
    *tables, last = name.strip().split(".")
    for table in tables:
        settings = settings.setdefault(table, {})
        if not isinstance(settings, dict):
            raise ValueError(f"--set {change}: {table} is no table")
    if not equals or not last:
        raise ValueError(f"--set {change}: must be NAME=VALUE")
    settings[last] = parsed


def _build(kind: Any, settings: dict[str, Any], prefix: str) -> Any:
    """A dataclass from a table; tables in it are dataclasses of their own."""
    from dataclasses import MISSING, fields
    from typing import get_type_hints

    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"unknown setting {prefix}{unknown[0]}; known: {', '.join(known)}")
    for name, field in known.items():
        if name not in settings and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{prefix}{name} is missing")
    return kind(**{name: _convert(hints[name], value, prefix + name) for name, value in settings.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """`value` as `hint` has it. TOML knows no paths and no tuples, and writes 1 for 1.0."""
    from dataclasses import is_dataclass
    from types import NoneType
    from typing import Literal, get_args, get_origin

    if NoneType in get_args(hint):  # TOML cannot write None: what is there is the other kind
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_convert(get_args(hint)[0], item, name) for item in cast("list[Any]", value))
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    if is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, cast("dict[str, Any]", value), f"{name}.")
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    choices = get_args(hint) if get_origin(hint) is Literal else (getattr(hint, "__name__", hint),)
    raise ValueError(f"{name} = {value!r}: must be {' or '.join(map(str, choices))}")
