"""The subcommands of `qdts`, one module each: `add` declares its flags, `run` does it.

serve.py       a gRPC server
summarize.py   one document            batch.py   many, from JSONL to JSONL; rows.py: one line of it
evaluate.py    scores and plots        train.py   train a model
finetune.py    train the released one on rows of one's own
model.py       what a model directory is, and whether its files are the ones released
bench.py       a running server under rising load; how many such servers a load needs
admin.py       how a running server is, and what may be done to it
backend.py     who answers `summarize` and `batch`: a server, or this process
connection.py  how a server is reached: TLS, a token, metadata
"""

from typing import Any, Protocol

from qdts.service.commands import admin, batch, bench, evaluate, finetune, model, serve, summarize, train


class Command(Protocol):
    """What every module here offers."""

    def add(self, subparsers: Any) -> None:
        """Declare the subcommand, its flags and what runs it."""
        ...


COMMANDS: tuple[Command, ...] = (serve, summarize, batch, evaluate, model, train, finetune, bench, admin)
