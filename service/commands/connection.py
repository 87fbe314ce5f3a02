"""How a command reaches a server: TLS, a bearer token, and what else goes with every call. Opens nothing."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdts.errors import ConfigError

if TYPE_CHECKING:
    from qdts.service.client.config import ClientConfig, Metadata, Tls

# The token itself is no flag: the command line is seen by the whole machine.
ENV_TOKEN = "QDTS_CLIENT_TOKEN"
# What servers read it from unless `quotas.metadata_key` says otherwise.
TENANT_KEY = "x-qdts-tenant"


def add_flags(parser: Any) -> None:
    """Declare them, on an argparse parser or a group of one."""
    parser.add_argument("--tls", action="store_true", help="over TLS, by the system's CAs unless --ca names others")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="over TLS, by these CAs alone (PEM)")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="for mutual TLS: this caller's certificate (PEM)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="for mutual TLS: its key (PEM)")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"a bearer token, its first line; or {ENV_TOKEN}; TLS only"
    )
    parser.add_argument("--tenant", default="", metavar="NAME", help=f"whose quota pays: the metadata {TENANT_KEY}")
    parser.add_argument(
        "--metadata", action="append", default=[], metavar="KEY=VALUE", help="sent with every call; repeatable"
    )


def are_given(args: argparse.Namespace) -> bool:
    """Whether any of the flags is."""
    return any((args.tls, args.ca, args.cert, args.key, args.token_file, args.tenant, args.metadata))


def read_client(args: argparse.Namespace, **settings: Any) -> "ClientConfig":
    """The flags as a client's settings, with the others that are named; ConfigError for what does not fit."""
    from qdts.service.client.config import ClientConfig

    return ClientConfig(tls=_tls(args), token=_token(args.token_file), extra_metadata=_metadata(args), **settings)


def _tls(args: argparse.Namespace) -> "Tls | None":
    from qdts.service.client.config import Tls

    if (args.cert is None) != (args.key is None):
        raise ConfigError("--cert and --key go together: one of them is missing")
    if not args.tls and args.ca is None and args.cert is None:
        return None
    tls = Tls(ca_file=args.ca, key_file=args.key, chain_file=args.cert)
    tls.credentials()  # a file that cannot be read is said now, not by the first call
    return tls


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(ENV_TOKEN, "").strip() or None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"--token-file: cannot read {path}: {fault}") from fault
    token = next((line.strip() for line in lines if line.strip()), None)
    if token is None:
        raise ConfigError(f"--token-file: {path} holds no token")
    return token


def _metadata(args: argparse.Namespace) -> "Metadata":
    pairs = [(TENANT_KEY, args.tenant)] if args.tenant else []
    for text in args.metadata:
        key, is_pair, value = text.partition("=")
        if not is_pair:
            raise ConfigError(f"--metadata {text}: must be KEY=VALUE")
        pairs.append((key.strip(), value.strip()))
    return tuple(pairs)
