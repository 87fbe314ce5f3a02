"""`qdts serve`: a gRPC server, until it is told to stop."""

import argparse
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "serve",
        help="run a gRPC server",
        description="Settings come from defaults, --config, the environment (QDTS_SECTION__KEY) and flags, "
        "later ones win; `--set section.key=value` reaches each of them.",
    )
    parser.add_argument("--host", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, help="default: 50051; 0: any free one")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    parser.add_argument("--model", metavar="DIR", help='a model directory; default: the shipped one; "none": no model')
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, repeatable")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve; returns when the server has drained."""
    import os

    from qdts.service.config import load_config
    from qdts.service.main import run as run_server

    return run_server(load_config(args.config, os.environ, read_flags(args)))


def read_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags name; None where a flag was not given."""
    settings = dict(_read_setting(text) for text in args.set)
    return settings | {
        name: value
        for name, value in (
            ("server.host", args.host),
            ("server.port", args.port),
            ("engine.model", args.model),
        )
        if value is not None
    }


def _read_setting(text: str) -> tuple[str, str]:
    from qdts.errors import ConfigError

    name, sign, value = text.partition("=")
    if not sign or "." not in name:
        raise ConfigError(f"--set {text}: must be section.key=value")
    return name, value
