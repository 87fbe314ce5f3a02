"""`qdts admin`: how a running server is, and the few things that may be done to it."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdts.errors import ConfigError

if TYPE_CHECKING:
    from qdts.service.client.operator import Operator
    from qdts.v1 import admin_pb2 as pb

LEVELS = ("debug", "info", "warning", "error")
LOOK_EVERY_S = 0.2


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "admin",
        help="operate a running server",
        description="Speaks to the port that admin.port names. Address and token come from --url and --token-file, "
        "or else from the server's own settings: --config and the environment, as for `qdts serve`.",
    )
    parser.add_argument("--url", metavar="HOST:PORT", help="default: admin.host and admin.port")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="its first line; default: admin.token_file")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the server's settings as TOML")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="over TLS: whom to trust")
    parser.add_argument("--cert-file", type=Path, metavar="FILE", help="over TLS: one's own certificate")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="and its key")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="seconds per call; default: 5")
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    actions.add_parser("status", help="how it is, as JSON")
    swap = actions.add_parser("swap", help="put a model in place; exit status 1 if that fails")
    swap.add_argument("--model", default="", metavar="NAME", help="below admin.models_dir; default: engine.model")
    promote = actions.add_parser("promote", help="put the canary's model in place; exit status 1 if that fails")
    for action in (swap, promote):
        action.add_argument("--no-wait", action="store_true", help="do not wait until it is over")
    actions.add_parser("stop-canary", help="give the canary no more requests")
    actions.add_parser("drain", help="let it finish and exit")
    level = actions.add_parser("log-level", help="from which level on it logs")
    level.add_argument("level", choices=LEVELS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do one thing; returns the exit status."""
    with _connect(args) as server:
        match args.action:
            case "status":
                print(_json(server.status()))
            case "swap":
                return _follow(server, server.swap_model(args.model), wait=not args.no_wait)
            case "promote":
                return _follow(server, server.promote_canary(), wait=not args.no_wait)
            case "stop-canary":
                server.stop_canary()
            case "drain":
                server.drain()
            case _:
                print(f"log level was {server.set_log_level(args.level)}")
    return 0


def _follow(server: "Operator", swap: "pb.ModelSwap", *, wait: bool) -> int:
    """Wait for the end of a swap and tell it; another may have come after it meanwhile."""
    from qdts.v1 import admin_pb2 as pb

    number = swap.number
    while wait and swap.number == number and swap.state == pb.SWAP_STATE_RUNNING:
        time.sleep(LOOK_EVERY_S)
        swap = server.status().swap
    print(_json(swap))
    if swap.state == pb.SWAP_STATE_FAILED:
        print(f"qdts: the swap failed: {swap.problem}", file=sys.stderr)
        return 1
    if swap.problem:
        print(f"qdts: {swap.problem}", file=sys.stderr)
    return 0


def _connect(args: argparse.Namespace) -> "Operator":
    import os

    from qdts.service.client.config import Tls
    from qdts.service.client.operator import Operator
    from qdts.service.config import load_config

    admin = load_config(args.config, os.environ).admin
    if args.url is None and admin.port <= 0:
        raise ConfigError("--url: needed where no settings name admin.port")
    token_file = args.token_file or (Path(admin.token_file) if admin.token_file else None)
    files = (args.ca_file, args.cert_file, args.key_file)
    tls = Tls(ca_file=args.ca_file, chain_file=args.cert_file, key_file=args.key_file) if any(files) else None
    return Operator(
        args.url or f"{admin.host}:{admin.port}",
        token=None if token_file is None else _read_token(token_file),
        tls=tls,
        timeout_s=args.timeout,
    )


def _read_token(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").split()
    if not lines:
        raise ConfigError(f"--token-file: {file} holds no token")
    return lines[0]


def _json(message: Any) -> str:
    from google.protobuf.json_format import MessageToJson

    return MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
