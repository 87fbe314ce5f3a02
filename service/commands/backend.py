"""Who answers `summarize` and `batch`: a server named by --url, or this process with the same ladder."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack, cast

from qdts.errors import ConfigError
from qdts.service.commands import connection

if TYPE_CHECKING:
    from qdts.models.document import Document
    from qdts.service.client.messages import Options, Reply, Tier

Mode = Literal["auto", "generative", "extractive"]
MODES: dict[Mode, "Tier"] = {"auto": "auto", "generative": "generative", "extractive": "fast"}
DEFAULT_TIMEOUT_S = 30.0


class Backend(Protocol):
    """The part of AsyncClient that the commands use; LocalClient has it, too."""

    async def summarize(
        self,
        query: str,
        document: "Document | str",
        *,
        timeout_s: float | None = None,
        **options: Unpack["Options"],
    ) -> "Reply":
        """As AsyncClient's."""
        ...


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say who answers, and how."""
    parser.add_argument("--url", metavar="HOST:PORT", help="ask this server; without it, answer in this process")
    parser.add_argument("--mode", choices=MODES, default="auto", help="default: auto, the better one by evaluation")
    parser.add_argument("--max-words", type=int, default=0, metavar="N", help="at most N words; 0: the default, 50")
    parser.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        metavar="S",
        help="seconds per document; default: 30",
    )
    parser.add_argument("--model", metavar="DIR", help='in process: a model directory, or "none"')
    parser.add_argument("--config", type=Path, metavar="FILE", help="in process: settings, as for `qdts serve`")
    connection.add_flags(parser.add_argument_group("connection, with --url"))


def tier_of(args: argparse.Namespace) -> "Tier":
    """The tier that --mode asks for."""
    return MODES[args.mode]


@asynccontextmanager
async def open_backend(args: argparse.Namespace) -> AsyncIterator[Backend]:
    """The one that the flags name, ready to answer."""
    from qdts.service.client.config import check_timeout

    check_timeout(args.timeout)
    if args.url is None:
        if connection.are_given(args):
            raise ConfigError("the flags of a connection need --url: this process has none to open")
        from qdts.service import logs
        from qdts.service.local import LocalClient

        settings = load_settings(args)
        logs.configure(settings.logging.level)
        async with LocalClient(settings) as local:
            yield cast(Backend, local)
        return
    if args.model is not None or args.config is not None:
        raise ConfigError("--url: the server has its own model and settings; leave out --model and --config")
    from qdts.service.client import AsyncClient

    async with AsyncClient(args.url, connection.read_client(args, timeout_s=args.timeout)) as remote:
        await remote.server_info()  # nobody there is said once, not once per row
        yield cast(Backend, remote)


def load_settings(args: argparse.Namespace) -> Any:
    """The server's settings from file, environment and flags. Logs stay quiet: the answer is the output."""
    import os

    from qdts.service.config import load_config

    return load_config(args.config, os.environ, {"engine.model": args.model, "logging.level": "error"})
